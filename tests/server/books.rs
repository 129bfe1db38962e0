//! The books over HTTP: signed webhooks against what pages and servers send, orders from
//! files, and the alerts that tell a tracking that has stopped from orders that have.

use std::path::Path;

use floodmark::domain::time::{MINUTE, Millis, bucket, now_ms, rfc3339};
use serde_json::{Value, json};

use crate::{
    support::{
        program::{floodmark, noon_zone},
        server::Server,
    },
    webhooks::stripe,
};

const SOURCES: &str = "[[source]]\nname = 'web'\nkey = 'w'\n\
     [[source]]\nname = 'payments'\nwebhook = 'stripe'\nsecret = 'whsec_1'\n";

fn server(more: &str) -> Server {
    let zone = noon_zone();
    Server::with_config(&format!(
        "timezone = \"{zone}\"\ncurrency = \"EUR\"\nledger.fold_interval_ms = 200\n{more}{SOURCES}"
    ))
}

/// A charge of Stripe that pays for an order; Stripe tells of it and it counts as no order itself.
fn paid(server: &Server, order: &str, cents: i64, at: Millis, live: bool) {
    let event = json!({"id": format!("evt_{order}"), "type": "charge.succeeded", "created": at / 1_000,
        "livemode": live, "data": {"object": {"object": "charge", "id": format!("ch_{order}"),
            "amount": cents, "currency": "eur", "created": at / 1_000, "status": "succeeded",
            "metadata": {"order_id": order}}}});
    assert_eq!(stripe(server, "whsec_1", 0, &event), 200);
}

fn purchase(order: &str, amount: &str, at: Millis) -> Value {
    json!({"type": "purchase", "id": format!("order:{order}"), "timestamp": at,
           "properties": {"amount": amount, "currency": "EUR"}})
}

