//! Each command that says that it did something has done it, and `check` has done nothing.

use std::process::Output;

use crate::support::{
    postgres::Postgres,
    program::{floodmark, floodmark_output, noon_zone, scratch},
    redis::RedisServer,
    server::Server,
};

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The tables of a database.
fn tables(postgres: &Postgres) -> Vec<String> {
    let sql = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = \
               'public'::regnamespace ORDER BY relname";
    rows(postgres, sql).into_iter().map(|row| row[0].clone()).collect()
}

fn rows(postgres: &Postgres, sql: &str) -> Vec<Vec<String>> {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(postgres.sql(sql))
}

fn keys(redis: &RedisServer) -> Vec<String> {
    redis.run(&["KEYS", "*"])
}

#[test]
fn migrate_makes_the_tables_of_an_empty_database_and_says_so() {
    let postgres = Postgres::start();
    assert_eq!(tables(&postgres), [""; 0]);
    let url = postgres.url();
    let migrate = || floodmark_output(&["migrate", "--postgres", &url]);
    let first = migrate();
    assert!(first.status.success() && said(&first).contains("V1__events_and_ledger"), "{first:?}");
    for table in ["events", "ledger", "rollups", "dead_letters", "missing_batches"] {
        assert!(tables(&postgres).iter().any(|it| it == table), "{table}: {:?}", tables(&postgres));
    }
    let again = migrate();
    assert!(again.status.success() && said(&again).contains("up to date already"), "{again:?}");

    // A later version of Floodmark was here, and has added something.
    rows(&postgres, "INSERT INTO refinery_schema_history VALUES (998, 'coupons', '', '1')");
    let beside = migrate();
    let words = "V998__coupons of a later version, which this version works beside";
    assert!(beside.status.success() && said(&beside).contains(words), "{beside:?}");
    // An even later one, and has changed what was there.
    rows(&postgres, "INSERT INTO refinery_schema_history VALUES (999, 'breaking_later', '', '1')");
    let old = migrate();
    assert!(!old.status.success() && said(&old).contains("V999__breaking_later"), "{old:?}");
}

#[test]
fn migrate_makes_the_file_of_sqlite() {
    let (_folder, data) = scratch("data");
    let migrate = || floodmark_output(&["migrate", "--data-dir", data.to_str().unwrap()]);
    let first = migrate();
    assert!(first.status.success() && said(&first).contains("V1__events_and_ledger"), "{first:?}");
    let file = rusqlite::Connection::open(data.join("floodmark.db")).expect("it is there");
    let events: i64 = file.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(events, 0);
    assert!(said(&migrate()).contains("up to date already"));

    // Later versions were here, as with Postgres.
    let later = "INSERT INTO refinery_schema_history VALUES ";
    file.execute_batch(&format!("{later} (998, 'coupons', '', '1')")).unwrap();
    let beside = migrate();
    let words = "V998__coupons of a later version, which this version works beside";
    assert!(beside.status.success() && said(&beside).contains(words), "{beside:?}");
    file.execute_batch(&format!("{later} (999, 'breaking_later', '', '1')")).unwrap();
    let old = migrate();
    assert!(!old.status.success() && said(&old).contains("V999__breaking_later"), "{old:?}");
}

#[test]
fn check_changes_nothing() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (_folder, data) = scratch("data");
    let dir = data.to_str().unwrap();
    let args = ["check", "--data-dir", dir, "--listen", "127.0.0.1:0"];
    let embedded = floodmark_output(&args);
    assert!(embedded.status.success(), "{embedded:?}");
    let (url, redis_url) = (postgres.url(), redis.url());
    let servers = [&args[..], &["--postgres", &url, "--redis", &redis_url]].concat();
    let checked = floodmark_output(&servers);
    assert!(checked.status.success(), "an empty Redis is no fault: {}", said(&checked));
    assert!(!data.exists(), "no data dir is made");
    assert_eq!(tables(&postgres), [""; 0]);
    assert_eq!(keys(&redis), [""; 0]);
}

