//! A notification that could not be delivered is delivered later: once, in order, also after
//! restarts.

use crate::{
    nodes::{rules, ten},
    receiver::{Answer, Receiver},
    support::{program::wait_until, server::Server},
};

/// The number of tries with this result, from the metric.
fn ended(server: &Server, result: &str) -> u64 {
    let name = format!("floodmark_webhooks_total{{result=\"{result}\"}}");
    let metrics = server.get_text("/metrics");
    let line = metrics.lines().find(|it| it.starts_with(&name));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_webhook_that_is_down_over_a_restart_is_told_once_in_order_when_it_is_back() {
    let receiver = Receiver::start();
    receiver.answer(Answer::Nothing);
    let mut server = Server::with_config(&rules(&receiver));
    ten(&server, "error");
    server.until("a try has failed", |server| ended(server, "failed") >= 1);
    server.restart();
    receiver.answer(Answer::Later(503, 1));
    server.until("it is tried again after the restart", |server| ended(server, "failed") >= 1);
    receiver.answer(Answer::Elsewhere);
    let before = ended(&server, "failed");
    server.until("a redirect is not followed", |server| ended(server, "failed") > before);
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
    // After delivery nothing is left to send, also after another restart.
    server.restart();
    let undone =
        "SELECT count(*) FROM notifications WHERE done_at IS NULL OR outcome <> 'delivered'";
    let database = server.database();
    let left: i64 = database.query_row(undone, [], |row| row.get(0)).unwrap();
    assert_eq!((left, receiver.requests().len()), (0, 2));
}

#[test]
fn a_webhook_that_says_the_request_is_wrong_is_given_up_after_five_tries() {
    let receiver = Receiver::start();
    receiver.answer(Answer::Status(404));
    let server = Server::with_config(&rules(&receiver));
    ten(&server, "error");
    server.until("it is given up", |server| ended(server, "given_up") >= 1);
    let refused = receiver.refused();
    let first = refused[0].header("Idempotency-Key");
    let tries = refused.iter().filter(|it| it.header("Idempotency-Key") == first);
    assert_eq!(tries.count(), 5);
    // The notifications after it do not wait for it.
    receiver.answer(Answer::Ok);
    server.until("its end is told", |_| receiver.requests().len() == 1);
    assert_eq!(receiver.changes(), [("cleared".to_owned(), "many_errors".to_owned())]);
}

#[test]
fn a_webhook_that_asks_for_patience_is_given_it() {
    for status in [429, 503] {
        let receiver = Receiver::start();
        receiver.answer(Answer::Later(status, 4));
        let server = Server::with_config(&rules(&receiver));
        ten(&server, "error");
        server.until("a try has failed", |server| ended(server, "failed") >= 1);
        receiver.answer(Answer::Ok);
        server.until("it is told", |_| !receiver.requests().is_empty());
        let waited = receiver.requests()[0].at - receiver.refused()[0].at;
        // Without `Retry-After` the first pause would be a second at most.
        assert!(waited.as_secs_f64() >= 3.9, "{status}: again after {waited:?}");
        assert_eq!(receiver.refused().len(), 1, "{status}");
    }
}

#[test]
fn only_who_may_see_the_numbers_sees_the_alerts() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "t")]);
    let path = "/api/analytics/alerts";
    let request = server.request("GET", path);
    assert_eq!(request.send().unwrap().status, 401);
    assert_eq!(request.header("Authorization", "Bearer t").send().unwrap().status, 200);
}
