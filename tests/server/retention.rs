//! What `[retention]` removes is gone, to the row, also where that is killed midway, and every chart shows
//! what it has shown.

use std::{path::Path, process::Output};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{
    batches::{Event, seal},
    postgres::Postgres,
    program::{floodmark, noon_zone},
    server::Server,
};
use floodmark::{
    domain::{
        batch::NodeId,
        time::{DAY, MINUTE, Millis, now_ms, rfc3339},
    },
    store::{BatchStore, sqlite::SqliteStore},
};

/// Rows that one day has.
const A_DAY: u64 = 3_000;
/// Days with rows, today included.
const DAYS: i64 = 7;

fn today() -> Millis {
    now_ms().div_euclid(DAY) * DAY
}

fn day(back: i64) -> String {
    rfc3339(today() - back * DAY)[..10].to_owned()
}

/// The events of a day: of five, three are page views, one an error and one a purchase.
fn of_day(back: i64) -> Vec<Event> {
    let at = |n: u64| {
        let time = today() - back * DAY + n as Millis * 28_000;
        // A day that is not over has its events in the first minutes.
        if back == 0 { today() + (n as Millis * 7) % MINUTE } else { time }
    };
    let event = |n: u64| {
        let mut event = Event::at(at(n), format!("{back}-{n}"));
        event.session = Some(format!("s{}", n % 50));
        event.user = Some(format!("u{}", n % 30));
        (event.kind, event.properties) = match n % 5 {
            0 => ("purchase".to_owned(), format!(r#"{{"amount":{}.5}}"#, n % 90)),
            1 => ("error".to_owned(), r#"{"code":"E1"}"#.to_owned()),
            _ => ("page_view".to_owned(), format!(r#"{{"path":"/p/{}"}}"#, n % 9)),
        };
        event
    };
    (0..A_DAY).map(event).collect()
}

/// Fills a data folder as a server would that ran for some days.
async fn fill(dir: &Path) {
    let store = SqliteStore::open(dir).unwrap();
    let mut seq = 0;
    for back in (0..DAYS).rev() {
        for events in of_day(back).chunks(500) {
            seq += 1;
            store.write(&seal(NodeId::from_u128(7), seq, events)).await.unwrap();
        }
    }
}

/// What all charts say, as text.
fn charts(server: &Server) -> Vec<String> {
    let (from, to) = (today() - 8 * DAY, today() + DAY);
    let span = format!("from={from}&to={to}");
    let mut paths: Vec<String> = ["page_views", "revenue", "errors"]
        .iter()
        .flat_map(|metric| {
            ["1h", "1d"].map(|interval| {
                format!("/api/analytics/timeseries?metric={metric}&interval={interval}&{span}")
            })
        })
        .collect();
    paths.push(format!("/api/analytics/breakdown?type=page_view&property=path&{span}"));
    paths.push(format!("/api/analytics/breakdown?type=error&property=code&{span}"));
    let mut texts: Vec<String> = paths.iter().map(|path| server.get_text(path)).collect();
    let mut current = server.current();
    // Moments and who is active change by themselves.
    current
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["timestamp", "activeUsers", "asOf"].contains(&name.as_str()));
    texts.push(current.to_string());
    texts
}

const SETTINGS: &str = "[retention]\nevents_days = 4\nby_type = { page_view = 2, error = 30 }\n";

/// Runs the command; `die_at` names a point in its code, and at which pass of it.
fn retention(dir: &Path, more: &[&str], die_at: Option<&str>) -> Output {
    let file = dir.join("retention.toml");
    std::fs::write(&file, SETTINGS).unwrap();
    let mut command = floodmark();
    command.args(["retention", "--data-dir"]).arg(dir).arg("--config").arg(file).args(more);
    command.env("FLOODMARK_TIMEZONE", noon_zone());
    if let Some(point) = die_at {
        command.env("FAILPOINTS", point);
    }
    command.output().expect("the program was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The file of a data folder, for reading only.
fn database(dir: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(dir.join("floodmark.db"), flags).unwrap()
}

fn number(dir: &Path, sql: &str) -> i64 {
    database(dir).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Rows by day and type, as `2026-11-27 page_view 1800`.
fn rows(dir: &Path) -> Vec<String> {
    let sql = "SELECT date(time / 1000, 'unixepoch') || ' ' || type || ' ' || count(*)
               FROM events GROUP BY date(time / 1000, 'unixepoch'), type ORDER BY 1";
    let database = database(dir);
    let mut select = database.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn expected_rows() -> Vec<String> {
    let mut expected = Vec::new();
    for back in (0..=4).rev() {
        expected.push(format!("{} error {}", day(back), A_DAY / 5));
        if back <= 2 {
            expected.push(format!("{} page_view {}", day(back), A_DAY / 5 * 3));
        }
        expected.push(format!("{} purchase {}", day(back), A_DAY / 5));
    }
    expected
}

#[actix_web::test]
async fn rows_go_and_charts_stay_through_kills() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    let mut server = Server::on(dir.path(), &[]);
    let known = "SELECT count(*) FROM ledger_heads h JOIN fold_heads f USING (node, lane, seq)";
    server.until("the ledger is folded", |_| number(dir.path(), known) == 4);
    let before = charts(&server);
    let size = || std::fs::metadata(dir.path().join("floodmark.db")).unwrap().len();

    let dry = retention(dir.path(), &["--dry-run"], None);
    let words = said(&dry);
    assert!(words.contains(&format!("{}  all types: {A_DAY} rows", day(6))), "{words}");
    assert!(words.contains(&format!("{}  page_view: {} rows", day(3), A_DAY / 5 * 3)), "{words}");
    assert!(words.contains(&format!("{} rows of events in all", 2 * A_DAY + 2 * 1_800)), "{words}");
    assert_eq!(
        number(dir.path(), "SELECT count(*) FROM events"),
        DAYS * A_DAY as i64,
        "a dry run changes nothing"
    );

    for pass in [1, 2, 3] {
        let died = retention(dir.path(), &[], Some(&format!("retention-step={pass}*off->return")));
        assert_eq!(died.status.code(), None, "killed: {}", said(&died));
    }
    let large = size();
    let done = retention(dir.path(), &[], None);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(rows(dir.path()), expected_rows());
    let noted = "SELECT sum(rows) * 10 + count(*) FROM removed_rows WHERE rows > 0";
    let expected = (2 * A_DAY as i64 + 2 * 1_800) * 10 + 4;
    assert_eq!(number(dir.path(), noted), expected, "two days, and a type of two days");
    let free: i64 =
        database(dir.path()).pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
    assert_eq!(free, 0, "all that was free has gone back to the disk");
    assert_eq!(charts(&server), before);

    server.restart();
    server.until("it is ready", |server| server.get("/readyz")["status"] == "ready");
    assert_eq!(charts(&server), before, "after a restart, too");
    server.kill();
    // Rollups and their sketches are most of the rest, and stay.
    assert!(size() < large * 9 / 10, "the file was {large} bytes and is {}", size());
    server.restart();

    // A question that takes the rows is told that they are gone.
    let at = today() - 6 * DAY;
    let path = format!(
        "/api/analytics/explain?metric=errors&from={at}&to={}&baseline_from={}&baseline_to={}",
        at + MINUTE,
        at + DAY / 2,
        at + DAY / 2 + MINUTE
    );
    let answer = server.request("GET", &path).send().unwrap();
    let answered: Value = answer.json();
    assert_eq!((answer.status, &answered["error"]["code"]), (410, &json!("rows_removed")));
    let words = answered["error"]["message"].as_str().unwrap();
    assert!(words.contains(&day(6)), "{words}");
    let events = |kind: &str| {
        let path = format!("/api/analytics/events?type={kind}&from={at}&to={}", at + 4 * DAY);
        server.get(&path)["removed"].clone()
    };
    let gone =
        |rows: u64, last: i64| json!({"rows": rows, "firstDay": day(6), "lastDay": day(last)});
    assert_eq!(events("page_view"), gone(2 * A_DAY + 2 * 1_800, 3));
    assert_eq!(events("purchase"), gone(2 * A_DAY, 5));
    let path = format!("/api/analytics/events?from={}", today() - 2 * DAY);
    assert_eq!(server.get(&path)["removed"], Value::Null, "nothing is gone of these days");
}

#[actix_web::test]
async fn a_server_removes_by_itself_and_takes_events_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    let file = dir.path().join("retention.toml");
    std::fs::write(&file, format!("{SETTINGS}interval_s = 1\n")).unwrap();
    let (data, file) = (dir.path().to_str().unwrap(), file.to_str().unwrap());
    let server = Server::spawn(&["serve", "--data-dir", data, "--config", file], &[]);
    let sent = 200;
    for n in 0..sent {
        let answer = server.post(format!(r#"{{"type":"signup","id":"new-{n}"}}"#));
        assert_eq!(answer.status, 202);
    }
    let of = |sql: &str| number(dir.path(), sql);
    let gone = 2 * A_DAY as i64 + 2 * 1_800;
    let left = DAYS * A_DAY as i64 - gone;
    server.until("it is all gone", |_| {
        of("SELECT count(*) FROM events WHERE type <> 'signup'") == left
            && of("SELECT count(*) FROM events WHERE type = 'signup'") == sent
    });
    assert_eq!(of("SELECT sum(rows) FROM removed_rows"), gone);
    let line = |reason: &str, rows: i64| {
        format!("floodmark_retention_removed_rows_total{{reason=\"{reason}\"}} {rows}")
    };
    server.until("it is counted", |server| {
        server.has_metric(&line("age", 2 * A_DAY as i64)) && server.has_metric(&line("type", 3_600))
    });
    assert!(server.has_metric(&line("person", 0)));
    assert!(server.get_text("/metrics").contains("floodmark_store_bytes "));
}

#[actix_web::test]
async fn days_of_postgres_go_through_kills() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path(), &[("FLOODMARK_POSTGRES__URL", &url)]);
    let mut sent = 0;
    for back in 0..DAYS {
        let event = |event: &Event| {
            let (kind, time, id) = (&event.kind, event.time, &event.id);
            format!(
                r#"{{"type":"{kind}","timestamp":{time},"id":"{id}","properties":{}}}"#,
                event.properties
            )
        };
        let events: Vec<String> = of_day(back).iter().step_by(3).map(event).collect();
        sent += events.len();
        assert_eq!(server.post(format!("[{}]", events.join(","))).status, 202);
    }
    let number = |sql: &'static str| {
        let postgres = &postgres;
        async move { postgres.sql(sql).await[0][0].parse::<usize>().unwrap() }
    };
    while number("SELECT count(*) FROM events").await < sent
        || number("SELECT count(*) FROM ledger_heads h JOIN fold_heads f USING (node, lane, seq)")
            .await
            < number("SELECT count(*) FROM ledger_heads").await
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = charts(&server);
    let run = |die_at: Option<&str>| {
        let file = dir.path().join("retention.toml");
        std::fs::write(&file, SETTINGS).unwrap();
        let mut command = floodmark();
        command.args(["retention", "--postgres", &url, "--data-dir"]).arg(dir.path());
        command.arg("--config").arg(file).env("FLOODMARK_TIMEZONE", noon_zone());
        if let Some(point) = die_at {
            command.env("FAILPOINTS", format!("{point}=return"));
        }
        command.output().expect("the program was built")
    };
    for point in ["retention-detached", "retention-copying", "retention-copied"] {
        let died = run(Some(point));
        assert_eq!(died.status.code(), None, "killed at {point}: {}", said(&died));
        // Its lease ends by itself; a test does not wait for that.
        postgres.sql("DELETE FROM leases WHERE name = 'removal'").await;
    }
    let done = run(None);
    assert!(done.status.success(), "{}", said(&done));
    let by_day = "SELECT (time AT TIME ZONE 'UTC')::date::text, type, count(*)::text FROM events
                  GROUP BY 1, 2 ORDER BY 1, 2";
    let found: Vec<String> =
        postgres.sql(by_day).await.into_iter().map(|row| row.join(" ")).collect();
    let counted: Vec<String> = (0..=4)
        .rev()
        .flat_map(|back| {
            ["error", "page_view", "purchase"].into_iter().filter_map(move |kind| {
                let events = of_day(back);
                let rows = events.iter().step_by(3).filter(|it| it.kind == kind).count();
                (kind != "page_view" || back <= 2).then(|| format!("{} {kind} {rows}", day(back)))
            })
        })
        .collect();
    assert_eq!(found, counted);
    let left = number("SELECT count(*) FROM events").await;
    let noted = number("SELECT sum(rows) FROM removed_rows").await;
    assert_eq!(left + noted, sent);
    assert_eq!(charts(&server), before);
    server.until("it is ready", |server| server.get("/readyz")["status"] == "ready");
}

#[actix_web::test]
async fn a_file_of_before_shrinks_once_it_was_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    // As versions before made it: without the pages that say where free ones are.
    let file = Connection::open(dir.path().join("floodmark.db")).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(file);
    fill(dir.path()).await;
    let size = || std::fs::metadata(dir.path().join("floodmark.db")).unwrap().len();
    let settle = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let file = Connection::open_with_flags(dir.path().join("floodmark.db"), flags).unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    };
    settle();
    let large = size();
    let done = retention(dir.path(), &[], None);
    assert!(done.status.success(), "{}", said(&done));
    settle();
    assert_eq!(size(), large, "its free pages wait for new events");
    let done = retention(dir.path(), &["--shrink"], None);
    assert!(done.status.success(), "{}", said(&done));
    assert!(size() < large * 9 / 10, "it has {} of {large} bytes", size());
    assert_eq!(rows(dir.path()), expected_rows());
    let kind: i64 =
        database(dir.path()).pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();
    assert_eq!(kind, 2, "incremental");
}

#[test]
fn a_store_that_is_nearly_full_is_a_reason_of_readyz() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let size = std::fs::metadata(dir.path().join("floodmark.db")).unwrap().len();
    let file = Connection::open(dir.path().join("floodmark.db")).unwrap();
    // Two days ago it was half as large.
    let noted = "INSERT INTO store_sizes VALUES (?, ?)";
    file.execute(noted, [now_ms() - 2 * DAY, size as i64 / 2]).unwrap();
    drop(file);
    let start = |most: u64| {
        let most = most.to_string();
        Server::on(dir.path(), &[("FLOODMARK_RETENTION__STORE_MAX_BYTES", &most)])
    };
    let days = |server: &Server| -> f64 {
        let text = server.get_text("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("floodmark_store_full_in_days "));
        line.map_or(f64::NAN, |days| days.parse().unwrap())
    };
    let server = start(size * 2);
    server.until("it is said", |server| {
        server.get("/readyz")["reasons"].to_string().contains("disk: at the pace of the last days")
    });
    let ready = server.request("GET", "/readyz").send().unwrap();
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("degraded")));
    assert!((0.0..7.0).contains(&days(&server)), "{}", days(&server));
    drop(server);
    let server = start(size * 1_000);
    server.until("it is known", |server| days(server) > 7.0);
    assert_eq!(server.get("/readyz")["status"], "ready");
}
