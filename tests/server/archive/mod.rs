//! Days that are in the archive are answered as they were, to the byte, on both stores: through a kill at every
//! step, with late events, and with what goes wrong on the way.

mod chain;
mod sdk;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use floodmark::domain::time::{DAY, MINUTE, Millis, now_ms, rfc3339};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, program::floodmark, server::Server},
};

/// Events of a day.
const A_DAY: i64 = 60;
/// Days with events, today included.
const DAYS: i64 = 5;
/// Days that stay in the store, beside today.
const STAY: i64 = 2;

fn day_start(back: i64) -> Millis {
    (now_ms().div_euclid(DAY) - back) * DAY
}

fn day(back: i64) -> String {
    rfc3339(day_start(back))[..10].to_owned()
}

fn event(back: i64, n: i64) -> Value {
    let kind = ["page_view", "add to cart", "purchase"][n as usize % 3];
    json!({
        "type": kind,
        "id": format!("{back}-{n:03}"),
        // Some have the same time.
        "timestamp": day_start(back) + n / 2 * if back == 0 { 1 } else { 20 * MINUTE },
        "userId": format!("u{}", n % 7),
        "sessionId": format!("s{back}-{}", n % 9),
        "properties": {"amount": n as f64 / 4.0, "currency": "USD", "path": format!("/p/{}", n % 4),
                       "note": "ü \"quoted\""},
    })
}

/// A shop whose archive is a folder.
struct Shop {
    server: Server,
    folder: tempfile::TempDir,
    postgres: Option<Postgres>,
}

impl Shop {
    fn on_both() -> [Shop; 2] {
        [Shop::new(None), Shop::new(Some(Postgres::start()))]
    }

