//! `floodmark import` against the real server: what a shop has downloaded elsewhere stands in the charts to the cent,
//! once, however often and however rudely it is imported.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    program::{floodmark, floodmark_output, scratch, wait_until},
    server::Server,
};

/// Folds all the time, so that charts have the past at once.
const FOLDS: (&str, &str) = ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20");

fn export(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports").join(name)
}

fn import(server: &Server, file: &Path, flags: &[&str]) -> Output {
    let url = server.url();
    let mut args = vec!["import", file.to_str().unwrap(), "--to", &url, "--yes"];
    args.extend(flags);
    floodmark_output(&args)
}

/// How many events a run of the command says were accepted, and how many were there.
fn told(output: &Output) -> (u64, u64) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {said} {output:?}"));
        line.trim().replace(',', "").parse().unwrap()
    };
    (count("accepted"), count("duplicates"))
}

/// The sum of a metric over Black Friday of 2025 and the day after it, as the chart of hours has it.
fn charted(server: &Server, metric: &str) -> f64 {
    let query = "from=2025-11-28T00:00:00Z&to=2025-11-30T00:00:00Z&interval=1h";
    let hours = server.get(&format!("/api/analytics/timeseries?metric={metric}&{query}"));
    let hours = hours.as_array().expect("a chart").clone();
    let sum = |hours: &[Value]| hours.iter().filter_map(|hour| hour["count"].as_f64()).sum::<f64>();
    (sum(&hours) * 100.0).round() / 100.0
}

fn until_charted(server: &Server, metric: &str, value: f64) {
    wait_until(&format!("{metric} is {value}"), || match charted(server, metric) {
        seen if (seen - value).abs() < 0.001 => Ok(()),
        seen => Err(seen),
    });
}

#[test]
fn each_export_stands_in_the_charts_to_the_cent() {
    for (name, flags, accepted, revenue) in [
        ("shopify.csv", &[][..], 3, 59.97 + 25.0 + 0.03),
        ("stripe.csv", &[], 3, 59.97),
        ("woocommerce.csv", &["--timezone", "Europe/Berlin"], 2, 0.0),
        ("woocommerce-analytics.csv", &["--currency", "USD"], 1, 40.10),
        ("ga4.ndjson", &[], 2, 0.0),
        ("posthog.ndjson", &[], 2, 25.0),
        ("posthog.csv", &[], 2, 25.0),
        ("mixpanel.ndjson", &[], 2, 25.0),
        ("umami.csv", &[], 2, 0.0),
        ("native.ndjson", &[], 3, 20.0),
    ] {
        let server = Server::with(&[FOLDS]);
        let output = import(&server, &export(name), flags);
        assert_eq!(told(&output), (accepted, 0), "{name} {output:?}");
        assert_eq!(server.count("events"), accepted, "{name}: answered once it is stored");
        until_charted(&server, "revenue", revenue);
        let current = server.current();
        assert_eq!(
            (&current["purchases"], &current["revenue"], &current["activeUsers"]),
            (&json!(0), &json!(0), &json!(0)),
            "{name}: the past is no part of today"
        );
    }
}

