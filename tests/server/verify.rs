//! `floodmark verify` beside a running server, with each store: the parts agree, also right after a kill -9 in
//! the midst of intake; a fault is listed with the values of each part, and the exit code says so.

use std::{
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
};

use floodmark::domain::time::{MINUTE, Millis, now_ms};
use serde_json::json;

use crate::support::{
    client::Request,
    postgres::Postgres,
    program::{floodmark, noon_zone},
    redis::RedisServer,
    server::Server,
};

/// Events of the last half an hour, all of them minutes old.
fn events(first: usize, count: usize) -> Vec<u8> {
    let from = now_ms() - 30 * MINUTE;
    let event = |n: usize| {
        let at = from + (n % 1_500) as Millis * 1_000;
        match n % 5 {
            0 => json!({"type": "purchase", "timestamp": at, "id": format!("order:{n}"),
                        "properties": {"amount": format!("{}.{:02}", n % 90, n % 100), "currency": "USD"}}),
            1 => {
                json!({"type": "error", "timestamp": at, "properties": {"path": "/checkout", "code": "E1"}})
            }
            _ => json!({"type": "page_view", "timestamp": at, "sessionId": format!("s{}", n % 70)}),
        }
    };
    serde_json::to_vec(&(first..first + count).map(event).collect::<Vec<_>>()).unwrap()
}

/// Today, by the clock of the business zone.
fn today() -> String {
    let zone = floodmark::domain::time::BusinessZone::named(&noon_zone()).unwrap();
    zone.day_of(now_ms()).date.to_string()
}

fn verify(server: &Server, postgres: Option<&Postgres>, more: &[&str]) -> (Output, String) {
    let mut command = floodmark();
    command.args(["verify", "--data-dir"]).arg(server.data()).args(more);
    command.env("FLOODMARK_TIMEZONE", noon_zone());
    if let Some(postgres) = postgres {
        command.env("FLOODMARK_POSTGRES__URL", postgres.url());
    }
    let output = command.output().unwrap();
    let words = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap();
    (output, words)
}

/// Posts from another thread until the server is killed in the midst of it.
fn kill_in_the_midst(server: &mut Server) {
    let addr = server.addr();
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                let request = Request::new(addr, "POST", "/v1/events");
                let request = request.header("Content-Type", "application/json");
                let sent = request.body(events(10_000 + round * 500, 500)).send();
                if stops.load(Ordering::Relaxed) || sent.is_err() {
                    break;
                }
            }
        });
        let before = server.get("/api/analytics/current")["events"].as_u64().unwrap();
        server.until("more is counted", |server| {
            server.get("/api/analytics/current")["events"].as_u64().unwrap() > before + 2_000
        });
        server.kill();
        stops.store(true, Ordering::Relaxed);
    });
    server.restart();
}

