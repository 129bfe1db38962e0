//! `floodmark forget` beside a running server, killed midway and begun again: the person is in no row and in no
//! byte of the file, the receipt says what went, and every number stays.

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::support::{
    postgres::Postgres,
    program::{floodmark, noon_zone},
    server::Server,
};
use floodmark::domain::time::{DAY, Millis, now_ms};

/// The person, by a name that is nowhere else.
const WHO: &str = "anna-7f3a91@example.org";
/// Events of each of three days; every tenth is of the person.
const A_DAY: usize = 4_000;

fn send(server: &Server) {
    for back in 0..3 {
        let event = |n: usize| {
            let time = now_ms() - back * DAY - n as Millis;
            let user = match n % 10 {
                0 => format!(r#""userId":"{WHO}","sessionId":"anna's own","#),
                1 => r#""sessionId":"anna's own","#.to_owned(),
                _ => format!(r#""userId":"u{}","sessionId":"s{}","#, n % 90, n % 90),
            };
            format!(
                r#"{{"type":"page_view",{user}"timestamp":{time},"properties":{{"path":"/{}"}}}}"#,
                n % 7
            )
        };
        for first in (0..A_DAY).step_by(1_000) {
            let events: Vec<String> = (first..first + 1_000).map(event).collect();
            assert_eq!(server.post(format!("[{}]", events.join(","))).status, 202);
        }
    }
    let bad = format!(r#"{{"type":7,"userId":"{WHO}"}}"#);
    assert_eq!(server.post(bad).status, 422);
}

fn forget(args: &[&str], die_at: Option<&str>) -> Output {
    let mut command = floodmark();
    command.args(["forget", "--user", WHO]).args(args).env("FLOODMARK_TIMEZONE", noon_zone());
    if let Some(point) = die_at {
        command.env("FAILPOINTS", point);
    }
    command.output().expect("the program was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What the charts say.
fn numbers(server: &Server) -> Vec<String> {
    let mut current = server.current();
    current
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["timestamp", "activeUsers", "asOf"].contains(&name.as_str()));
    let from = now_ms() / DAY * DAY - 4 * DAY;
    let span = format!("from={from}&to={}", from + 6 * DAY);
    let texts = [
        format!("/api/analytics/timeseries?type=page_view&interval=1h&{span}"),
        format!("/api/analytics/breakdown?type=page_view&property=path&{span}"),
    ];
    let texts = texts.map(|path| server.get_text(&path));
    vec![current.to_string(), texts[0].clone(), texts[1].clone()]
}

/// What a receipt says went, and that it names nobody.
fn look_at(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!text.contains("anna"), "{text}");
    let receipt: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(receipt["rows"], 3 * A_DAY / 5);
    assert_eq!((&receipt["deadLetters"], &receipt["sessions"]), (&1.into(), &1.into()));
    let days = receipt["days"].as_array().unwrap();
    let sum: u64 = days.iter().map(|day| day["rows"].as_u64().unwrap()).sum();
    assert_eq!(sum as usize, 3 * A_DAY / 5);
    for until in ["spoolUntil", "idsUntil", "visitorHashesUntil"] {
        assert!(receipt["remains"][until].is_string(), "{receipt}");
    }
    receipt
}

/// Where a file has a text, with the bytes around it.
fn found_in(file: &Path, text: &str) -> Option<(usize, String)> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
    let around = &bytes[at.saturating_sub(100)..(at + 100).min(bytes.len())];
    Some((at, String::from_utf8_lossy(around).into_owned()))
}

#[actix_web::test]
async fn a_person_leaves_the_file_through_kills_and_numbers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::on(dir.path(), &[("FLOODMARK_SPOOL__KEEP_S", "0")]);
    send(&server);
    let database = || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(dir.path().join("floodmark.db"), flags).unwrap()
    };
    let number = |sql: &str| database().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    server.until("all of it is stored and folded", |_| {
        number("SELECT count(*) FROM events") == 3 * A_DAY as i64
            && number("SELECT count(*) FROM dead_letters") == 1
            && number(
                "SELECT count(*) FROM ledger_heads h JOIN fold_heads f USING (node, lane, seq)",
            ) == number("SELECT count(*) FROM ledger_heads")
    });
    let before = numbers(&server);
    let data = dir.path().to_str().unwrap();
    for pass in [1, 4, 2] {
        let died = forget(&["--data-dir", data], Some(&format!("forget-step={pass}*off->return")));
        assert_eq!(died.status.code(), None, "killed: {}", said(&died));
    }
    let receipt = look_at(&forget(&["--data-dir", data], None));
    let kept = "SELECT count(*) FROM forgotten WHERE done_at IS NOT NULL AND receipt IS NOT NULL";
    assert_eq!((number(kept), number("SELECT count(*) FROM forgotten")), (1, 1), "one request");
    assert_eq!(number("SELECT count(*) FROM forget_work"), 0);
    assert_eq!(number("SELECT count(*) FROM events"), (3 * A_DAY - 3 * A_DAY / 5) as i64);
    let stored: String =
        database().query_row("SELECT receipt FROM forgotten", [], |row| row.get(0)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), receipt);
    assert_eq!(numbers(&server), before);

    server.restart();
    server.until("it is ready", |server| server.get("/readyz")["status"] == "ready");
    assert_eq!(numbers(&server), before, "after a restart, too");
    server.terminate();
    for file in ["floodmark.db", "floodmark.db-wal"] {
        assert_eq!(found_in(&dir.path().join(file), WHO), None, "{file} still has the name");
    }
}

