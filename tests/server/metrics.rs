//! Metrics, breakdowns and money, from an event to an answer.

use crate::support::server::Server;
use serde_json::{Value, json};

fn post(server: &Server, events: &Value) -> Value {
    let request = server.request("POST", "/v1/events").header("Content-Type", "application/json");
    let answer = request.body(events.to_string()).send().expect("the server answers");
    assert!([202, 422].contains(&answer.status), "{answer:?}");
    answer.json()
}

/// The events of a small shop: two visitors, two orders, a refund, two errors.
fn post_a_small_shop(server: &Server) {
    post(
        server,
        &json!([
            {"type": "page_view", "sessionId": "a", "properties": {"path": "/", "referrer": "direct"}},
            {"type": "page_view", "sessionId": "a", "properties": {"path": "/sale"}},
            {"type": "page_view", "sessionId": "b", "properties": {"path": "/sale"}},
            {"type": "purchase", "sessionId": "a", "properties": {"amount": 60, "gateway": "adyen"}},
            {"type": "purchase", "sessionId": "b", "properties": {"amount": "20.50"}},
            {"type": "refund", "properties": {"amount": 10.25}},
            {"type": "error", "properties": {"path": "/checkout/pay", "code": 502, "gateway": "adyen"}},
            {"type": "error", "properties": {"path": "/", "code": "404"}},
        ]),
    );
}