/// With PostgreSQL the live counters are in Redis.
async fn of_store(postgres: Option<&Postgres>) {
    let redis = postgres.map(|_| RedisServer::start());
    let counters = redis.as_ref().map(RedisServer::url).unwrap_or_default();
    let zone = noon_zone();
    let url = postgres.map(Postgres::url).unwrap_or_default();
    let mut variables =
        vec![("FLOODMARK_TIMEZONE", zone.as_str()), ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "200")];
    if postgres.is_some() {
        variables.push(("FLOODMARK_POSTGRES__URL", &url));
        variables.push(("FLOODMARK_REDIS__URLS", &counters));
    }
    let mut server = Server::with(&variables);
    for some in 0..8 {
        assert_eq!(server.post(events(some * 500, 500)).status, 202);
    }
    let day = today();
    let of_day = ["--day", day.as_str()];
    let (output, words) = verify(&server, postgres, &["--day", &day, "--server", &server.url()]);
    assert!(output.status.success(), "{words}");
    assert!(words.contains(" sums agree\n") && words.contains("sums compared, from"), "{words}");

    kill_in_the_midst(&mut server);
    // At once, while what was not stored before the kill is written, and beside the counters that take it up.
    let (output, words) = verify(&server, postgres, &of_day);
    assert!(output.status.success() && words.contains("live counters: not compared"), "{words}");
    let (output, words) = verify(&server, postgres, &["--all", "--server", &server.url()]);
    assert!(output.status.success() && words.contains(&day), "{words}");

    let fault = "UPDATE rollups SET value = value + 7 WHERE series = 'c:error' AND minute =
                     (SELECT min(minute) FROM rollups WHERE series = 'c:error')";
    let folded = "SELECT count(*) FROM fold_heads f JOIN ledger_heads h
                      ON h.node = f.node AND h.lane = f.lane WHERE h.seq > f.seq";
    match postgres {
        None => {
            let is_folded = |server: &Server| {
                let behind: i64 =
                    server.database().query_row(folded, [], |row| row.get(0)).unwrap();
                behind == 0
            };
            server.until("all is folded", is_folded);
            let file = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
            file.execute(fault, []).unwrap();
        }
        Some(postgres) => {
            while postgres.sql(folded).await[0][0] != "0" {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            postgres.sql(fault).await;
        }
    }
    let (output, words) = verify(&server, postgres, &["--day", &day, "--server", &server.url()]);
    assert_eq!(output.status.code(), Some(1), "{words}");
    let line =
        |part: &str| words.lines().find(|line| line.contains(" c:error: ") && line.contains(part));
    assert!(line("rows ").is_some_and(|line| line.contains("ledger ")), "{words}");
    assert!(line("live ").is_some(), "{words}");
    assert!(words.contains("floodmark verify: 2 differences"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sqlite_parts_agree_through_a_kill_and_a_fault_is_listed() {
    of_store(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_parts_agree_through_a_kill_and_a_fault_is_listed() {
    of_store(Some(&Postgres::start())).await;
}

/// A row that is changed, one that is removed and one that is added, each by somebody with SQL.
fn row_faults(properties: &str) -> String {
    let columns = "time, received_at, id, type, user_id, session_id, properties, source, dialect";
    let selected = columns.replace(" id,", " 'made-up',");
    format!(
        "UPDATE events SET properties = {properties} WHERE id = 'order:10';
         DELETE FROM events WHERE id = 'order:15';
         INSERT INTO events ({columns}) SELECT {selected} FROM events WHERE id = 'order:20'"
    )
}

async fn chain_of_store(postgres: Option<&Postgres>) {
    let zone = noon_zone();
    let url = postgres.map(Postgres::url).unwrap_or_default();
    let mut server = Server::with(&[
        ("FLOODMARK_TIMEZONE", &zone),
        ("FLOODMARK_LEDGER__CHAIN", "true"),
        ("FLOODMARK_POSTGRES__URL", &url),
    ]);
    for some in 0..8 {
        assert_eq!(server.post(events(some * 500, 500)).status, 202);
    }
    kill_in_the_midst(&mut server);
    // At once, while what was not stored before the kill is written.
    let (output, words) = verify(&server, postgres, &["--chain", "--all"]);
    assert!(output.status.success() && words.contains(" rows, whole\n"), "{words}");
    server.until("all is stored", |server| {
        let lag = server.get("/readyz?sinks");
        lag["lag"]["store"]["batches"] == 0
    });
    let (output, words) = verify(&server, postgres, &["--chain", "--day", &today()]);
    assert!(output.status.success() && words.contains("as they were written, no dif"), "{words}");
    assert!(!words.contains("not in the chain"), "{words}");
    match postgres {
        None => {
            let file = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
            file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            let changed = "replace(properties, 'USD', 'EUR')";
            file.execute_batch(&row_faults(changed)).unwrap();
        }
        Some(postgres) => {
            let changed = "jsonb_set(properties, '{currency}', '\"EUR\"')";
            postgres.sql(&row_faults(changed)).await;
        }
    }
    let (output, words) = verify(&server, postgres, &["--chain", "--all"]);
    assert_eq!(output.status.code(), Some(1), "{words}");
    let line = |starts: &str, has: &str| {
        words.lines().any(|it| it.trim_start().starts_with(starts) && it.contains(has))
    };
    assert!(line("changed: ", "Z purchase order:10, row "), "{words}");
    assert!(line("missing: ", "Z purchase order:15, row "), "{words}");
    assert!(line("added: ", "Z purchase made-up"), "{words}");
    assert!(words.contains("floodmark verify: 3 differences"), "{words}");
    let last = "DELETE FROM chain WHERE (node, lane, seq) IN
        (SELECT chain_node, lane, chain_seq FROM ledger_heads ORDER BY chain_seq DESC LIMIT 1)";
    match postgres {
        None => {
            let file = rusqlite::Connection::open(server.data().join("floodmark.db")).unwrap();
            file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            file.execute(last, []).unwrap();
        }
        Some(postgres) => {
            postgres.sql(last).await;
        }
    }
    let (_, words) = verify(&server, postgres, &["--chain", "--all"]);
    assert!(words.contains(" rows, broken in 1 place\n  missing or changed: batch "), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sqlite_the_chain_holds_through_a_kill_and_faults_are_named() {
    chain_of_store(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_the_chain_holds_through_a_kill_and_faults_are_named() {
    chain_of_store(Some(&Postgres::start())).await;
}

#[test]
fn what_can_not_be_asked_is_refused() {
    let zone = noon_zone();
    let server = Server::with(&[("FLOODMARK_TIMEZONE", &zone)]);
    for (args, code, words) in [
        (&[][..], 2, "--day <DAY>"),
        (&["--day", "2026-02-30"], 1, "is no date up to today"),
        (&["--day", "9000-01-01"], 1, "is no date up to today"),
        (&["--all", "--chain", "--server", "http://127.0.0.1:1"], 2, "cannot be used with"),
        (&["--day", "2026-11-01", "--server", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
    ] {
        let mut command = floodmark();
        command.args(["verify", "--data-dir"]).arg(server.data()).args(args);
        let output = command.env("FLOODMARK_TIMEZONE", zone.as_str()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
