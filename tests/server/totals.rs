//! The main job, end to end: a file of 200,000 events is replayed. The store, the ledger, the
//! totals and what a viewer adds up agree exactly with sums computed from the file.

use std::process::Command;

use crate::support::{
    server::Server,
    sums::{Sums, follow},
};

const EVENTS: u64 = 200_000;

fn floodmark(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_floodmark")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_replayed_file_is_stored_counted_and_shown_exactly() {
    let server = Server::start();
    let file = server.data().join("events.ndjson");
    let file_name = file.to_str().unwrap();
    let events = EVENTS.to_string();
    floodmark(&["demo", "--write", file_name, "--events", &events]);
    let mut sent = Sums::default();
    sent.add_file(&file);
    assert_eq!(sent.events(), EVENTS);

    let viewer = std::thread::spawn({
        let addr = server.addr();
        move || follow(addr, |sums| sums.events() >= EVENTS).0
    });
    floodmark(&["replay", file_name, "--to", &server.url(), "--batch", "1000"]);

    assert_eq!(viewer.join().unwrap(), sent, "what a viewer added up");
    assert_eq!(Sums::of_current(&server.current()), sent, "/current");
    server.until("all are stored", |server| server.count("events") == EVENTS);
    let ledger: i64 = server
        .database()
        .query_row("SELECT sum(events) FROM ledger", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ledger as u64, EVENTS, "the ledger");
}

/// An order in a currency without a rate is in neither side of the average, and is said to be left out.
#[test]
fn an_average_is_of_the_orders_that_are_in_its_sum() {
    let server = Server::start();
    let orders = serde_json::json!([
        {"type": "purchase", "properties": {"amount": 10, "currency": "USD"}},
        {"type": "purchase", "properties": {"amount": 10, "currency": "GBP"}},
    ]);
    let answer = server
        .request("POST", "/v1/events")
        .header("Content-Type", "application/json")
        .body(orders.to_string())
        .send()
        .expect("the server answers");
    assert_eq!(answer.status, 202, "{answer:?}");
    server.until("both are counted", |server| server.current()["purchases"] == 2);
    let current = server.current();
    assert_eq!(current["metrics"]["average_order_value"], 10);
    assert_eq!(current["currencies"]["revenue"]["GBP"], 10);
    let left_out = serde_json::json!({"average_order_value": 1, "net_revenue": 1, "revenue": 1});
    assert_eq!(current["leftOut"], left_out);

    let day = |metric: &str| -> serde_json::Value {
        let path = format!("/api/analytics/timeseries?interval=1mo&metric={metric}");
        let answer = server.request("GET", &path).send().expect("the server answers");
        serde_json::from_slice(&answer.body).expect("JSON")
    };
    for metric in ["average_order_value", "revenue"] {
        let month = day(metric);
        assert_eq!(month[0]["count"], 10, "{month}");
        assert_eq!(month[0]["leftOut"], 1, "{month}");
    }
    assert_eq!(day("purchases")[0]["leftOut"], serde_json::Value::Null);
}
