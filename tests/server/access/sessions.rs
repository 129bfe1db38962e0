//! Signing in and out, and what a session is good for, until when.

use serde_json::{Value, json};

use super::{
    browser::{Browser, end_of, open_link, sign_in},
    command, command_with, until_known,
};
use crate::support::{
    client::Answer,
    program::{floodmark, noon_zone, scratch},
    server::Server,
};

const CURRENT: &str = "/api/analytics/current";
const ENDED: (u16, &str) = (1008, "access has ended");

/// A server whose admin `root` has the first password, and whose viewer `bob` the second.
fn server() -> (tempfile::TempDir, Server, [String; 2]) {
    let (folder, data) = scratch("data");
    let root = command(&data, &["users", "add", "root", "--role", "admin"]);
    let bob = command(&data, &["users", "add", "Bob@shop.example"]);
    let server = Server::on(&data, &[]);
    (folder, server, [root, bob])
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn ended((code, reason): (u16, String)) {
    assert_eq!((code, reason.as_str()), ENDED);
}

#[test]
fn a_user_signs_in_looks_and_signs_out() {
    let (_folder, server, [_, password]) = server();
    let request = server.request("POST", "/api/login").header("Content-Type", "application/json");
    let body = json!({"user": "bob@SHOP.example", "password": password});
    let answer = request.body(body.to_string()).send().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let about = answer.json();
    assert_eq!((&about["name"], &about["role"]), (&json!("bob@shop.example"), &json!("viewer")));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["floodmark-session=s1.", "; HttpOnly", "; SameSite=Strict", "; Path=/", "Max-Age="]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&password) && !cookie.contains("bob"), "{cookie}");

    let bob = sign_in(&server, "bob@shop.example", &password).unwrap();
    let other = sign_in(&server, "bob@shop.example", &password).unwrap();
    assert_eq!(bob.get(&server, CURRENT).status, 200);
    assert_eq!(bob.get(&server, "/api/session").json()["kind"], "user");
    let mut watched = bob.watch(&server).expect("a stream");
    assert_eq!(bob.post(&server, "/api/logout", &json!({})).status, 200);
    ended(end_of(&mut watched));
    assert_eq!(bob.get(&server, CURRENT).status, 401, "a copy of the cookie is worth nothing");
    assert_eq!(other.get(&server, CURRENT).status, 200, "the other session goes on");
    let third = sign_in(&server, "bob@shop.example", &password).unwrap();
    let mut watched = other.watch(&server).expect("a stream");
    assert_eq!(third.post(&server, "/api/logout", &json!({"everywhere": true})).status, 200);
    ended(end_of(&mut watched));
    assert_eq!(
        (other.get(&server, CURRENT).status, third.get(&server, CURRENT).status),
        (401, 401)
    );
}

#[test]
fn what_is_wrong_is_not_told() {
    let (_folder, server, [password, _]) = server();
    let refusal = |user: &str, password: &str| {
        let answer = sign_in(&server, user, password).err().expect("a refusal");
        (answer.status, answer.text().to_owned())
    };
    let wrong = refusal("root", "not this one");
    assert_eq!(wrong.0, 401);
    assert_eq!(refusal("nobody", "not this one"), wrong, "nor whether there is such a user");
    assert_eq!(refusal("nobody", &password), wrong);
    for (path, body) in [("/api/login", "{"), ("/api/login", "{}"), ("/api/login", "[]")] {
        let request = server.request("POST", path).header("Content-Type", "application/json");
        let answer = request.body(body).send().unwrap();
        assert_eq!((answer.status, code(&answer).as_str()), (400, "malformed"), "{body}");
    }
    let form = server.request("POST", "/api/login");
    let form = form.header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("user=root").send().unwrap().status, 415, "no form of another page");
    assert!(sign_in(&server, "root", &password).is_ok());
    let shown = |line: &str| {
        let root = sign_in(&server, "root", &password).unwrap();
        root.get(&server, "/metrics").text().lines().any(|known| known == line)
    };
    assert!(shown("floodmark_logins_total{result=\"wrong\"} 3"));
}