/// Breakdowns of the small shop, and the answers to requests for breakdowns that don't exist.
fn breakdowns_are_right(server: &Server) {
    let breakdown = |query: &str| server.get(&format!("/api/analytics/breakdown?{query}"));
    assert_eq!(
        breakdown("type=page_view&property=path"),
        json!([{"value": "/sale", "count": 2}, {"value": "/", "count": 1}])
    );
    assert_eq!(
        breakdown("type=error&property=code&minutes=5"),
        json!([{"value": "404", "count": 1}, {"value": "502", "count": 1}])
    );
    assert_eq!(breakdown("type=error&property=code&limit=1").as_array().unwrap().len(), 1);
    // Of two errors one has no gateway. The shares are of all of them.
    let path = "/api/analytics/breakdown?type=error&property=gateway";
    let answer = server.request("GET", path).send().expect("it answers");
    assert_eq!(
        answer.json(),
        json!([
            {"value": "adyen", "count": 1},
            {"value": "(none)", "count": 1, "none": true},
        ])
    );
    assert_eq!(answer.header("x-floodmark-total"), Some("2"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    for wrong in [
        "type=error",
        "type=error&property=nope",
        "type=error&property=code&minutes=0",
        "type=error&property=code&minutes=1441",
        "type=error&property=code&limit=x",
    ] {
        let path = format!("/api/analytics/breakdown?{wrong}");
        let answer = server.request("GET", &path).send().expect("it answers");
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert!(answer.text().contains("invalid_parameter"), "{}", answer.text());
    }
}

#[test]
fn the_shipped_metrics_are_there_without_configuration() {
    let server = Server::start();
    post_a_small_shop(&server);
    server.until("all are counted, distinct sessions too", |server| {
        server.current()["metrics"]["sessions"] == 2 && server.current()["events"] == 8
    });
    let current = server.current();
    let metrics = &current["metrics"];
    for (name, value) in [
        ("events", json!(8)),
        ("page_views", json!(3)),
        ("purchases", json!(2)),
        ("revenue", json!(80.5)),
        ("refunds", json!(10.25)),
        ("net_revenue", json!(70.25)),
        ("average_order_value", json!(40.25)),
        ("conversion", json!(1.0)),
        ("errors", json!(2)),
        ("error_rate", json!(0.25)),
        ("checkout_errors", json!(1)),
        ("signups", json!(0)),
    ] {
        assert_eq!(metrics[name], value, "{name} of {metrics}");
    }
    assert!((metrics["checkout_error_rate"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    // The contract calls the gross sum revenue: a refund takes nothing from it.
    assert_eq!(current["revenue"], 80.5);
    breakdowns_are_right(&server);
    let series = server.get("/api/analytics/timeseries?metric=net_revenue&hours=1");
    let sum: f64 = series.as_array().unwrap().iter().map(|p| p["count"].as_f64().unwrap()).sum();
    assert_eq!(sum, 70.25);
}

#[test]
fn money_in_other_currencies_is_kept_exactly_and_shown_in_the_base() {
    let server = Server::with_config(
        "currency = 'CHF'
         [rates]
         EUR = 0.9341
         USD = '0.88'",
    );
    let purchase = |amount: &str, currency: &str| json!({"type": "purchase", "properties": {"amount": amount, "currency": currency}});
    post(
        &server,
        &json!([
            purchase("10.10", "EUR"),
            purchase("0.05", "eur"),
            purchase("100", "USD"),
            purchase("7", "CHF"),
            {"type": "purchase", "properties": {"amount": 3}},
            purchase("5000", "JPY"),
            purchase("1", "DOGE"),
        ]),
    );
    server.until("all are counted", |server| server.current()["purchases"] == 7);
    let current = server.current();
    assert_eq!(current["currency"], "CHF");
    // Each amount is rounded to four decimals: 10.10 x 0.9341 = 9.43441, 0.05 x 0.9341 = 0.046705.
    assert_eq!(current["revenue"].to_string(), "107.4811");
    assert_eq!(
        current["currencies"]["revenue"],
        json!({"CHF": 10, "EUR": 10.15, "JPY": 5000, "USD": 100, "XXX": 1})
    );
}

#[test]
fn amounts_that_money_metrics_can_not_count_are_dead_letters() {
    let server = Server::start();
    let answer = post(
        &server,
        &json!([
            {"type": "refund", "properties": {}},
            {"type": "purchase", "properties": {"amount": -5}},
            {"type": "purchase", "properties": {"amount": 1e14}},
            {"type": "purchase", "properties": {"amount": "lots"}},
            {"type": "purchase", "properties": {"amount": 1}},
        ]),
    );
    assert_eq!(answer["accepted"], 1);
    let codes: Vec<_> = answer["rejected"].as_array().unwrap().iter().map(|r| &r["code"]).collect();
    assert_eq!(codes, ["invalid_amount"; 4]);
    server.until("the good one is counted", |server| server.current()["revenue"] == 1);
    server.until("the others are kept", |server| server.count("dead_letters") == 4);
}

#[test]
fn a_shops_own_rules_are_laid_over_the_shipped_ones() {
    let server = Server::with_config(
        "[[metric]]
         name = 'big_orders'
         kind = 'count'
         event = 'purchase'
         where = { amount = '>=100', country = ['DE', 'AT'] }
         [[metric]]
         name = 'items'
         kind = 'sum'
         event = ['purchase', 'add_to_cart']
         property = 'quantity'
         [[metric]]
         name = 'customers'
         kind = 'distinct'
         event = '*'
         property = 'userId'
         [[metric]]
         name = 'conversion'
         kind = 'ratio'
         of = 'purchases'
         per = 'page_views'
         [[metric]]
         name = 'signups'
         kind = 'count'
         event = 'signup'
         off = true
         [[breakdown]]
         event = 'add_to_cart'
         property = 'sku'
         top = 1",
    );
    post(
        &server,
        &json!([
            {"type": "purchase", "userId": "u", "properties": {"amount": 100, "country": "DE", "quantity": 2}},
            {"type": "purchase", "userId": "u", "properties": {"amount": 100, "country": "US", "quantity": "0.5"}},
            {"type": "purchase", "userId": "v", "properties": {"amount": 99.99, "country": "AT"}},
            {"type": "add_to_cart", "properties": {"quantity": 1, "sku": "B"}},
            {"type": "add_to_cart", "properties": {"quantity": [], "sku": "A"}},
            {"type": "add_to_cart", "properties": {"sku": "A"}},
            {"type": "page_view"}, {"type": "page_view"},
        ]),
    );
    server.until("all are counted", |server| server.current()["metrics"]["customers"] == 2);
    let metrics = &server.current()["metrics"];
    assert_eq!(metrics["big_orders"], 1);
    assert_eq!(metrics["items"], 3.5);
    assert_eq!(metrics["conversion"], 1.5);
    assert_eq!(metrics["signups"], Value::Null);
    let top = server.get("/api/analytics/breakdown?type=add_to_cart&property=sku");
    assert_eq!(top, json!([{"value": "A", "count": 2}]));
}

#[test]
fn event_types_without_end_become_other() {
    let server = Server::with(&[("FLOODMARK_LIVE__MAX_EVENT_TYPES", "20")]);
    let events: Vec<Value> = (0..60).map(|n| json!({"type": format!("made up {n}")})).collect();
    post(&server, &json!(events));
    post(&server, &json!([{"type": "error", "properties": {}}]));
    server.until("all are counted", |server| server.current()["events"] == 61);
    let counts = server.current()["counts"].as_object().unwrap().clone();
    assert_eq!(counts.len(), 22);
    assert_eq!(counts["other"], 40);
    assert_eq!(counts["error"], 1);
    // The store keeps each event under its own type.
    server.until("all are stored", |server| server.count("events") == 61);
    let types: i64 = server
        .database()
        .query_row("SELECT count(DISTINCT type) FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(types, 61);
}

#[test]
fn distinct_values_and_breakdowns_survive_a_restart() {
    let mut server = Server::start();
    let view = |session: u32| json!({"type": "page_view", "sessionId": format!("s{session}"), "properties": {"path": "/"}});
    post(&server, &json!((0..50).map(view).collect::<Vec<_>>()));
    let all = |sessions: u64| {
        move |server: &Server| {
            let top = server.get("/api/analytics/breakdown?type=page_view&property=path");
            server.current()["metrics"]["sessions"] == sessions && top[0]["count"] == sessions
        }
    };
    server.until("all are counted", all(50));
    server.restart();
    server.until("all are counted again", all(50));
    post(&server, &json!([view(50)]));
    server.until("and one more", all(51));
}