#[test]
fn check_is_strict_about_rights_in_postgres_and_leaves_none_of_its_trials() {
    let postgres = Postgres::start();
    let url = postgres.url();
    assert!(floodmark_output(&["migrate", "--postgres", &url]).status.success());
    rows(&postgres, "CREATE ROLE reader LOGIN PASSWORD 'reader'");
    rows(&postgres, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let (_folder, data) = scratch("data");
    let reader = postgres.url_with("reader", "reader", postgres.port());
    let check = || {
        let dir = data.to_str().unwrap();
        let args = ["check", "--data-dir", dir, "--listen", "127.0.0.1:0", "--postgres", &reader];
        let output = floodmark_output(&args);
        (output.status.success(), said(&output))
    };
    let (fine, words) = check();
    assert!(!fine && words.contains("INSERT ON events"), "{words}");
    // It gets what the message asks for, and no more. Then it may serve.
    let grants: Vec<&str> = words.split("GRANT ").skip(1).collect();
    for grant in grants {
        let statement = grant.split(';').next().unwrap();
        rows(&postgres, &format!("GRANT {statement}"));
    }
    // A batch whose rest comes later is lengthened, which no batch of this test is.
    let may = "SELECT has_table_privilege('reader', 'ledger', 'UPDATE')::text";
    assert_eq!(rows(&postgres, may), [["true"]]);
    let (fine, words) = check();
    assert!(fine && words.contains("can't make partitions"), "{words}");
    let events = rows(&postgres, "SELECT count(*) FROM events");
    assert_eq!(events[0][0], "0");
    let server = Server::with(&[("FLOODMARK_POSTGRES__URL", &reader)]);
    assert_eq!(server.post(r#"{"type":"page_view"}"#).status, 202);
    server.until("it is stored", |server| server.has_metric("floodmark_events_stored_total 1"));
}

#[test]
fn check_refuses_what_is_another_shops() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (url, redis_url) = (postgres.url(), redis.url());
    let mut theirs =
        Server::with(&[("FLOODMARK_POSTGRES__URL", &url), ("FLOODMARK_REDIS__URLS", &redis_url)]);
    assert_eq!(theirs.post(r#"{"type":"page_view"}"#).status, 202);
    theirs.until("it is counted", |server| server.current()["pageViews"] == 1);
    theirs.until("it is stored", |server| server.has_metric("floodmark_events_stored_total 1"));
    theirs.terminate();
    // Our own shop has a data dir already.
    let (_folder, data) = scratch("data");
    let mut ours = Server::on(&data, &[]);
    assert_eq!(ours.post(r#"{"type":"page_view"}"#).status, 202);
    ours.until("it is stored", |server| server.has_metric("floodmark_events_stored_total 1"));
    ours.terminate();
    let before = keys(&redis);
    let dir = data.to_str().unwrap();
    let args = ["check", "--data-dir", dir, "--listen", "127.0.0.1:0"];
    for more in [["--postgres", &url], ["--redis", &redis_url]] {
        let mut command = floodmark();
        // The zone of the servers above, so that only the shop differs.
        command.args(args).args(more).env("FLOODMARK_TIMEZONE", noon_zone());
        let output = command.output().expect("the program was built");
        let words = said(&output);
        assert!(!output.status.success() && words.contains("belongs to installation"), "{words}");
    }
    assert_eq!(keys(&redis).len(), before.len());
}

#[test]
fn check_finds_nothing_wrong_beside_the_server_that_runs() {
    // The command has the default time zone, and so must the server.
    let server = Server::with(&[("FLOODMARK_TIMEZONE", "UTC")]);
    let (data, address) = (server.data(), server.addr().to_string());
    let beside =
        floodmark_output(&["check", "--data-dir", data.to_str().unwrap(), "--listen", &address]);
    let words = said(&beside);
    assert!(beside.status.success() && words.contains("by the running floodmark"), "{words}");
}

#[test]
fn rebuild_puts_the_sums_of_the_ledger_in_the_place_of_what_redis_has() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (url, redis_url) = (postgres.url(), redis.url());
    let server = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", &url),
        ("FLOODMARK_REDIS__URLS", &redis_url),
        // That of the command below.
        ("FLOODMARK_TIMEZONE", "UTC"),
    ]);
    assert_eq!(server.post(r#"[{"type":"page_view"},{"type":"page_view"}]"#).status, 202);
    server.until("both are counted", |server| server.current()["pageViews"] == 2);
    let ledger = || rows(&postgres, "SELECT coalesce(sum(events), 0) FROM ledger")[0][0].clone();
    server.until("both are stored", |_| ledger() == "2");
    // Somebody has meddled with a sum.
    let day = keys(&redis).into_iter().find(|key| key.contains(":d:")).expect("a day's sums");
    redis.run::<i64>(&["HSET", &day, "c:page_view", "700"]);
    let rebuilt = floodmark_output(&["rebuild", "--postgres", &url, "--redis", &redis_url]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let sum = |key: &String| redis.run::<Option<i64>>(&["HGET", key, "c:page_view"]).unwrap_or(0);
    let days: i64 = keys(&redis).iter().filter(|key| key.contains(":d:")).map(sum).sum();
    assert_eq!(days, 2);
    server.until("the server follows", |server| server.current()["pageViews"] == 2);
}

#[test]
fn another_time_zone_is_refused_until_rebuild_was_run_with_it() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (url, redis_url) = (postgres.url(), redis.url());
    let (_folder, data) = scratch("data");
    let settings = |zone| {
        [
            ("FLOODMARK_POSTGRES__URL", url.clone()),
            ("FLOODMARK_REDIS__URLS", redis_url.clone()),
            ("FLOODMARK_TIMEZONE", zone),
        ]
    };
    let in_zone = |zone: &str| {
        let settings = settings(zone.to_owned());
        Server::on(&data, &settings.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let command = |names: &[&str], zone: &str| {
        let mut command = floodmark();
        command.args(names).args(["--data-dir", data.to_str().unwrap()]);
        command.args(["--listen", "127.0.0.1:0"]);
        command.envs(settings(zone.to_owned())).output().expect("it runs")
    };
    let mut server = in_zone("UTC");
    assert_eq!(server.post(r#"[{"type":"page_view"},{"type":"page_view"}]"#).status, 202);
    server.until("both are counted", |server| server.current()["pageViews"] == 2);
    let ledger = || rows(&postgres, "SELECT coalesce(sum(events), 0) FROM ledger")[0][0].clone();
    server.until("both are stored", |_| ledger() == "2");
    server.terminate();

    // A zone in which it is about noon, so that the day of the events does not end meanwhile.
    // At noon in Greenwich that would be UTC itself.
    let zone = match noon_zone() {
        utc if utc == "UTC" => "Etc/GMT-1".to_owned(),
        zone => zone,
    };
    let refused = command(&["serve"], &zone);
    let words = said(&refused);
    assert!(!refused.status.success() && words.contains("floodmark rebuild"), "{words}");
    assert!(words.contains("UTC") && words.contains(&zone), "{words}");

    let unasked = command(&["rebuild"], &zone);
    assert!(
        !unasked.status.success() && said(&unasked).contains("--change-settings"),
        "{unasked:?}"
    );
    assert_eq!(rows(&postgres, "SELECT zone FROM installation"), [["UTC"]]);
    let rebuilt = command(&["rebuild", "--change-settings"], &zone);
    assert!(rebuilt.status.success() && said(&rebuilt).contains(&zone), "{rebuilt:?}");
    assert_eq!(rows(&postgres, "SELECT zone FROM installation"), [[zone.clone()]]);
    let server = in_zone(&zone);
    server.until("both are shown", |server| server.current()["pageViews"] == 2);
    assert_eq!(server.post(r#"[{"type":"page_view"}]"#).status, 202);
    server.until("the third is counted, too", |server| server.current()["pageViews"] == 3);
    let refused = command(&["serve"], "UTC");
    assert!(!refused.status.success(), "the old zone is the other one now: {}", said(&refused));
}

#[test]
fn a_damaged_file_of_sqlite_is_noticed_at_start() {
    let (_folder, data) = scratch("data");
    let mut server = Server::on(&data, &[("FLOODMARK_TIMEZONE", "UTC")]);
    assert_eq!(server.post(r#"[{"type":"page_view"}]"#).status, 202);
    server.until("it is stored", |server| server.get("/readyz")["lag"]["store"]["events"] == 0);
    server.terminate();
    let file = data.join("floodmark.db");
    // What is still in the WAL would take the place of what is damaged.
    let database = rusqlite::Connection::open(&file).expect("the database");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    drop(database);
    let mut bytes = std::fs::read(&file).expect("the file");
    // The middle of the file, beyond the first page, so that it still opens.
    let (from, to) = (4096, bytes.len());
    bytes[from..to].fill(0xa5);
    std::fs::write(&file, bytes).expect("the damage");
    let begun = floodmark_output(&[
        "serve",
        "--data-dir",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ]);
    let words = said(&begun);
    assert!(!begun.status.success() && words.contains("is damaged"), "{words}");
    assert!(words.contains("backup"), "it says what to do: {words}");
}

#[test]
fn an_embedded_server_has_to_be_stopped_before_its_settings_change() {
    let (_folder, data) = scratch("data");
    let dir = data.to_str().unwrap();
    let mut server = Server::on(&data, &[("FLOODMARK_TIMEZONE", "UTC")]);
    let in_kolkata = |args: &[&str]| {
        let mut command = floodmark();
        command.args(args).args(["--data-dir", dir]).env("FLOODMARK_TIMEZONE", "Asia/Kolkata");
        command.output().expect("it runs")
    };
    let change = || in_kolkata(&["rebuild", "--change-settings"]);
    let early = change();
    assert!(!early.status.success() && said(&early).contains("in use"), "{early:?}");
    server.terminate();
    let checked = in_kolkata(&["check", "--listen", "127.0.0.1:0"]);
    assert!(!checked.status.success() && said(&checked).contains("timezone"), "{checked:?}");
    let changed = change();
    assert!(changed.status.success(), "{changed:?}");
    let checked = in_kolkata(&["check", "--listen", "127.0.0.1:0"]);
    assert!(checked.status.success(), "{checked:?}");
}