    fn new(postgres: Option<Postgres>) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let url = postgres.as_ref().map(Postgres::url).unwrap_or_default();
        // The server answers from the archive; what moves, and when, is the command's.
        let server = Server::with(&[
            ("FLOODMARK_POSTGRES__URL", &url),
            ("FLOODMARK_ARCHIVE__URL", folder.path().to_str().unwrap()),
            ("FLOODMARK_TIMEZONE", "UTC"),
            ("FLOODMARK_LEDGER__CHAIN", "true"),
        ]);
        let shop = Shop { server, folder, postgres };
        for back in 0..DAYS {
            let events: Vec<Value> = (0..A_DAY).map(|n| event(back, n)).collect();
            assert_eq!(post_json(&shop.server, &json!(events).to_string()).0, 202);
        }
        shop.server
            .until("all are stored", |_| shop.export("").lines().count() as i64 == DAYS * A_DAY);
        shop
    }

    fn command(&self, args: &[&str], die_at: Option<&str>) -> Output {
        let mut command = floodmark();
        command.args(args).arg("--data-dir").arg(self.server.data());
        if let Some(postgres) = &self.postgres {
            command.args(["--postgres", &postgres.url()]);
        }
        command.env("FLOODMARK_ARCHIVE__URL", self.folder.path());
        command.env("FLOODMARK_ARCHIVE__AFTER_DAYS", STAY.to_string());
        if let Some(point) = die_at {
            command.env("FAILPOINTS", point);
        }
        command.output().expect("the program was built")
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let output = self.command(args, None);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lease of a process that died ends by itself; a test does not wait for that.
    async fn free_lease(&self) {
        self.sql("DELETE FROM leases WHERE name = 'removal'", "DELETE FROM archive_lease").await;
    }

    /// Runs a statement of each store, and gives its number.
    async fn sql(&self, of_postgres: &str, of_sqlite: &str) -> i64 {
        match &self.postgres {
            Some(postgres) => {
                let rows = postgres.sql(of_postgres).await;
                rows.first().and_then(|row| row[0].parse().ok()).unwrap_or(0)
            }
            None => {
                let file = self.server.data().join("floodmark.db");
                let database = rusqlite::Connection::open(file).unwrap();
                database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
                match of_sqlite.starts_with("SELECT") {
                    true => database.query_row(of_sqlite, [], |row| row.get(0)).unwrap(),
                    false => database.execute(of_sqlite, []).map(|rows| rows as i64).unwrap(),
                }
            }
        }
    }

    async fn rows(&self) -> i64 {
        let sql = "SELECT count(*) FROM events";
        self.sql(&sql.replace("count(*)", "count(*)::text"), sql).await
    }

    fn export(&self, query: &str) -> String {
        let path = format!("/api/analytics/export?{query}");
        let answer = self.server.request("GET", &path).send().expect("an answer");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().to_owned()
    }

    /// All events of a query, page by page.
    fn pages(&self, path: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.server.get(&format!("{path}{after}"));
            all.extend(page["events"].as_array().expect("a list").clone());
            let Some(next) = page["next"].as_str() else { return all };
            after = format!("&after={next}");
        }
    }

    /// What is answered of events.
    fn answers(&self) -> Vec<String> {
        let from = format!("from={}", day_start(DAYS + 3));
        let session = format!("/api/analytics/session?user=u3&{from}");
        let mut answers = vec![
            self.export(""),
            self.export("type=add+to+cart&format=csv"),
            json!(self.pages(&format!("/api/analytics/events?{from}&limit=17"))).to_string(),
            json!(self.pages(&format!("/api/analytics/events?{from}&limit=500"))).to_string(),
            json!(self.pages(&format!("{session}&limit=5"))).to_string(),
        ];
        let filter = format!("{from}&type=purchase&where.amount=%3E%3D3&text=quoted");
        answers.push(json!(self.pages(&format!("/api/analytics/events?{filter}"))).to_string());
        answers
    }

    /// The files, as their paths.
    fn files(&self) -> Vec<String> {
        fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { collect(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        collect(self.folder.path(), &mut found);
        let below = |path: PathBuf| {
            path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned()
        };
        let mut files: Vec<String> = found.into_iter().map(below).collect();
        files.sort();
        files
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[actix_web::test]
async fn days_move_and_every_answer_stays_through_kills() {
    for shop in Shop::on_both() {
        let before = shop.answers();
        let dry = shop.done(&["archive", "--dry-run"]);
        let line = |back: i64| format!("{}: about", day(back));
        assert!(dry.contains(&line(4)) && dry.contains(&line(3)), "{dry}");
        assert!(!dry.contains(&line(2)), "{dry}");
        assert_eq!(shop.files(), [""; 0], "a dry run changes nothing");
        for point in ["writing", "written", "checked", "dropping", "moved"] {
            // The first time, and the second: of files in both stores, and of units where a type of a day is one,
            // with SQLite. With Postgres a day is.
            let is_of_file = matches!(point, "writing" | "written");
            let twice = is_of_file || shop.postgres.is_none();
            for nth in if twice { &["", "1*off->"][..] } else { &[""] } {
                let died =
                    shop.command(&["archive"], Some(&format!("archive-{point}={nth}return")));
                if !nth.is_empty() && died.status.success() {
                    // There was one unit only.
                    assert_eq!(shop.answers(), before, "after a whole round");
                    continue;
                }
                assert_eq!(died.status.code(), None, "killed at {point}: {}", said(&died));
                shop.free_lease().await;
                assert_eq!(shop.answers(), before, "after a kill at {point}");
            }
        }
        shop.done(&["archive"]);
        assert_eq!(shop.rows().await, (STAY + 1) * A_DAY, "the rest is in files");
        assert_eq!(shop.answers(), before);
        let files = shop.files();
        assert_eq!(files.len(), 6, "three types of two days, and nothing is left over: {files:?}");
        let folder = format!("date={}/type=add to cart/", day(4));
        assert!(files.iter().any(|it| it.starts_with(&folder)), "{files:?}");
        assert!(shop.done(&["archive"]).contains("moved 0 rows"));

        // Late events of a day that has moved are there at once, and go to files of their own.
        for n in 0..3 {
            let mut late = event(4, n);
            late["id"] = json!(format!("late-{n}"));
            assert_eq!(post_json(&shop.server, &late.to_string()).0, 202);
        }
        let events = (DAYS * A_DAY + 3) as usize;
        shop.server.until("they are stored", |_| shop.export("").lines().count() == events);
        let with_late = shop.answers();
        assert!(shop.done(&["archive"]).contains("moved 3 rows"));
        assert_eq!((shop.answers(), shop.files().len()), (with_late, 9));
        assert_eq!(shop.rows().await, (STAY + 1) * A_DAY);
        // Rowids are not used again, so new events are found by their time, and once.
        let events = json!([event(0, 100), event(0, 101)]);
        assert_eq!(post_json(&shop.server, &events.to_string()).0, 202);
        let count = (DAYS * A_DAY + 5) as usize;
        shop.server.until("they are stored", |_| shop.export("").lines().count() == count);
    }
}

#[actix_web::test]
async fn all_of_a_store_may_move_and_new_events_are_found_once() {
    for shop in Shop::on_both() {
        // As if today was over: even the last row moves.
        let mut command = floodmark();
        command.args(["archive", "--data-dir"]).arg(shop.server.data());
        if let Some(postgres) = &shop.postgres {
            command.args(["--postgres", &postgres.url()]);
        }
        command.env("FLOODMARK_ARCHIVE__URL", shop.folder.path());
        command.env("FLOODMARK_ARCHIVE__AFTER_DAYS", "1");
        shop.sql(
            "DELETE FROM events WHERE time >= now() - interval '1 day' OR id LIKE '1-%'",
            "DELETE FROM events WHERE id LIKE '0-%' OR id LIKE '1-%'",
        )
        .await;
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(shop.rows().await, 0);
        let now: Vec<Value> = (0..A_DAY).map(|n| event(1, n)).collect();
        let now: Vec<Value> = now
            .into_iter()
            .map(|mut it| {
                it["id"] = json!(format!("again-{}", it["id"].as_str().unwrap()));
                it
            })
            .collect();
        assert_eq!(post_json(&shop.server, &json!(now).to_string()).0, 202);
        let all = (3 + 1) * A_DAY as usize;
        shop.server.until("they are stored", |_| shop.export("").lines().count() >= all);
        assert_eq!(shop.export("").lines().count(), all);
    }
}

#[actix_web::test]
async fn a_day_in_the_archive_is_added_up_anew() {
    for shop in Shop::on_both() {
        let zone = shop.server.get("/api/analytics/current")["timezone"].clone();
        assert_eq!(zone, "UTC", "its days are those of the archive");
        let charts = || {
            let span = format!("from={}&to={}", day_start(3), day_start(2));
            ["revenue", "page_views"].map(|metric| {
                let path = format!("/api/analytics/timeseries?metric={metric}&interval=1h&{span}");
                shop.server.get_text(&path)
            })
        };
        let folded =
            "SELECT count(*) FROM ledger_heads h JOIN fold_heads f USING (node, lane, seq)";
        let heads = "SELECT count(*) FROM ledger_heads";
        let text = |sql: &str| sql.replace("count(*)", "count(*)::text");
        while shop.sql(&text(folded), folded).await < shop.sql(&text(heads), heads).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let before = charts();
        shop.done(&["archive"]);
        let told = shop.done(&["rebuild", "--rollups", &day(3)]);
        assert!(told.contains(&format!("its {A_DAY} events")), "{told}");
        assert_eq!(charts(), before);
    }
}

#[actix_web::test]
async fn nothing_leaves_the_store_unless_its_files_have_all_of_it() {
    for shop in Shop::on_both() {
        let before = shop.answers();
        let lost = shop.command(&["archive"], Some("archive-lose-row=7*off->1*return->off"));
        assert!(
            !lost.status.success() && said(&lost).contains("no row has left the store"),
            "{}",
            said(&lost)
        );
        assert_eq!(shop.files(), [""; 0], "what was written is taken back");
        assert_eq!((shop.answers(), shop.rows().await), (before.clone(), DAYS * A_DAY));
        shop.done(&["archive"]);
        assert_eq!(shop.answers(), before);
        // A file that is damaged later is an error, and never another answer.
        let file = shop.folder.path().join(&shop.files()[0]);
        let mut bytes = fs::read(&file).unwrap();
        bytes.truncate(bytes.len() / 2);
        fs::write(&file, bytes).unwrap();
        let path = format!("/api/analytics/events?from={}&to={}", day_start(4), day_start(3));
        let answer = shop.server.request("GET", &path).send().unwrap();
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (503, &json!("store_unavailable"))
        );
    }
}

#[actix_web::test]
async fn a_person_is_forgotten_in_files_too_through_kills() {
    for shop in Shop::on_both() {
        shop.done(&["archive"]);
        let count = |query: &str| shop.export(query).lines().count() as i64;
        let of_user = |all: &str| {
            let lines = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|it| it["userId"] == "u3").count() as i64
        };
        let theirs = of_user(&shop.export(""));
        assert!(theirs > 20);
        for point in
            ["archive-erasing=return", "archive-written=return", "archive-erasing=2*off->return"]
        {
            let died = shop.command(&["forget", "--user", "u3"], Some(point));
            assert_eq!(died.status.code(), None, "killed at {point}: {}", said(&died));
            shop.free_lease().await;
        }
        let receipt: Value = serde_json::from_str(&shop.done(&["forget", "--user", "u3"])).unwrap();
        assert_eq!(receipt["rows"], theirs, "{receipt}");
        assert_eq!(receipt["days"].as_array().unwrap().len() as i64, DAYS);
        assert_eq!((count(""), of_user(&shop.export(""))), (DAYS * A_DAY - theirs, 0));
        assert_eq!(shop.files().len(), 6, "no old file is left");
    }
}

#[test]
fn a_server_moves_days_by_itself_and_says_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("archive");
    let mut server = Server::with(&[
        ("FLOODMARK_ARCHIVE__URL", place.to_str().unwrap()),
        ("FLOODMARK_ARCHIVE__AFTER_DAYS", "2"),
        ("FLOODMARK_ARCHIVE__INTERVAL_S", "1"),
    ]);
    let events: Vec<Value> = (0..A_DAY).map(|n| event(4, n)).collect();
    assert_eq!(post_json(&server, &json!(events).to_string()).0, 202);
    server.until("they have moved", |it| it.has_metric("floodmark_archive_rows_total 60"));
    assert!(server.has_metric("floodmark_archive_failures_total 0"));
    fs::remove_dir_all(&place).unwrap();
    fs::write(&place, "a file is in its place").unwrap();
    let late = event(3, 1);
    assert_eq!(post_json(&server, &late.to_string()).0, 202);
    server.until("it says so", |it| {
        let ready = it.get("/readyz");
        ready["status"] == "degraded" && ready["reasons"].to_string().contains("archive")
    });
    fs::remove_file(&place).unwrap();
    server.until("it goes on", |it| it.has_metric("floodmark_archive_rows_total 61"));
    let _ = server.terminate();
}
