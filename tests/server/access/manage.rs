//! Those who decide who has access do so by the API as by the commands.

use serde_json::{Value, json};

use super::{
    browser::{Browser, open_link, sign_in},
    command, get, post, soon,
};
use crate::support::{client::Answer, program::scratch, server::Server};

const VIEW: &str = r#"{"type":"page_view"}"#;

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_admin_makes_changes_and_revokes_and_all_of_it_is_on_record() {
    let (_folder, data) = scratch("data");
    let password = command(&data, &["users", "add", "root", "--role", "admin"]);
    let server = Server::on(&data, &[]);
    let root = sign_in(&server, "root", &password).unwrap();
    let make = |path: &str, body: Value| root.post(&server, path, &body);
    let key = make("/api/access/keys", json!({"name": "web", "public": true, "eventsPerS": 50}));
    assert_eq!(key.status, 201, "{key:?}");
    let key = key.json();
    let secret = key["secret"].as_str().unwrap();
    assert!(secret.starts_with("fm_pk_"), "{key}");
    // In force on this node with the answer.
    assert_eq!((post(&server, secret, VIEW), post(&server, "", VIEW)), (202, 401));
    let token = make("/api/access/tokens", json!({"name": "ci", "scopes": ["metrics"]})).json();
    assert_eq!(get(&server, "/metrics", token["secret"].as_str().unwrap()), 200);
    let link = make("/api/access/links", json!({"name": "tv", "password": "zebra crossing"}));
    let link = link.json()["secret"].as_str().unwrap().to_owned();
    assert!(open_link(&server, &link, Some("zebra crossing")).is_ok());
    let user = make("/api/access/users", json!({"name": "Bob", "role": "analyst"})).json();
    let bob = user["secret"].as_str().unwrap().to_owned();
    assert!(sign_in(&server, "bob", &bob).is_ok());

    let listed = root.get(&server, "/api/access").json();
    let names = |kind: &str| -> Vec<&str> {
        listed[kind].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
    };
    assert_eq!(
        (names("keys"), names("tokens"), names("links")),
        (vec!["web"], vec!["ci"], vec!["tv"])
    );
    assert_eq!(names("users"), ["root", "bob"]);
    let text = listed.to_string();
    for hidden in [secret, link.as_str(), bob.as_str(), "argon2", "secret"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }

    changed_and_refused(&server, &root, (&user, &bob), (&key, secret));
    let lines = root.get(&server, "/api/access/audit").json();
    let told: Vec<String> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            format!("{}: {} {} {}", text("actor"), text("action"), text("kind"), text("name"))
        })
        .collect();
    assert_eq!(told.len(), 9, "{told:?}");
    assert_eq!(told[0], "user root: revoke key web");
    assert_eq!(told[3], "user root: role user bob");
    assert!(told[8].starts_with("command line (") && told[8].ends_with("): add user root"));
    let page = root.get(&server, "/api/access/audit?before=3&limit=1").json();
    assert_eq!((page.as_array().unwrap().len(), &page[0]["version"]), (1, &json!(2)));
    assert_eq!(root.get(&server, "/api/access/audit?limit=0").status, 400);
}

/// What is changed afterwards, and what can't be.
fn changed_and_refused(
    server: &Server,
    root: &Browser,
    (user, bob): (&Value, &str),
    (key, secret): (&Value, &str),
) {
    let listed = root.get(server, "/api/access").json();
    let make = |path: &str, body: Value| root.post(server, path, &body);
    let id = user["id"].clone();
    let change = |body: Value| root.post(server, "/api/access/change", &body);
    assert_eq!(
        change(json!({"id": id, "role": "viewer", "hideMoney": true})).json()["hidden"],
        json!(["money"])
    );
    assert_eq!(change(json!({"id": id, "password": "another password"})).status, 200);
    assert!(sign_in(server, "bob", bob).is_err());
    assert!(sign_in(server, "bob", "another password").is_ok());
    assert_eq!(change(json!({"id": id, "logout": true})).status, 200);
    assert_eq!(code(&change(json!({"id": id}))), "invalid_access");
    let revoke = |kind: &str, id: &Value| {
        root.post(server, "/api/access/revoke", &json!({"kind": kind, "id": id}))
    };
    assert_eq!(revoke("key", &key["id"]).status, 200);
    assert_eq!(post(server, secret, VIEW), 401);
    assert_eq!(
        (revoke("key", &key["id"]).status, code(&revoke("key", &key["id"]))),
        (404, "unknown_identity".to_owned())
    );
    let own = listed["users"][0]["id"].clone();
    assert_eq!(code(&revoke("user", &own)), "last_admin");
    assert_eq!(
        code(&make("/api/access/users", json!({"name": "root", "role": "admin"}))),
        "name_taken"
    );
    assert_eq!(code(&make("/api/access/keys", json!({"name": "a b"}))), "invalid_access");
    assert_eq!(code(&make("/api/access/keys", json!({"nam": "x"}))), "malformed");
}

#[test]
fn only_those_decide_who_are_admins_or_have_a_token_for_it() {
    let (_folder, data) = scratch("data");
    let password = command(&data, &["users", "add", "root", "--role", "admin"]);
    let analyst = command(&data, &["users", "add", "ann", "--role", "analyst"]);
    let token = command(&data, &["tokens", "add", "terraform", "--scope", "access"]);
    let server = Server::on(&data, &[("FLOODMARK_AUTH__VIEWER_TOKENS", "v1")]);
    let ann = sign_in(&server, "ann", &analyst).unwrap();
    let key = json!({"name": "web"});
    assert_eq!(ann.get(&server, "/api/access").status, 403);
    assert_eq!(ann.post(&server, "/api/access/keys", &key).status, 403);
    assert_eq!((get(&server, "/api/access", "v1"), get(&server, "/api/access", "")), (403, 401));
    let with_token = |path: &str, body: &Value| {
        let request = server.request("POST", path).header("Content-Type", "application/json");
        let request = request.header("Authorization", &format!("Bearer {token}"));
        request.body(body.to_string()).send().expect("the server answers").status
    };
    assert_eq!(with_token("/api/access/keys", &key), 201);
    assert_eq!(
        (get(&server, "/api/access", &token), get(&server, "/api/analytics/current", &token)),
        (200, 403)
    );
    // Whoever stops being an admin decides nothing any more, in the session that is open.
    let root: Browser = sign_in(&server, "root", &password).unwrap();
    command(&data, &["users", "role", "ann", "admin"]);
    soon("ann decides", || ann.get(&server, "/api/access").status == 200);
    command(&data, &["users", "role", "root", "viewer"]);
    soon("root does not", || root.get(&server, "/api/access").status == 403);
    assert_eq!(root.get(&server, "/api/analytics/current").status, 200);
    let open = Server::start();
    assert_eq!(get(&open, "/api/access", ""), 403, "an open server is nobody's");
}
