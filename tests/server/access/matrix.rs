//! Every route with every role: a route that is not in this table fails the test, and so does one that lets
//! in somebody else.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    browser::{open_link, sign_in},
    command, soon,
};
use crate::{
    openapi::document::Document,
    support::{client::Answer, program::scratch, server::Server},
};

/// Who calls, in the order of the columns.
const ROLES: [&str; 10] = [
    "nobody",
    "write key",
    "viewer",
    "no money",
    "analyst",
    "admin",
    "link",
    "numbers",
    "metrics",
    "configured",
];

/// What each of them is answered: `y` for let in, `n` for 401, `f` for 403. For routes that change
/// something, "let in" is a refusal of the empty body.
const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/api/analytics/current", "nnyyyyyyfy"),
    ("GET", "/api/analytics/at", "nnyyyyyyfy"),
    ("GET", "/api/analytics/metrics", "nnyyyyyyfy"),
    ("GET", "/api/analytics/occasions", "nnyyyyyyfy"),
    ("GET", "/api/analytics/pace", "nnyyyyyyfy"),
    ("GET", "/api/analytics/timeseries", "nnyyyyyyfy"),
    ("GET", "/api/analytics/breakdown", "nnyyyyyyfy"),
    ("GET", "/api/analytics/breakdowns", "nnyyyyyyfy"),
    ("GET", "/api/analytics/schema", "nnyfyyyyfy"),
    ("GET", "/api/analytics/books", "nnyfyyyyfy"),
    ("GET", "/api/analytics/explain", "nnyyyyyyfy"),
    ("GET", "/api/analytics/alerts", "nnyyyyyyfy"),
    ("GET", "/api/analytics/marks", "nnyyyyyyfy"),
    ("POST", "/api/analytics/marks", "nnffyyfffy"),
    ("DELETE", "/api/analytics/marks", "nnffyyfffy"),
    ("GET", "/api/analytics/stream", "nnyyyyyyfy"),
    ("GET", "/api/analytics/events", "nnffyyfffy"),
    ("GET", "/api/analytics/export", "nnffyyfffy"),
    ("GET", "/api/analytics/session", "nnffyyfffy"),
    ("GET", "/api/analytics/dead-letters", "nnffyyfffy"),
    ("GET", "/metrics", "nnffyyffyy"),
    ("GET", "/api/session", "nnyyyyyyyy"),
    ("POST", "/api/logout", "nnyyyyyyyy"),
    ("POST", "/api/password", "nnyyyyyyyy"),
    ("GET", "/api/access", "nnfffyffff"),
    ("GET", "/api/access/audit", "nnfffyffff"),
    ("POST", "/api/access/keys", "nnfffyffff"),
    ("POST", "/api/access/users", "nnfffyffff"),
    ("POST", "/api/access/tokens", "nnfffyffff"),
    ("POST", "/api/access/links", "nnfffyffff"),
    ("POST", "/api/access/change", "nnfffyffff"),
    ("POST", "/api/access/revoke", "nnfffyffff"),
    ("POST", "/api/server/reload", "nnfffyffff"),
    ("POST", "/api/server/log-level", "nnfffyffff"),
];
/// Routes that everybody may call.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/explore"),
    ("GET", "/incidents"),
    ("GET", "/incidents/{id}"),
    ("GET", "/events"),
    ("GET", "/sources"),
    ("GET", "/settings"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/floodmark.js"),
    ("GET", "/api/login/ways"),
    ("GET", "/api/login/oidc"),
    ("GET", "/api/login/oidc/callback"),
    ("POST", "/api/login"),
    ("POST", "/api/login/link"),
];

/// A server, and the header by which each role is known to it.
fn roles() -> (tempfile::TempDir, Server, Vec<(&'static str, String)>) {
    let (folder, data) = scratch("data");
    let user =
        |name: &str, more: &[&str]| command(&data, &[&["users", "add", name], more].concat());
    let admin = user("admin", &["--role", "admin"]);
    let viewer = user("viewer", &[]);
    let blind = user("blind", &["--hide-money"]);
    let analyst = user("analyst", &["--role", "analyst"]);
    let link = command(&data, &["links", "add", "tv"]);
    let token = |name: &str| command(&data, &["tokens", "add", name, "--scope", name]);
    let tokens = [token("numbers"), token("metrics")];
    let key = command(&data, &["keys", "add", "web"]);
    let server = Server::on(&data, &[("FLOODMARK_AUTH__VIEWER_TOKENS", "v1")]);
    let secret = link.split_once("#link=").expect("a link").1.to_owned();
    soon("all are known", || open_link(&server, &secret, None).is_ok());
    let of = |user: &str, password: &str| {
        ("Cookie", sign_in(&server, user, password).expect("signed in").cookie)
    };
    let bearer = |token: &str| ("Authorization", format!("Bearer {token}"));
    let all = vec![
        ("X-Nobody", "1".to_owned()),
        bearer(&key),
        of("viewer", &viewer),
        of("blind", &blind),
        of("analyst", &analyst),
        of("admin", &admin),
        ("Cookie", open_link(&server, &secret, None).expect("opened").cookie),
        bearer(&tokens[0]),
        bearer(&tokens[1]),
        bearer("v1"),
    ];
    (folder, server, all)
}

fn call(server: &Server, method: &str, target: &str, header: &(&str, String)) -> Answer {
    let mut request = server.request(method, target).header(header.0, &header.1);
    if method == "POST" {
        // No JSON object, so nothing is changed by whoever is let in.
        request = request.header("Content-Type", "application/json").body("7");
    }
    request.send().expect("the server answers")
}

#[test]
fn each_route_lets_in_whom_it_is_for_and_nobody_else() {
    let (_folder, server, roles) = roles();
    assert_eq!(roles.len(), ROLES.len());
    let mut wrong = Vec::new();
    let table: BTreeMap<(&str, &str), &str> =
        TABLE.iter().map(|(method, path, row)| ((*method, *path), *row)).collect();
    let mut seen = 0;
    for operation in Document::load().operations() {
        let name = (operation.method.as_str(), operation.path.as_str());
        if operation.is_of_senders() {
            continue;
        }
        seen += 1;
        let row = match table.get(&name) {
            Some(row) => (*row).to_owned(),
            None if OPEN.contains(&name) => "y".repeat(ROLES.len()),
            None => {
                wrong.push(format!("{name:?} is not in the table"));
                continue;
            }
        };
        for ((role, header), expected) in ROLES.iter().zip(&roles).zip(row.chars()) {
            let answer = call(&server, name.0, &operation.target("one"), header);
            let found = match (answer.status, name) {
                (401, ("POST", "/api/login" | "/api/login/link")) => 'y',
                (401, _) => 'n',
                (403, _) => 'f',
                _ => 'y',
            };
            if found != expected {
                wrong.push(format!("{name:?}: {role} got {}, not {expected}", answer.status));
            }
        }
    }
    assert_eq!(seen, TABLE.len() + OPEN.len(), "rows of routes that are not there");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever has a write key sends; nobody else does, however they read.
#[test]
fn only_a_write_key_sends() {
    let (_folder, server, roles) = roles();
    for (role, header) in ROLES.iter().zip(&roles) {
        let request = server.request("POST", "/v1/events").header(header.0, &header.1);
        let status = request.body(json!({"type": "a"}).to_string()).send().unwrap().status;
        assert_eq!(status, if *role == "write key" { 202 } else { 401 }, "{role}");
    }
}