#[actix_web::test]
async fn a_person_leaves_postgres_through_a_kill() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let mut server = Server::with(&[("FLOODMARK_POSTGRES__URL", &url)]);
    send(&server);
    let number = |sql: &'static str| {
        let postgres = &postgres;
        async move { postgres.sql(sql).await[0][0].parse::<usize>().unwrap() }
    };
    while number("SELECT count(*) FROM events").await < 3 * A_DAY
        || number("SELECT count(*) FROM dead_letters").await < 1
        || number("SELECT count(*) FROM ledger_heads h JOIN fold_heads f USING (node, lane, seq)")
            .await
            < number("SELECT count(*) FROM ledger_heads").await
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = numbers(&server);
    for pass in [1, 9, 5] {
        let died = forget(&["--postgres", &url], Some(&format!("forget-step={pass}*off->return")));
        assert_eq!(died.status.code(), None, "killed: {}", said(&died));
        // Its lease ends by itself; a test does not wait for that.
        postgres.sql("DELETE FROM leases WHERE name = 'removal'").await;
    }
    look_at(&forget(&["--postgres", &url], None));
    assert_eq!(number("SELECT count(*) FROM events").await, 3 * A_DAY - 3 * A_DAY / 5);
    assert_eq!(number("SELECT count(*) FROM dead_letters").await, 0);
    assert_eq!(number("SELECT count(*) FROM forgotten WHERE done_at IS NOT NULL").await, 1);
    let dead = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables
                WHERE relname LIKE 'events\\_%'";
    while number(dead).await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(numbers(&server), before);

    // A node that was killed may have events that nobody has seen yet. It counts as gone after 15 s.
    server.kill();
    postgres.sql("UPDATE leases SET until = now() - interval '1 s' WHERE name LIKE 'node:%'").await;
    let unsure = forget(&["--postgres", &url], None);
    assert_eq!(unsure.status.code(), Some(1));
    let words = String::from_utf8_lossy(&unsure.stderr).into_owned();
    assert!(words.contains("may have events") && words.contains("127.0.0.1"), "{words}");
    let receipt: Value = serde_json::from_slice(&unsure.stdout).unwrap();
    assert_eq!(
        (&receipt["rows"], receipt["remains"]["nodesGone"][0].is_string()),
        (&0.into(), true)
    );
}