#[test]
fn guessing_is_braked_and_who_is_signed_in_stays_so() {
    let (_folder, server, [root, bob]) = server();
    let signed_in = sign_in(&server, "bob@shop.example", &bob).unwrap();
    let refusals: Vec<Answer> = (0..14)
        .map(|n| sign_in(&server, "bob@shop.example", &format!("guess {n}")).err().unwrap())
        .collect();
    let statuses: Vec<u16> = refusals.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 4]].concat());
    assert_eq!(code(&refusals[13]), "too_many_attempts");
    let wait: u64 = refusals[13].header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let right = sign_in(&server, "bob@shop.example", &bob).err().expect("it is not looked at");
    assert_eq!(right.status, 429);
    assert_eq!(signed_in.get(&server, CURRENT).status, 200);
    assert!(sign_in(&server, "root", &root).is_ok(), "other accounts go on");
}

#[test]
fn a_page_of_another_site_does_nothing_with_a_session() {
    let (_folder, server, [root, _]) = server();
    let root = sign_in(&server, "root", &root).unwrap();
    let key = json!({"name": "web"});
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = root.post_from(&server, "/api/access/keys", &key, origin);
        assert_eq!((answer.status, code(&answer).as_str()), (403, "origin"), "{origin}");
        let answer = root.post_from(&server, "/api/logout", &json!({}), origin);
        assert_eq!(answer.status, 403, "{origin}");
        let body = json!({"user": "root", "password": "x"});
        assert_eq!(root.post_from(&server, "/api/login", &body, origin).status, 403, "{origin}");
        let headers = [("Cookie", root.cookie.as_str()), ("Origin", origin)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let stream = crate::support::client::WebSocket::open(
            server.addr(),
            "/api/analytics/stream",
            &headers,
        );
        assert_eq!(stream.err().map(|answer| answer.status), Some(403), "{origin}");
    }
    // A session counts for who reads, and never for who sends events.
    let events = server.request("POST", "/v1/events").header("Cookie", &root.cookie);
    assert_eq!(events.body(r#"{"type":"page_view"}"#).send().unwrap().status, 202, "it is open");
}

/// The data dir of a server, as its process was told.
fn data_of(server: &Server) -> std::path::PathBuf {
    let line = std::fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
    let words: Vec<String> = line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let at = words.iter().position(|word| word == "--data-dir").expect("it has one");
    words[at + 1].clone().into()
}

#[test]
fn a_session_ends_with_its_user_also_while_a_stream_is_open() {
    let (_folder, data) = scratch("data");
    command(&data, &["users", "add", "root", "--role", "admin"]);
    let server = Server::on(&data, &[]);
    let add = |name: &str, more: &[&str]| command(&data, &[&["users", "add", name], more].concat());
    let soon_over = floodmark::domain::time::rfc3339(floodmark::domain::time::now_ms() + 6000);
    let short = add("short", &["--expires", &soon_over]);
    let gone = add("gone", &[]);
    let other = add("other", &[]);
    until_known(&server, &data);
    let enter = |user: &str, password: &str| sign_in(&server, user, password).expect("signed in");
    let mut streams = Vec::new();
    for (user, password) in [("gone", &gone), ("other", &other), ("short", &short)] {
        streams.push(enter(user, password).watch(&server).expect("a stream"));
    }
    command(&data, &["users", "revoke", "gone"]);
    ended(end_of(&mut streams[0]));
    command(&data, &["users", "logout", "other"]);
    ended(end_of(&mut streams[1]));
    ended(end_of(&mut streams[2]));
    assert_eq!(sign_in(&server, "short", &short).err().map(|answer| answer.status), Some(401));
}

#[test]
fn a_user_changes_the_password_and_stays_signed_in_here_alone() {
    let (_folder, server, [_, password]) = server();
    let here = sign_in(&server, "bob@shop.example", &password).unwrap();
    let elsewhere = sign_in(&server, "bob@shop.example", &password).unwrap();
    let change = |old: &str, new: &str| {
        here.post(&server, "/api/password", &json!({"old": old, "new": new}))
    };
    assert_eq!(change("wrong", "zebra crossing").status, 401);
    assert_eq!(code(&change(&password, "short")), "invalid_access");
    let changed = change(&password, "zebra crossing");
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(elsewhere.get(&server, CURRENT).status, 401);
    assert_eq!(here.get(&server, CURRENT).status, 401, "the old cookie");
    let cookie = changed.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(Browser { cookie }.get(&server, CURRENT).status, 200);
    assert!(sign_in(&server, "bob@shop.example", &password).is_err());
    assert!(sign_in(&server, "bob@shop.example", "zebra crossing").is_ok());
}

#[test]
fn a_link_shows_the_dashboard_to_whoever_has_it() {
    let (_folder, server, _) = server();
    let data = data_of(&server);
    let secret = |link: &str| link.split_once("#link=").expect("behind a #").1.to_owned();
    let plain = secret(&command(&data, &["links", "add", "tv"]));
    let args = ["links", "add", "guest", "--password-stdin", "--base", "https://live.example/"];
    let made = command_with(&data, &args, "zebra crossing\n");
    let guest = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(guest.starts_with("https://live.example/#link=fm_ln_"), "{guest}");
    let guest = secret(&guest);
    until_known(&server, &data);
    let tv = open_link(&server, &plain, None).unwrap();
    assert_eq!(tv.get(&server, CURRENT).status, 200);
    let about = tv.get(&server, "/api/session").json();
    assert_eq!((&about["kind"], &about["scopes"]), (&json!("link"), &json!(["numbers"])));
    assert_eq!(tv.get(&server, "/api/analytics/dead-letters").status, 403);
    let refused = |link: &str, password: Option<&str>| {
        open_link(&server, link, password).err().map(|answer| code(&answer)).unwrap_or_default()
    };
    assert_eq!(refused(&guest, None), "password_needed");
    assert_eq!(refused(&guest, Some("zebra crossinG")), "wrong_credentials");
    assert_eq!(refused(&guest, Some("zebra crossing")), "");
    assert_eq!(refused("fm_ln_x", None), "wrong_credentials");
    let mut watched = tv.watch(&server).expect("a stream");
    command(&data, &["links", "revoke", "tv"]);
    ended(end_of(&mut watched));
    assert_eq!(refused(&plain, None), "wrong_credentials");
    assert_eq!(tv.get(&server, CURRENT).status, 401);
}

#[test]
fn the_page_is_told_how_one_may_enter() {
    let open = Server::start();
    assert_eq!(open.get("/api/login/ways"), json!({"open": true, "password": false, "oidc": null}));
    assert_eq!(open.get("/api/session")["kind"], "anybody");
    let (_folder, server, _) = server();
    let known = json!({"open": false, "password": true, "oidc": null});
    assert_eq!(server.get("/api/login/ways"), known);
    let ways: Value = server.get("/api/login/ways");
    assert!(ways.get("users").is_none());
}

/// Nobody looks unknown where the configuration names viewers, so a link lets somebody in there.
#[test]
fn a_link_is_made_where_only_the_configuration_names_viewers() {
    let (_folder, data) = scratch("data");
    let at = ["--data-dir", data.to_str().unwrap()];
    let mut made = floodmark();
    made.args(["links", "add", "tv"]).args(at).env("FLOODMARK_AUTH__VIEWER_TOKENS", "v1");
    let made = made.env("FLOODMARK_TIMEZONE", noon_zone()).output().expect("it ends");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let link = String::from_utf8(made.stdout).unwrap();
    let secret = link.trim().split_once("#link=").expect("behind a #").1;
    let server = Server::on(&data, &[("FLOODMARK_AUTH__VIEWER_TOKENS", "v1")]);
    let tv = open_link(&server, secret, None).unwrap();
    assert_eq!(tv.get(&server, CURRENT).status, 200);
    let unknown = server.request("GET", CURRENT).send().expect("the server answers");
    assert_eq!(unknown.status, 401);
    assert_eq!(
        server.get("/api/login/ways"),
        json!({"open": false, "password": false, "oidc": null})
    );
}
