//! API tokens, each for the routes of its scopes; and users that are made before the first start.

use super::{command, command_with, get, refused, soon};
use crate::support::{program::scratch, server::Server};

#[test]
fn a_token_is_for_the_routes_of_its_scopes() {
    let server = Server::start();
    let data = server.data();
    assert_eq!(get(&server, "/api/analytics/current", ""), 200, "nobody is asked yet");
    let add =
        |name: &str, scopes: &str| command(&data, &["tokens", "add", name, "--scope", scopes]);
    let (numbers, metrics) = (add("wall", "numbers"), add("prometheus", "metrics"));
    let both = add("all", "numbers,letters,metrics");
    soon("all are known", || get(&server, "/api/analytics/current", &both) == 200);
    soon("nobody reads unknown", || get(&server, "/api/analytics/current", "") == 401);
    for (path, expected) in [
        ("/api/analytics/current", [200, 403, 200]),
        ("/api/analytics/alerts", [200, 403, 200]),
        ("/api/analytics/dead-letters", [403, 403, 200]),
        ("/metrics", [403, 200, 200]),
        ("/healthz", [200, 200, 200]),
    ] {
        let found = [&numbers, &metrics, &both].map(|token| get(&server, path, token));
        assert_eq!(found, expected, "{path}");
    }
    command(&data, &["tokens", "revoke", "all"]);
    soon("it is revoked", || get(&server, "/metrics", &both) == 401);
    assert_eq!(get(&server, "/metrics", &metrics), 200);
}

#[test]
fn a_user_is_made_before_the_first_start_and_closes_the_door() {
    let (_folder, data) = scratch("data");
    let password = command(&data, &["users", "add", "root", "--role", "admin"]);
    assert!(password.len() >= 20, "{password}");
    let server = Server::on(&data, &[]);
    assert_eq!(get(&server, "/api/analytics/current", ""), 401);
    assert_eq!(get(&server, "/healthz", ""), 200);
    let listed = command(&data, &["users", "list", "--json"]);
    assert!(listed.contains(r#""role":"admin""#) && !listed.contains("argon2"), "{listed}");
    assert!(refused(&data, &["users", "revoke", "root"]).contains("the last admin"));
    let add = |password: &str| {
        let args = ["users", "add", "bob", "--password-stdin"];
        command_with(&data, &args, &format!("{password}\n")).status.code()
    };
    assert_eq!(add("short"), Some(1));
    assert_eq!(add("zebra crossing"), Some(0));
}

#[test]
fn a_server_that_others_reach_starts_once_both_doors_have_a_lock() {
    let (_folder, data) = scratch("data");
    let args = ["serve", "--listen", "0.0.0.0:0"];
    let refusal = command_with(&data, &args, "");
    let words = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert_eq!(refusal.status.code(), Some(1), "{words}");
    assert!(words.contains("can be reached from other machines") && words.contains("keys add"));
    let check = ["check", "--listen", "0.0.0.0:0"];
    assert_eq!(command_with(&data, &check, "").status.code(), Some(1));
    command(&data, &["keys", "add", "web"]);
    command(&data, &["users", "add", "root", "--role", "admin"]);
    let found = command(&data, &check);
    assert!(found.contains("keys of the store may send events"), "{found}");
    let dir = data.to_str().unwrap();
    let server = Server::spawn(&["serve", "--listen", "0.0.0.0:0", "--data-dir", dir], &[]);
    let addr = format!("127.0.0.1:{}", server.addr().port()).parse().unwrap();
    let request = crate::support::client::Request::get(addr, "/api/analytics/current");
    assert_eq!(request.send().unwrap().status, 401);
}
