//! Nodes that share a store know the same identities, also while the store is away.

use std::process::Stdio;

use super::{get, post, soon};
use crate::support::{
    postgres::Postgres,
    program::{floodmark, noon_zone},
    server::Server,
};

const VIEW: &str = r#"{"type":"page_view"}"#;

/// Runs a command on a database.
fn command(url: &str, args: &[&str]) -> String {
    let mut command = floodmark();
    command.args(args).args(["--postgres", url]).env("FLOODMARK_TIMEZONE", noon_zone());
    let output = command.stdin(Stdio::null()).output().expect("the program was built");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn all_nodes_know_a_change_within_two_seconds_and_keep_it_while_the_store_is_away() {
    let mut postgres = Postgres::start();
    let url = postgres.url();
    // Before the first start: the command makes the tables.
    let key = command(&url, &["keys", "add", "web"]);
    let variables = [("FLOODMARK_POSTGRES__URL", url.as_str())];
    let mut nodes = [Server::with(&variables), Server::with(&variables)];
    assert!(nodes.iter().all(|node| post(node, &key, VIEW) == 202 && post(node, "", VIEW) == 401));
    let token = command(&url, &["tokens", "add", "wall"]);
    soon("both know the token", || {
        nodes.iter().all(|node| get(node, "/api/analytics/current", &token) == 200)
    });
    let old = command(&url, &["keys", "add", "old"]);
    soon("both know the key", || nodes.iter().all(|node| post(node, &old, VIEW) == 202));
    command(&url, &["keys", "revoke", "old"]);
    soon("both know that it is revoked", || nodes.iter().all(|node| post(node, &old, VIEW) == 401));

    postgres.stop_in_order();
    nodes[0].restart();
    for node in &nodes {
        assert_eq!((post(node, &key, VIEW), post(node, &old, VIEW)), (202, 401));
        assert_eq!(post(node, "", VIEW), 401);
        assert_eq!(get(node, "/api/analytics/current", &token), 200);
        assert_eq!(get(node, "/api/analytics/current", ""), 401);
    }
    // One that has never asked takes nobody for welcome, nor for a stranger.
    let fresh = Server::with(&variables);
    assert_eq!((post(&fresh, &key, VIEW), post(&fresh, "", VIEW)), (503, 503));
    assert_eq!(get(&fresh, "/api/analytics/current", &token), 503);
    assert_eq!(get(&fresh, "/readyz", ""), 503, "it says that it refuses events");
    let configured = Server::with(&[variables[0], ("FLOODMARK_AUTH__WRITE_KEYS", "w1")]);
    assert_eq!((post(&configured, "w1", VIEW), post(&configured, &key, VIEW)), (202, 503));
    assert_eq!(get(&configured, "/readyz", ""), 200);
    postgres.start_again();
    fresh.until("it knows them", |_| post(&fresh, &key, VIEW) == 202);
    assert_eq!(post(&fresh, "", VIEW), 401);
    assert_eq!(get(&fresh, "/readyz", ""), 200);
}