#[test]
fn a_map_reads_any_csv_in_its_own_currency() {
    let server = Server::with(&[FOLDS, ("FLOODMARK_CURRENCY", "EUR")]);
    let map = export("own.toml");
    let output = import(&server, &export("own.csv"), &["--map", map.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("line 4: \"gestern\" is no moment"), "{said}");
    assert!(said.contains("purchase in EUR: 1235.49 from 2 of them"), "{said}");
    assert_eq!((told(&output), output.status.code()), ((2, 0), Some(1)), "a row is missing");
    until_charted(&server, "revenue", 1_235.49);
}

#[test]
fn a_preview_says_what_becomes_what_and_sends_nothing() {
    let server = Server::start();
    let (file, url) = (export("shopify.csv"), server.url());
    let preview = |flag: &[&str]| {
        floodmark_output(&[&["import", file.to_str().unwrap(), "--to", &url], flag].concat())
    };
    let output = preview(&["--dry-run"]);
    let said = String::from_utf8_lossy(&output.stdout);
    for words in [
        "read as shopify",
        "purchase in USD: 85.00 from 3 of them",
        "on 2 days, most on 2025-11-28: 2",
        "left out 1 x not paid: pending",
        "line 6: the amount \"12,5\" is not a decimal number",
        "nothing was sent",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let nobody_asked = preview(&[]);
    assert_eq!(nobody_asked.status.code(), Some(2), "{nobody_asked:?}");
    assert_eq!(server.count("events"), 0);
}

#[test]
fn what_holds_no_events_is_refused_with_the_reason() {
    let (_folder, file) = scratch("imported_visitors_20240101_20241231.csv");
    std::fs::write(
        &file,
        "date,visitors,pageviews,bounces,visits,visit_duration\n2024-01-01,5,9,1,5,3\n",
    )
    .unwrap();
    let output = floodmark_output(&["import", file.to_str().unwrap(), "--dry-run"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("sums by day"), "{output:?}");
}

/// A packed file of orders of a cent each, and of views, all of them minutes apart.
fn many(name: &str, events: u64) -> (tempfile::TempDir, PathBuf) {
    let (folder, file) = scratch(name);
    let packed = std::fs::File::create(&file).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    for n in 0..events {
        let time = 1_764_331_200_000 + n as i64 * 10_000;
        let kind = if n % 2 == 0 { "purchase" } else { "page_view" };
        writeln!(
            packed,
            r#"{{"type":"{kind}","timestamp":{time},"id":"order:{n}","properties":{{"amount":"0.01","currency":"USD"}}}}"#
        )
        .unwrap();
    }
    packed.finish().unwrap();
    (folder, file)
}

#[test]
fn imported_again_at_any_later_time_nothing_counts_twice() {
    let forgets =
        [FOLDS, ("FLOODMARK_DEDUPE__WINDOW_S", "1"), ("FLOODMARK_DEDUPE__LONG_WINDOW_S", "1")];
    let mut server = Server::with(&forgets);
    let (_folder, file) = many("orders.ndjson.gz", 4_000);
    assert_eq!(told(&import(&server, &file, &[])), (4_000, 0));
    until_charted(&server, "revenue", 20.0);
    server.restart();
    // The rows may be gone by then, as [retention] says. Their keys stay.
    let database = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
    database.execute("DELETE FROM events", []).unwrap();
    assert_eq!(told(&import(&server, &file, &["--batch", "777"])), (0, 4_000));
    until_charted(&server, "revenue", 20.0);
    let keys: i64 =
        database.query_row("SELECT count(*) FROM imported_ids", [], |row| row.get(0)).unwrap();
    assert_eq!((keys, server.count("events")), (4_000, 0));
}

/// How many events the store in this data dir has.
fn rows_of(data: &Path) -> u64 {
    let database =
        rusqlite::Connection::open(data.join("floodmark.db")).expect("the file is there");
    let count = "SELECT count(*) FROM events";
    database.query_row(count, [], |row| row.get::<_, i64>(0)).expect("a count") as u64
}

#[test]
fn killed_midway_on_either_side_and_begun_again_each_event_is_there_once() {
    let data = tempfile::tempdir().unwrap();
    let dies = [FOLDS, ("FAILPOINTS", "import-appended=7*off->return")];
    let mut server = Server::on(data.path(), &dies);
    let (_folder, file) = many("orders.ndjson.gz", 6_000);
    // The server dies with events on its disk that nobody was told of.
    let output = import(&server, &file, &["--batch", "200", "--patience", "0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("stopped: "), "{output:?}");
    assert!(!server.wait().success());
    let mut server = Server::on(data.path(), &[FOLDS]);

    // The command is killed, too, once something of it has come.
    let url = server.url();
    let mut command = floodmark();
    command.args(["import", file.to_str().unwrap(), "--to", &url, "--yes"]);
    command
        .args(["--batch", "50", "--connections", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let before = rows_of(data.path());
    let mut child = command.spawn().expect("the program was built");
    wait_until("some are there", || match rows_of(data.path()) {
        events if events > before || child.try_wait().unwrap().is_some() => Ok(()),
        events => Err(events),
    });
    child.kill().unwrap();
    child.wait().unwrap();

    let (accepted, duplicates) = told(&import(&server, &file, &[]));
    assert_eq!(accepted + duplicates, 6_000);
    assert_eq!(rows_of(data.path()), 6_000);
    until_charted(&server, "revenue", 30.0);
    server.restart();
    until_charted(&server, "revenue", 30.0);
}

#[test]
fn an_order_that_came_when_it_happened_is_not_imported_once_more() {
    let forgets =
        [FOLDS, ("FLOODMARK_DEDUPE__WINDOW_S", "1"), ("FLOODMARK_DEDUPE__LONG_WINDOW_S", "1")];
    let server = Server::with(&forgets);
    // It came a little later than the shop says.
    let live = r#"{"type":"purchase","timestamp":1764338407000,"id":"order:5001","properties":{"amount":59.97,"currency":"USD"}}"#;
    assert_eq!(server.post(live).status, 202);
    server.until("it is stored", |server| server.count("events") == 1);
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(told(&import(&server, &export("shopify.csv"), &[])), (2, 1));
    until_charted(&server, "revenue", 85.0);
}

#[test]
fn an_order_whose_row_is_gone_is_not_imported_once_more() {
    let forgets =
        [FOLDS, ("FLOODMARK_DEDUPE__WINDOW_S", "1"), ("FLOODMARK_DEDUPE__LONG_WINDOW_S", "1")];
    let server = Server::with(&forgets);
    // The payment was told days after the shop dates the order.
    let live = r#"{"type":"purchase","timestamp":1764838407000,"id":"order:5001","properties":{"amount":59.97,"currency":"USD"}}"#;
    assert_eq!(server.post(live).status, 202);
    server.until("it is stored", |server| server.count("events") == 1);
    let database = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
    database.execute("DELETE FROM events", []).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(told(&import(&server, &export("shopify.csv"), &[])), (2, 1));
    until_charted(&server, "revenue", 25.03);
}

#[test]
fn only_a_secret_key_imports_and_only_what_has_an_id() {
    let server = Server::with_config(
        "[[source]]\nname = \"page\"\nkey = \"p\"\npublic = true\n[[source]]\nname = \"shop\"\nkey = \"s\"\n",
    );
    let post = |key: &str, body: &str| {
        let request = server.request("POST", "/v1/events/import").header("X-Write-Key", key);
        request.body(body.to_owned()).send().expect("an answer")
    };
    let event = r#"[{"type":"page_view","timestamp":1764338400000,"id":"1"},{"type":"page_view","id":"1"},{"type":"a"}]"#;
    let refused = post("p", event);
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (403, &json!("secret_key_needed"))
    );
    assert_eq!(post("none", event).status, 401);
    let answer = post("s", event);
    assert_eq!(answer.status, 202, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&answer["rejected"][0]["index"], &answer["rejected"][0]["code"]),
        (&json!(2), &json!("invalid_id"))
    );
    let stored: (String, String) = server
        .database()
        .query_row("SELECT source, dialect FROM events", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(stored, ("shop".to_owned(), "import".to_owned()));
}

#[test]
fn the_past_teaches_no_schema() {
    let server = Server::with(&[FOLDS]);
    let recent = |kind: &str| {
        let time = floodmark::domain::time::now_ms() - 7_200_000;
        format!(r#"{{"type":"{kind}","timestamp":{time},"id":"1","properties":{{"path":"/"}}}}"#)
    };
    let (_folder, file) = scratch("recent.ndjson");
    std::fs::write(&file, recent("past_view")).unwrap();
    assert_eq!(told(&import(&server, &file, &[])), (1, 0));
    assert_eq!(server.post(recent("live_view")).status, 202);
    server.until("what came by itself is learnt", |server| {
        server.get("/api/analytics/schema").to_string().contains("live_view")
    });
    let learnt = server.get("/api/analytics/schema").to_string();
    assert!(!learnt.contains("past_view"), "{learnt}");
}