fn send(server: &Server, events: &[Value]) {
    let request = server.request("POST", "/v1/events").header("X-Write-Key", "w");
    let body = serde_json::to_vec(events).unwrap();
    let answer = request.body(body).send().unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn command(server: &Server, args: &[&str]) -> (bool, String) {
    let data = server.data();
    let mut command = floodmark();
    command.args(args).arg("--data-dir").arg(&data).arg("--config").arg(config(&data));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A file with the settings that decide how a command reads its own.
fn config(data: &Path) -> std::path::PathBuf {
    let path = data.parent().unwrap().join("command.toml");
    std::fs::write(&path, format!("timezone = \"{}\"\ncurrency = \"EUR\"\n", noon_zone())).unwrap();
    path
}

#[test]
fn webhooks_and_files_are_compared_with_events_and_faults_are_named() {
    let server = server("");
    let at = now_ms() - 20 * MINUTE;
    for order in ["1001", "1002", "1003", "1004"] {
        paid(&server, order, 5_997, at, true);
    }
    paid(&server, "1005", 100, at, false);
    let refund = json!({"id": "evt_r", "type": "refund.created", "created": at / 1_000, "data": {"object": {
        "object": "refund", "id": "re_1", "amount": 5_997, "currency": "eur", "created": at / 1_000,
        "charge": "ch_1001", "status": "succeeded", "metadata": {"order_id": "1001"}}}});
    assert_eq!(stripe(&server, "whsec_1", 0, &refund), 200);
    let mut twice = purchase("1003", "59.97", at);
    twice["id"] = json!("again");
    twice["properties"]["order_id"] = json!("1003");
    send(
        &server,
        &[
            purchase("1001", "59.97", at),
            purchase("1003", "59.97", at),
            twice,
            purchase("1004", "59.90", at),
            purchase("4711", "1", at),
        ],
    );
    let books = || server.get("/api/analytics/books");
    server.until("all are compared", |_| {
        let books = books();
        books["orders"] == 4 && books["counts"]["unknown"] == 1 && books["matched"] == 3
    });
    let found = books();
    assert_eq!(found["share"], 0.75);
    assert_eq!(
        (&found["missing"], &found["doubled"], &found["unknown"]),
        (&json!(["1002"]), &json!(["1003"]), &json!(["4711"]))
    );
    let differ = json!([{"order": "1004", "source": "payments",
        "there": {"amount": 59.97, "currency": "EUR"}, "here": {"amount": 59.9, "currency": "EUR"}}]);
    assert_eq!(found["differ"], differ);
    assert_eq!(
        (&found["tests"], &found["refunds"], &found["cut"]),
        (&json!(1), &json!(1), &json!([]))
    );
    let before = server.get("/api/analytics/books?day=2026-01-01");
    assert_eq!(
        (&before["orders"], &before["share"], &before["kept"]),
        (&json!(0), &Value::Null, &json!(true))
    );

    // The shop's own list has one order more, and one that is known.
    let file = server.data().parent().unwrap().join("orders.csv");
    let lines = format!("id,time,amount,currency\n1001,{at},59.97,EUR\n1006,{at},7.50,EUR\n");
    std::fs::write(&file, lines).unwrap();
    let path = file.to_str().unwrap();
    let (done, words) = command(&server, &["orders", path, "--dry-run"]);
    assert!(done && words.contains("2 orders") && words.contains("nothing was kept"), "{words}");
    assert_eq!(books()["orders"], 4);
    let (done, words) = command(&server, &["orders", path]);
    assert!(done && words.contains("2 orders of source file are in the books"), "{words}");
    server.until("they are compared", |_| books()["missing"] == json!(["1002", "1006"]));
    server.until("its book has two", |server| {
        server.get("/api/analytics/books?source=file")["orders"] == 2
    });
    std::fs::write(&file, "id,time,amount,currency\n1007,noon,7.50,EUR\n").unwrap();
    let (done, words) = command(&server, &["orders", path]);
    assert!(!done && words.contains("line 2: the time \"noon\""), "{words}");
    assert_eq!(books()["orders"], 5);
}

/// Orders of an hour and a half, three a minute, of which only some of the last quarter of an hour come by
/// webhook or by tracking, and page views. Returns what `floodmark alerts test` says of them.
fn alerts_of(booked: bool, tracked: bool) -> String {
    let server = server("");
    let end = bucket(now_ms(), MINUTE);
    let (from, stopped) = (end - 90 * MINUTE, end - 15 * MINUTE);
    let (mut events, mut orders) = (Vec::new(), 0);
    for (n, at) in (from..end).step_by(20_000).enumerate() {
        events.extend((0..4).map(|_| json!({"type": "page_view", "timestamp": at})));
        if tracked || at < stopped {
            events.push(purchase(&format!("{n}"), "5", at));
        }
        if booked || at < stopped {
            paid(&server, &n.to_string(), 500, at, true);
            orders += 1;
        }
        if events.len() > 400 {
            send(&server, &std::mem::take(&mut events));
        }
    }
    send(&server, &events);
    // `alerts test` reads what is folded.
    let folded = |server: &Server, series: &str| -> i64 {
        let sql = "SELECT coalesce(sum(value), 0) FROM rollups WHERE series = ?";
        server.database().query_row(sql, [series], |row| row.get(0)).unwrap()
    };
    server.until("all are folded", |server| {
        let found = ["c:charge_succeeded", "c:page_view"].map(|series| folded(server, series));
        found == [orders, 4 * 90 * 3]
    });
    let (from, to) = (rfc3339(from), rfc3339(end));
    let (_, words) = command(&server, &["alerts", "test", "--from", &from, "--to", &to]);
    words
}

#[test]
fn tracking_that_stops_while_webhooks_go_on_is_an_alert_of_its_own() {
    let words = alerts_of(true, false);
    assert!(words.contains("tracking_stopped: fired 1"), "{words}");
    assert!(words.contains("revenue_stall: fired 0"), "{words}");
}

#[test]
fn orders_that_stop_everywhere_are_no_fault_of_the_tracking() {
    let words = alerts_of(false, false);
    assert!(words.contains("revenue_stall: fired 1"), "{words}");
    assert!(words.contains("tracking_stopped: fired 0"), "{words}");
}
