//! Runs the examples for the shell, Python and Node.js, which send and watch.

use std::process::Command;

use super::script::{Script, example, program};
use crate::support::{client::Request, server::Server};

const KEYS: &str = "[auth]\nwrite_keys = [\"write-1\"]\nviewer_tokens = [\"view-1\"]\n";

fn with(mut command: Command, name: &str, server: &Server) -> Command {
    command
        .arg(example(name))
        .env("FLOODMARK_URL", server.url())
        .env("FLOODMARK_KEY", "write-1")
        .env("FLOODMARK_TOKEN", "view-1");
    command
}

fn python() -> Command {
    program(&["python3"], "apt-get install python3")
}

fn node() -> Command {
    program(&["node"], "apt-get install nodejs, version 20 or later")
}

/// The orders and page views that a server with keys has counted.
fn counted(server: &Server) -> (u64, u64) {
    let current = server.get("/api/analytics/current?token=view-1");
    let count = |name: &str| current[name].as_u64().expect("a count");
    (count("purchases"), count("pageViews"))
}

fn wait_for(server: &Server, orders: u64, page_views: u64) {
    crate::support::program::wait_until("all is counted", || match counted(server) {
        counts if counts == (orders, page_views) => Ok(()),
        other => Err(other),
    });
}

fn sell(server: &Server) {
    let order = r#"{"type":"purchase","sessionId":"s9","properties":{"amount":0.0001}}"#;
    let request = Request::post(server.addr(), "/v1/events", order);
    let answer = request.header("X-Write-Key", "write-1").send().expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn curl_sends() {
    program(&["curl"], "apt-get install curl");
    program(&["gzip"], "apt-get install gzip");
    let server = Server::with_config(KEYS);
    for repeated in [false, true] {
        let shell = program(&["sh"], "every system has one");
        let lines = Script::start(&mut with(shell, "send.sh", &server)).finish();
        let first = if repeated { "\"duplicates\":1" } else { "\"accepted\":1" };
        assert!(lines.len() == 2 && lines[0].contains(first), "{lines:?}");
        assert!(lines[1].starts_with("{\"accepted\":2"), "{lines:?}");
    }
    wait_for(&server, 1, 4);
}

#[test]
fn curl_says_why_nothing_was_taken() {
    let server = Server::with_config(KEYS);
    let mut command = with(program(&["sh"], "every system has one"), "send.sh", &server);
    let output = command.env("FLOODMARK_KEY", "wrong").output().expect("it runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("unknown write key"), "{output:?}");
}

#[test]
fn python_sends() {
    sends(python(), "send.py");
}

#[test]
fn node_sends() {
    sends(node(), "send.mjs");
}

fn sends(interpreter: Command, name: &str) {
    let server = Server::with_config(KEYS);
    let lines = Script::start(&mut with(interpreter, name, &server)).finish();
    let rejected = "rejected 2 invalid_amount a purchase needs properties.amount";
    assert_eq!(lines, ["accepted 2", rejected]);
    wait_for(&server, 1, 1);
}

#[test]
fn python_watches() {
    let server = Server::with_config(KEYS);
    let mut script = Script::start(&mut with(python(), "watch.py", &server));
    script.line_with(": 0 orders, ");
    sell(&server);
    script.line_with(": 1 orders, 0.0001 USD, 0 page views, 0 errors, 1 active");
}

#[test]
fn node_watches_and_comes_back() {
    let mut server = Server::with_config(KEYS);
    let mut command = node();
    // Node.js 20 has WebSockets only with this flag; later versions accept the flag and don't need
    // it.
    command.arg("--experimental-websocket");
    let mut script = Script::start(&mut with(command, "watch.mjs", &server));
    script.line_with(r#""counts":{}"#);
    sell(&server);
    let line = script.line_with(r#""purchase":1"#);
    assert!(line.contains(r#""revenue":0.0001"#), "{line}");
    // The event that the script has shown may not be stored yet when the server is killed. It was
    // answered with 202, so it is on disk and is not lost.
    server.restart();
    sell(&server);
    let line = script.line_with(r#""purchase":2"#);
    assert!(line.contains(r#""revenue":0.0002"#), "{line}");
}
