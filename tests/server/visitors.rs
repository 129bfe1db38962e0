//! Who is active: one visitor who is known by session and by user, for as long as anybody else.

use serde_json::{Value, json};

use crate::support::server::Server;

fn post(server: &Server, events: Value) {
    let answer = server.post(events.to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Waits until events and active visitors are so many. A stranger is sent last, so that the number is not
/// one of before.
fn shows(server: &Server, events: u64, active: u64) {
    server.until("they are active", |server| {
        let current = server.current();
        current["events"] == events && current["activeUsers"] == active
    });
}

#[test]
fn who_logs_in_stays_one_visitor_over_a_restart_too() {
    let mut server = Server::start();
    post(
        &server,
        json!([
            {"type": "page_view", "sessionId": "s"},
            {"type": "order_paid", "userId": "u"},
            {"type": "page_view", "sessionId": "other"},
        ]),
    );
    shows(&server, 3, 3);
    post(&server, json!([{"type": "login", "sessionId": "s", "userId": "u"}]));
    shows(&server, 4, 2);
    post(
        &server,
        json!([
            {"type": "order_paid", "userId": "u"},
            {"type": "page_view", "sessionId": "s"},
            {"type": "page_view", "sessionId": "stranger"},
        ]),
    );
    shows(&server, 7, 3);
    server.restart();
    shows(&server, 7, 3);
    post(
        &server,
        json!([
            {"type": "order_paid", "userId": "u"},
            {"type": "order_paid", "userId": "another stranger"},
        ]),
    );
    shows(&server, 9, 4);
}

#[test]
fn who_is_dated_ahead_leaves_with_all_others() {
    let server = Server::with(&[("FLOODMARK_LIVE__ACTIVE_WINDOW_S", "1")]);
    let ahead = floodmark::domain::time::now_ms() + 4 * 60_000;
    post(&server, json!([{"type": "page_view", "sessionId": "s", "timestamp": ahead}]));
    server.until("it is counted", |server| server.current()["events"] == 1);
    server.until("nobody is active", |server| server.current()["activeUsers"] == 0);
}
