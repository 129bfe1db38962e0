//! Events that were refused: which there are, and how they are sent again.

use std::process::Output;

use serde_json::{Value, json};

use crate::{
    door::{post, post_json},
    support::{program::floodmark, server::Server},
};

/// When the orders of these tests happened.
const WHEN: i64 = 1_795_420_800_000;

/// Orders whose amounts are texts that no metric can read, in batches of 100.
fn send_bad_orders(server: &Server, orders: usize) {
    let order = |n: usize| {
        // Half of them have ids of their own.
        let id = if n.is_multiple_of(2) { format!(r#""id":"o-{n}","#) } else { String::new() };
        let time = WHEN + n as i64;
        format!(r#"{{"type":"purchase",{id}"timestamp":{time},"properties":{{"total":"5.0"}}}}"#)
    };
    for from in (0..orders).step_by(100) {
        let batch: Vec<String> = (from..orders.min(from + 100)).map(order).collect();
        let (status, answer) = post_json(server, &format!("[{}]", batch.join(",")));
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("all_rejected")));
    }
    server.until("all are dead letters", |server| server.count("dead_letters") == orders as u64);
}

/// Runs the command on the store and the server of a test; `die_at` names a point in its code.
pub fn retry(server: &Server, more: &[&str], die_at: Option<&str>) -> Output {
    let data = server.data();
    let (data, url) = (data.to_str().expect("a plain name"), server.url());
    let mut command = floodmark();
    command.args(["dead-letters", "--data-dir", data, "--retry", "--server", &url]).args(more);
    if let Some(point) = die_at {
        command.env("FAILPOINTS", format!("{point}=1*off->return"));
    }
    command.output().expect("the program was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn groups(server: &Server, query: &str) -> Value {
    server.get(&format!("/api/analytics/dead-letters{query}"))["groups"].clone()
}

/// Puts the amount where the metrics look for it.
const FIX: [&str; 2] = ["--fix", ".properties.amount = (.properties.total | tonumber)"];

#[test]
fn letters_are_grouped_and_show_no_secrets() {
    let server = Server::with(&[("FLOODMARK_AUTH__WRITE_KEYS", "shop-key,app-key")]);
    let bad = |key: &str, body: &str| post(&server, &[("X-Write-Key", key)], body.as_bytes());
    for _ in 0..2 {
        bad("shop-key", r#"[{"type":7,"properties":{"card_number":"4111"}},{"type":7}]"#);
    }
    bad("app-key", r#"{"type":7}"#);
    bad("app-key", r#"{"type":"purchase"}"#);
    server.until("all are kept", |server| server.count("dead_letters") == 6);

    let all = groups(&server, "?samples=2");
    let found: Vec<_> =
        all.as_array().unwrap().iter().map(|it| (&it["code"], &it["count"])).collect();
    let (kind, amount) = (json!("invalid_type"), json!("invalid_amount"));
    assert_eq!(found, [(&kind, &json!(4)), (&amount, &json!(1)), (&kind, &json!(1))]);
    assert_ne!(all[0]["key"], all[1]["key"], "the fingerprints of two keys");
    assert_eq!(all[1]["key"], all[2]["key"]);
    assert_eq!(all[0]["samples"].as_array().unwrap().len(), 2);
    let text = all.to_string();
    assert!(!text.contains("4111") && !text.contains("shop-key") && text.contains("(not shown)"));

    let key = all[1]["key"].as_str().unwrap();
    assert_eq!(groups(&server, &format!("?key={key}")).as_array().unwrap().len(), 2);
    assert_eq!(groups(&server, &format!("?key={key}&code=invalid_type"))[0]["count"], 1);
    assert_eq!(groups(&server, "?source=shop"), json!([]));
    assert_eq!(groups(&server, "?to=2020-01-01T00:00:00Z"), json!([]));
}

#[test]
fn a_retry_that_is_killed_and_started_again_counts_each_order_once_at_its_own_time() {
    let server = Server::start();
    send_bad_orders(&server, 1_200);
    // The first page is done; the second is marked, or sent, when the command dies.
    for point in ["letters-marked", "letters-sent"] {
        let died = retry(&server, &FIX, Some(point));
        assert_eq!(died.status.code(), None, "killed: {}", said(&died));
    }
    let done = retry(&server, &FIX, None);
    assert!(done.status.success(), "{}", said(&done));
    let again = retry(&server, &FIX, None);
    assert!(said(&again).contains("0 sent, 0 were there already"), "{}", said(&again));

    server.until("all are stored", |server| server.count("events") == 1_200);
    let database = server.database();
    let distinct = "SELECT count(DISTINCT id), min(time), max(time) FROM events";
    let found: (i64, i64, i64) = database
        .query_row(distinct, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(found, (1_200, WHEN, WHEN + 1_199));
    let metric =
        format!("/api/analytics/timeseries?metric=revenue&interval=1d&from={WHEN}&to={}", WHEN + 1);
    server.until("and counted", |server| {
        let days = server.get(&metric);
        days.as_array().is_some_and(|days| days.iter().any(|day| day["count"] == 6_000))
    });
    assert_eq!(groups(&server, "")[0]["sent"], 1_200);
    assert_eq!(server.count("dead_letters"), 1_200);
}

#[test]
fn what_is_refused_again_stays_the_letter_that_it_was() {
    let server = Server::start();
    send_bad_orders(&server, 3);
    let refused = retry(&server, &[], None);
    assert!(!refused.status.success() && said(&refused).contains("3 refused again"));
    let view = r#"{"type":"page_view"}"#;
    assert_eq!(post_json(&server, view).0, 202);
    server.until("the answers are stored", |server| server.count("events") == 1);
    assert_eq!(server.count("dead_letters"), 3);
    assert_eq!(groups(&server, "")[0]["count"], 3);

    let shown = retry(&server, &[&FIX[..], &["--dry-run"]].concat(), None);
    let lines = String::from_utf8_lossy(&shown.stdout);
    assert!(lines.lines().count() == 3 && lines.contains(r#""amount":5.0"#), "{lines}");
    assert_eq!(groups(&server, "")[0]["count"], 3, "nothing was changed");

    let left_out = ["--fix", "select(.id == \"o-0\") | .properties.amount = 5"];
    assert!(said(&retry(&server, &left_out, None)).contains("1 sent"));
    assert_eq!(groups(&server, "")[0]["count"], 2);
}

#[test]
fn an_event_that_its_sender_has_mended_already_is_not_sent() {
    let server = Server::start();
    send_bad_orders(&server, 2);
    let mended = format!(
        r#"{{"type":"purchase","id":"o-0","timestamp":{WHEN},"properties":{{"amount":5}}}}"#
    );
    assert_eq!(post_json(&server, &mended).0, 202);
    server.until("it is stored", |server| server.count("events") == 1);
    let done = said(&retry(&server, &FIX, None));
    assert!(done.contains("1 sent, 1 were there already"), "{done}");
    server.until("both are stored", |server| server.count("events") == 2);
}

#[test]
fn an_event_of_another_format_is_sent_as_what_it_means() {
    let server = Server::start();
    let body = format!(
        r#"{{"batch":[{{"type":"track","event":"Order Completed","messageId":"m-1","userId":"u",
            "timestamp":{WHEN},"properties":{{"order_id":"7","total":"many"}}}}]}}"#
    );
    let request = server.request("POST", "/v1/batch").header("Content-Type", "application/json");
    assert_eq!(request.body(body).send().unwrap().status, 200);
    server.until("it is a dead letter", |server| server.count("dead_letters") == 1);
    let group = &groups(&server, "")[0];
    assert_eq!(group["samples"][0]["dialect"], "segment");
    let done = said(&retry(&server, &["--fix", ".properties.amount = 12.5"], None));
    assert!(done.contains("1 sent"), "{done}");
    server.until("it is stored", |server| server.count("events") == 1);
    let sql = "SELECT type || id || time FROM events";
    let row: String = server.database().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(row, format!("purchaseorder:7{WHEN}"));
}

#[test]
fn what_may_have_been_sent_is_not_sent_again_once_its_rows_are_gone() {
    let mut server = Server::with(&[("FLOODMARK_DEDUPE__WINDOW_S", "1")]);
    send_bad_orders(&server, 20);
    let died = retry(&server, &FIX, Some("letters-sent"));
    assert_eq!(died.status.code(), Some(0), "the point comes at the second page only");
    server.until("all are stored", |server| server.count("events") == 20);
    server.kill();
    // As if that retry had been killed, and the day had gone since.
    let file = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
    let day = "date(1795420800000 / 1000, 'unixepoch')";
    file.execute_batch(&format!(
        "UPDATE dead_letters SET state = 'sending' WHERE rowid % 2 = 0;
         DELETE FROM events; INSERT INTO removed_rows VALUES ({day}, '', 'age', 20, 5, NULL)"
    ))
    .unwrap();
    drop(file);
    server.restart();
    let done = retry(&server, &FIX, None);
    let words = said(&done);
    assert!(words.contains("0 sent") && words.contains("10 x it may have been sent"), "{words}");
    assert_eq!(server.count("events"), 0);
}
