//! What sells by money: breakdowns by the sum of a metric, live, after a restart, and of days that are over.

use floodmark::{
    domain::{
        batch::NodeId,
        time::{DAY, MINUTE, Millis, bucket, now_ms},
    },
    store::{BatchStore, sqlite::SqliteStore},
};
use serde_json::{Value, json};

use crate::support::{
    batches::{Event, seal},
    program::wait_until,
    redis::RedisServer,
    server::Server,
};

fn asked(server: &Server, query: &str) -> (Value, [String; 3]) {
    let path = format!("/api/analytics/breakdown?type=purchase&property=country&{query}");
    let answer = server.request("GET", &path).send().unwrap();
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    let headers = ["x-floodmark-total", "x-floodmark-max-error", "x-floodmark-max-count-error"];
    (answer.json(), headers.map(header))
}

fn by_money(server: &Server, query: &str) -> (Value, [String; 3]) {
    asked(server, &format!("metric=revenue&{query}"))
}

#[test]
fn what_sells_by_money_is_exact_in_redis_and_after_a_restart() {
    let redis = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let url = redis.url();
    let start = || Server::on(dir.path(), &[("FLOODMARK_REDIS__URLS", &url)]);
    let server = start();
    // The sums of a minute have more digits than Lua writes by itself, and the euro has no rate.
    let large = r#"{"type":"purchase","properties":{"amount":9000000000.0001,"country":"DE"}}"#;
    let mut all = vec![large.to_owned(); 4];
    for (amount, country) in [("5.5", "FR"), ("4.5", "FR"), ("7", "IT")] {
        let properties = format!(r#"{{"amount":{amount},"country":"{country}"}}"#);
        all.push(format!(r#"{{"type":"purchase","properties":{properties}}}"#));
    }
    all.push(r#"{"type":"purchase","properties":{"amount":3,"country":null}}"#.to_owned());
    let in_euro = r#"{"amount":50,"currency":"EUR","country":"FR"}"#;
    all.push(format!(r#"{{"type":"purchase","properties":{in_euro}}}"#));
    // Each event comes by itself, so that the script in Redis adds them up.
    for (n, event) in all.iter().enumerate() {
        server.post(event.as_bytes());
        server.until("it is counted", |server| server.current()["purchases"] == n + 1);
    }
    let rows = json!([
        {"value": "DE", "count": 4, "sum": 36000000000.0004_f64},
        {"value": "FR", "count": 3, "sum": 10},
        {"value": "IT", "count": 1, "sum": 7},
        {"value": "(none)", "count": 1, "sum": 3, "none": true},
    ]);
    let told = ["36000000020.0004".to_owned(), "0".to_owned(), "0".to_owned()];
    assert_eq!(by_money(&server, "minutes=60").0.to_string(), rows.to_string());
    assert_eq!(by_money(&server, "minutes=60").1, told);
    drop(server);
    let server = start();
    server.until("the counters are loaded", |server| server.current()["purchases"] == 9);
    assert_eq!(by_money(&server, "minutes=60").0.to_string(), rows.to_string());
    let (two, _) = by_money(&server, "minutes=60&limit=1");
    assert_eq!(two.as_array().unwrap().len(), 2, "the largest, and those without: {two}");
    let (counts, [total, ..]) = asked(&server, "minutes=60");
    assert_eq!((total.as_str(), &counts[0]), ("9", &json!({"value": "DE", "count": 4})));
    for (query, about) in [
        ("country&metric=purchases", "the sums that are kept of purchase/country"),
        ("gateway&metric=revenue", "the sums that are kept of purchase/gateway"),
    ] {
        let path = format!("/api/analytics/breakdown?type=purchase&property={query}");
        let answer = server.request("GET", &path).send().unwrap();
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.text().contains(about), "{query}: {}", answer.text());
    }
}

#[test]
fn what_sold_on_days_that_are_over_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let now = bucket(now_ms(), MINUTE);
    let countries = ["DE", "FR", "IT", "PL"];
    let events: Vec<Event> = (0..2_000)
        .map(|n| {
            let amount = n % 97;
            let country = countries[n % 7 % 4];
            let mut event = Event::at(now - 4 * DAY + n as Millis * 2 * MINUTE, format!("{n}"));
            event.kind = "purchase".to_owned();
            event.properties = format!(r#"{{"amount":{amount}.25,"country":"{country}"}}"#);
            event
        })
        .collect();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SqliteStore::open(dir.path()).unwrap();
        for (n, events) in events.chunks(40).enumerate() {
            store.write(&seal(NodeId::from_u128(7), n as u64 + 1, events)).await.unwrap();
        }
    });
    let exact = |from: Millis, to: Millis| {
        let within = |n: &usize| (from..to).contains(&events[*n].time);
        let mut rows: Vec<(f64, usize, &str)> = Vec::new();
        for country in countries {
            let of = |n: &usize| countries[n % 7 % 4] == country;
            let all: Vec<usize> = (0..2_000).filter(within).filter(of).collect();
            let sum: f64 = all.iter().map(|n| (n % 97) as f64 + 0.25).sum();
            rows.push((sum, all.len(), country));
        }
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        rows
    };
    let server = Server::on(dir.path(), &[("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20")]);
    let found = |from: Millis, to: Millis| {
        let (rows, _) = by_money(&server, &format!("from={from}&to={to}"));
        let row = |row: &Value| {
            let (sum, count) = (row["sum"].as_f64().unwrap(), row["count"].as_u64().unwrap());
            (sum, count as usize, row["value"].as_str().unwrap().to_owned())
        };
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    for (from, to) in [
        (now - 4 * DAY, now),
        (now - 3 * DAY - 7 * MINUTE, now - 2 * DAY),
        (now - 30 * MINUTE, now),
    ] {
        let expected: Vec<_> =
            exact(from, to).into_iter().map(|row| (row.0, row.1, row.2.to_owned())).collect();
        let expected: Vec<_> = expected.into_iter().filter(|row| row.1 > 0).collect();
        wait_until("all is folded", || {
            let found = found(from, to);
            if found == expected { Ok(()) } else { Err(format!("{found:?} {expected:?}")) }
        });
    }
}
