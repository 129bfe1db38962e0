//! What could not be sent is sent later: once, in its order, over restarts.

use crate::{
    nodes::{rules, ten},
    receiver::{Answer, Receiver},
    support::{program::wait_until, server::Server},
};

fn failed(server: &Server) -> u64 {
    let metrics = server.get_text("/metrics");
    let line =
        metrics.lines().find(|it| it.starts_with("floodmark_webhooks_total{result=\"failed\"}"));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_webhook_that_is_down_over_a_restart_is_told_once_in_order_when_it_is_back() {
    let receiver = Receiver::start();
    receiver.answer(Answer::Nothing);
    let mut server = Server::with_config(&rules(&receiver));
    ten(&server, "error");
    server.until("a try has failed", |server| failed(server) >= 1);
    server.restart();
    receiver.answer(Answer::Later(1));
    server.until("it is tried again after the restart", |server| failed(server) >= 1);
    receiver.answer(Answer::Elsewhere);
    let before = failed(&server);
    server.until("a redirect is not followed", |server| failed(server) > before);
    server.until("it is over meanwhile", |server| {
        server.get("/api/analytics/alerts")["history"][0]["name"] == "many_errors"
    });
    assert_eq!(receiver.changes(), []);
    receiver.answer(Answer::Ok);
    wait_until("both are told", || match receiver.requests().len() {
        2 => Ok(()),
        n => Err(n),
    });
    let requests = receiver.requests();
    let told: Vec<_> = requests.iter().map(|it| it.text("change")).collect();
    assert_eq!(told, ["fired", "cleared"]);
    assert!(requests.iter().all(|it| it.is_signed() && it.path == "/hook"));
    let keys: Vec<_> = requests.iter().map(|it| it.header("Idempotency-Key")).collect();
    assert!(!keys[0].is_empty() && keys[0] != keys[1], "{keys:?}");
    // Delivered is delivered: nothing is left to send, after another restart either.
    server.restart();
    let undone =
        "SELECT count(*) FROM notifications WHERE done_at IS NULL OR outcome <> 'delivered'";
    let database = rusqlite::Connection::open(server.data().join("data/floodmark.db")).unwrap();
    let left: i64 = database.query_row(undone, [], |row| row.get(0)).unwrap();
    assert_eq!((left, receiver.requests().len()), (0, 2));
}

#[test]
fn only_who_may_see_the_numbers_sees_the_alerts() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "t")]);
    let path = "/api/analytics/alerts";
    let status = |headers| server.request("GET", path, headers, b"").unwrap().0;
    assert_eq!(status(""), 401);
    assert_eq!(status("Authorization: Bearer t\r\n"), 200);
}
