//! Runs the receiver of webhooks: it accepts the notification of a server whose alert fires, and
//! refuses requests of others.

use std::net::SocketAddr;

use floodmark::{alert::signature, domain::time::now_ms};

use super::script::{Script, example, program};
use crate::support::{client::Request, server::Server};

const SECRET: &str = "only between us";

fn receiver() -> (Script, SocketAddr) {
    let mut python = program(&["python3"], "apt-get install python3");
    python.arg(example("webhook.py")).env("WEBHOOK_SECRET", SECRET).env("PORT", "0");
    let mut script = Script::start(&mut python);
    let line = script.line_with("listening on http://");
    let addr = line.split("http://").nth(1).expect("an address").trim_end_matches('/');
    let addr = addr.parse().expect("an address");
    (script, addr)
}

#[test]
fn an_alert_that_fires_is_printed() {
    let (mut script, addr) = receiver();
    let server = Server::with_config(&format!(
        r#"
[[alert]]
name = "orders"
title = "Orders come in"
metric = "purchases"
window = "10s"
above = 1
for = "1s"

[[webhook]]
name = "example"
url = "http://{addr}/"
secret = "{SECRET}"
"#
    ));
    let order = r#"{"type":"purchase","properties":{"amount":1}}"#;
    Request::post(server.addr(), "/v1/events", order).send().expect("an answer");
    let line = script.line_with("fired info Orders come in - ");
    assert!(line.ends_with("purchases is 1 over 10 s (threshold 1)."), "{line}");
}

#[test]
fn what_is_not_signed_or_old_is_refused_and_the_same_is_told_once() {
    let (mut script, addr) = receiver();
    let send = |secret: &str, at: i64, key: &str, title: &str| {
        let body = format!(
            r#"{{"change":"fired","severity":"info","title":"{title}","summary":"It is so."}}"#
        );
        let request = Request::post(addr, "/", body.clone())
            .header("Idempotency-Key", key)
            .header("X-Floodmark-Timestamp", &at.to_string())
            .header("X-Floodmark-Signature", &signature(secret, at, &body));
        request.send().expect("an answer").status
    };
    let now = now_ms();
    assert_eq!(send("another", now, "1", "forged"), 401);
    assert_eq!(send(SECRET, now - 600_000, "1", "old"), 401);
    assert_eq!(send(SECRET, now, "1", "true"), 204);
    assert_eq!(send(SECRET, now, "1", "again"), 204);
    assert_eq!(send(SECRET, now, "2", "last"), 204);
    assert_eq!(script.line_with("fired"), "fired info true - It is so.");
    assert_eq!(script.line_with("fired"), "fired info last - It is so.");
    let unsigned = Request::post(addr, "/", "{}").send().expect("an answer");
    assert_eq!(unsigned.status, 401);
}
