//! What only Postgres has: partitions, rows that it refuses, outages, credentials, TLS and
//! PgBouncer.

use std::{sync::Arc, time::Duration};

use floodmark::{
    config::Config,
    domain::{
        batch::Batch,
        time::{DAY, Millis, now_ms},
    },
    store::{self, Store, StoreErrorKind, StoreTotals, Written, poison},
};

use crate::{
    backend::{Backend, delta_of, ledger_total, node},
    support::{
        batches::{Event, batch, dead_letter, event, seal},
        pgbouncer::PgBouncer,
        postgres::{PASSWORD, Postgres, USER},
        process,
    },
};

fn config(url: String) -> Config {
    let mut config = Config::default();
    config.postgres.url = url;
    config
}

async fn open(url: String) -> Arc<dyn Store> {
    store::open(&config(url)).await.expect("the store opens")
}

/// Opens a store that notices silence soon.
async fn open_impatient(url: String) -> Arc<dyn Store> {
    let mut config = config(url);
    config.postgres.connect_timeout_ms = 500;
    config.postgres.statement_timeout_ms = 1_000;
    store::open(&config).await.expect("the store opens")
}

/// Writes as a sink's writer does: again and again, until it is stored.
async fn write_until_stored(store: &dyn Store, batch: &Batch) -> Written {
    loop {
        match store.write(batch).await {
            Ok(written) => return written,
            Err(e) => {
                assert_eq!(e.kind, StoreErrorKind::Unavailable, "{e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn kind(result: Result<Written, store::StoreError>) -> StoreErrorKind {
    result.expect_err("no write").kind
}

async fn partitions(postgres: &Postgres) -> Vec<(String, u64)> {
    let rows = postgres
        .sql("SELECT tableoid::regclass, count(*) FROM events GROUP BY tableoid ORDER BY tableoid::regclass::text")
        .await;
    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

fn partition(at: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap();
    at.strftime("events_%Y%m%d").to_string()
}

#[tokio::test]
async fn events_lie_in_daily_partitions() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let now = now_ms();
    let days = [-500, -401, -399, -30, -1, 0, 1, 6, 30, 3_000];
    let events: Vec<Event> =
        days.iter().map(|day| Event::at(now + day * DAY, format!("{day}"))).collect();
    store.write(&seal(node(1), 1, &events)).await.unwrap();

    let mut expected: Vec<_> =
        days[2..8].iter().map(|day| (partition(now + day * DAY), 1)).collect();
    expected.sort();
    expected.push(("events_default".to_owned(), 4));
    assert_eq!(partitions(&postgres).await, expected);

    // Made ahead, though empty: tomorrow's is there, and the day after's.
    let ahead = partition(now + 2 * DAY);
    let found = postgres.sql(&format!("SELECT to_regclass('{ahead}') IS NOT NULL")).await;
    assert_eq!(found[0][0], "t");

    // One day's query reads one table, whatever the session's time zone, by its BRIN index
    // where it pays.
    let day = now - now.rem_euclid(DAY);
    let (from, to) = (day / 1000, (day + DAY) / 1000);
    let plan = postgres
        .sql(&format!(
            "SET enable_seqscan = off; EXPLAIN SELECT count(*) FROM events
             WHERE time >= to_timestamp({from}) AND time < to_timestamp({to})"
        ))
        .await
        .concat()
        .join("\n");
    let literal = postgres
        .sql(&format!(
            "EXPLAIN SELECT count(*) FROM events WHERE time >= '{0} 00:00+00' AND time < '{1} 00:00+00'",
            jiff::Timestamp::from_millisecond(day).unwrap().strftime("%F"),
            jiff::Timestamp::from_millisecond(day + DAY).unwrap().strftime("%F"),
        ))
        .await
        .concat()
        .join("\n");
    for plan in [&plan, &literal] {
        assert_eq!(
            plan.matches("Scan on events_").count() - plan.matches("Index Scan").count(),
            1,
            "{plan}"
        );
        assert!(plan.contains(&format!(" on {}", partition(now))), "{plan}");
    }
    assert!(plan.contains("Bitmap Index Scan"), "{plan}");

    // As `\d+ events` lists it: one partition a day, from its midnight to the next (UTC).
    let listed = postgres
        .sql(
            "SET timezone = 'UTC';
             SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass",
        )
        .await;
    let midnight = |at: Millis| {
        let at = jiff::Timestamp::from_millisecond(at).unwrap();
        at.strftime("%F 00:00:00+00").to_string()
    };
    for of in [-399, -30, -1, 0, 1, 2, 6].map(|days| now + days * DAY) {
        let bounds = format!("FOR VALUES FROM ('{}') TO ('{}')", midnight(of), midnight(of + DAY));
        assert!(listed.contains(&vec![partition(of), bounds]), "{of}: {listed:?}");
    }
    assert!(listed.contains(&vec!["events_default".to_owned(), "DEFAULT".to_owned()]));
    assert_eq!(listed.len(), 8, "{listed:?}");
    assert_eq!(ledger_total(&*store).await, delta_of(&events));
}

#[tokio::test]
async fn nodes_make_the_same_partitions_at_once() {
    let postgres = Postgres::start();
    let now = now_ms();
    // Each node with its own schema race, too: nothing is there yet.
    let nodes = (1..=4).map(|n| {
        let url = postgres.url();
        tokio::spawn(async move {
            let store = open(url).await;
            for seq in 1..=4 {
                let days = (0..12).map(|day| now - (seq as Millis * 10 + day) * DAY);
                let events: Vec<Event> = days.map(|at| Event::at(at, format!("{at}"))).collect();
                store.write(&seal(node(n), seq, &events)).await.unwrap();
            }
        })
    });
    for node in futures_util::future::join_all(nodes).await {
        node.unwrap();
    }
    let partitions = partitions(&postgres).await;
    let total: u64 = partitions.iter().map(|partition| partition.1).sum();
    assert_eq!(total, 4 * 4 * 12);
    assert_eq!(partitions.len(), 42);
    assert!(partitions.iter().all(|partition| partition.0 != "events_default"));
}

#[tokio::test]
async fn rows_in_the_default_partition_move_when_their_day_is_made() {
    let postgres = Postgres::start();
    let now = now_ms();
    let store = open(postgres.url()).await;
    store.write(&Batch::void(batch(node(1), 1, 1).id)).await.unwrap();
    let insert = |day: Millis| {
        format!(
            "INSERT INTO events VALUES (to_timestamp({}), now(), 'x', 'y', NULL, NULL, '{{}}')",
            (now + day * DAY) / 1000
        )
    };
    postgres.sql(&insert(-9)).await;
    // A day that was put aside stays aside: its late events go to the default partition.
    let aside = partition(now - 5 * DAY);
    postgres.sql(&format!("CREATE TABLE {aside} (LIKE events)")).await;
    let events = [-9, -5].map(|day| Event::at(now + day * DAY, format!("{day}")));
    store.write(&seal(node(1), 2, &events)).await.unwrap();
    assert_eq!(
        partitions(&postgres).await,
        [(partition(now - 9 * DAY), 2), ("events_default".to_owned(), 1)]
    );
}

#[tokio::test]
async fn poisoned_rows_go_to_the_dead_letters_and_block_nothing() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let mut events: Vec<Event> = (0..300).map(event).collect();
    let poison = [
        (0, r#"{"number":1e200000}"#),
        (141, r#"{"nul":"a\u0000b"}"#),
        (142, r#"{"surrogate":"\ud800"}"#),
        (299, "no json"),
    ];
    for (n, properties) in poison {
        events[n].kind = "page_view".to_owned();
        events[n].properties = properties.to_owned();
    }
    events[77].id = "n\0l".to_owned();
    let mut sealed = seal(node(1), 1, &events);
    sealed.dead_letters.push(dead_letter(1));
    let written = store.write(&sealed).await.unwrap();
    assert_eq!(written, Written::Stored { events: 295, poisoned: 5 });
    assert_eq!(store.write(&sealed).await.unwrap(), Written::AlreadyStored);
    store.write(&batch(node(1), 5, 10)).await.unwrap();

    assert_eq!(
        store.totals().await.unwrap(),
        StoreTotals { events: 305, dead_letters: 6, ledger_events: 310 }
    );
    let reasons = postgres
        .sql("SELECT message, raw FROM dead_letters WHERE code = 'refused_by_store' ORDER BY received_at")
        .await;
    let reason = |n: usize, part: &str| assert!(reasons[n][0].contains(part), "{reasons:?}");
    reason(0, "overflow");
    reason(1, "22021");
    reason(2, "22P05");
    reason(3, "surrogate");
    reason(4, "json");
    assert!(reasons[2][1].contains(r#"{"nul":"a\u0000b"}"#), "{reasons:?}");
    // The ledger is what was sealed: the live counters have counted these rows too.
    let mut delta = sealed.delta.clone();
    assert_eq!(store.ledger_delta(sealed.id).await.unwrap(), Some(delta.clone()));
    delta.events = 0;
    let poisoned = postgres.sql("SELECT sum(poisoned) FROM ledger").await;
    assert_eq!(poisoned, [["5"]]);
}

#[tokio::test]
async fn a_batch_of_nothing_but_poison_passes() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    // A constraint of the operator's own, and bytes that are no row.
    let events: Vec<Event> = (0..20).map(|n| Event::at(now_ms(), format!("{n}"))).collect();
    store.write(&batch(node(1), 1, 5)).await.unwrap();
    postgres
        .sql("ALTER TABLE events ADD CONSTRAINT no_views CHECK (type <> 'page_view') NOT VALID")
        .await;
    let mut sealed = seal(node(1), 2, &events);
    sealed.rows.push(bytes::Bytes::from_static(&[7; 30]));
    sealed.events += 1;
    let written = store.write(&sealed).await.unwrap();
    assert_eq!(written, Written::Stored { events: 0, poisoned: 21 });
    let letters = Backend::Postgres(postgres).dead_letters().await;
    assert_eq!(letters.len(), 21);
    assert!(letters.iter().any(|letter| letter.1 == poison::MALFORMED));
}

#[tokio::test]
async fn a_crash_of_the_server_loses_and_doubles_nothing() {
    let mut postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let first = store.write(&batch(node(1), 4, 200)).await;
    first.unwrap();
    let lanes = (1..=4u64).map(|lane| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 1..=25 {
                write_until_stored(&*store, &batch(node(1), round * 4 + lane, 200)).await;
            }
        })
    });
    let lanes: Vec<_> = lanes.collect();
    // Twice in the middle of it; at what moment does not matter, the sums must be exact.
    for _ in 0..2 {
        let before = store_events(&postgres).await;
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if store_events(&postgres).await > before + 1_000 {
                break;
            }
        }
        postgres.stop_immediate();
        assert_eq!(store.check().await.unwrap_err().kind, StoreErrorKind::Unavailable);
        postgres.start_again();
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    let backend = Backend::Postgres(postgres);
    let events = backend.events().await;
    assert_eq!(events.len(), 101 * 200);
    assert_eq!(ledger_total(&*store).await, delta_of(&events));
}

async fn store_events(postgres: &Postgres) -> u64 {
    let rows = postgres.sql("SELECT coalesce(sum(events), 0) FROM ledger").await;
    rows[0][0].parse().unwrap()
}

#[tokio::test]
async fn a_store_opens_while_its_server_is_down() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    let store = open(postgres.url()).await;
    assert_eq!(store.check().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    let sealed = batch(node(1), 1, 10);
    assert_eq!(kind(store.write(&sealed).await), StoreErrorKind::Unavailable);
    postgres.start_again();
    store.check().await.unwrap();
    let stored = Written::Stored { events: 10, poisoned: 0 };
    assert_eq!(store.write(&sealed).await.unwrap(), stored);
}

#[tokio::test]
async fn a_stopped_server_is_noticed_and_its_late_commit_counts_once() {
    let postgres = Postgres::start();
    let store = open_impatient(postgres.url()).await;
    store.write(&batch(node(1), 1, 50)).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 2..=60 {
                write_until_stored(&*store, &batch(node(1), seq, 50)).await;
            }
        })
    };
    while store_events(&postgres).await < 400 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    postgres.pause();
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    postgres.resume();
    writer.await.unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.events, totals.ledger_events), (3_000, 3_000));
}

#[tokio::test]
async fn a_read_only_server_is_told_apart_and_left_behind() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    store.write(&batch(node(1), 1, 10)).await.unwrap();
    set_read_only(&postgres, true).await;
    let error = store.write(&batch(node(1), 2, 10)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::ReadOnly, "{error}");
    let error = store.check().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::ReadOnly, "{error}");
    // It can be read, also by a server that starts now.
    let fresh = open(postgres.url()).await;
    assert_eq!(ledger_total(&*fresh).await.events, 10);
    assert_eq!(kind(fresh.write(&batch(node(1), 2, 10)).await), StoreErrorKind::ReadOnly);
    set_read_only(&postgres, false).await;
    store.check().await.unwrap();
    store.write(&batch(node(1), 2, 10)).await.unwrap();
}

async fn set_read_only(postgres: &Postgres, on: bool) {
    postgres.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}")).await;
    postgres.sql("SELECT pg_reload_conf()").await;
    let wanted = if on { "on" } else { "off" };
    // A new connection may still begin with the old setting for a moment.
    while postgres.sql("SHOW default_transaction_read_only").await != [[wanted]] {}
}

#[tokio::test]
async fn credentials_are_refused_found_and_changed() {
    let postgres = Postgres::start();
    let wrong = open(postgres.url_with(USER, "wrong", postgres.port())).await;
    let error = wrong.check().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    assert_eq!(kind(wrong.write(&batch(node(1), 1, 1)).await), StoreErrorKind::Denied);

    // A user that may connect and no more.
    postgres.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'").await;
    let guest = open(postgres.url_with("guest", "guest", postgres.port())).await;
    guest.check().await.unwrap();
    assert_eq!(kind(guest.write(&batch(node(1), 1, 1)).await), StoreErrorKind::Denied);

    // The password from a file that changes with it.
    let passfile = postgres.folder().join("pass file");
    let write_password = |password: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&passfile, format!("127.0.0.1:*:*:{USER}:{password}\n")).unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write_password(PASSWORD);
    let url = format!(
        "postgres://{USER}@127.0.0.1:{}/postgres?passfile={}",
        postgres.port(),
        passfile.display().to_string().replace(' ', "%20")
    );
    let store = open(url).await;
    store.write(&batch(node(1), 1, 10)).await.unwrap();
    write_password("not yet");
    postgres
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'floodmark'")
        .await;
    let error = loop {
        // The first attempt may meet a connection that is not known to be gone yet.
        let error = store.write(&batch(node(1), 2, 10)).await.unwrap_err();
        if error.kind != StoreErrorKind::Unavailable {
            break error;
        }
    };
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    write_password(PASSWORD);
    store.write(&batch(node(1), 2, 10)).await.unwrap();
}

#[tokio::test]
async fn the_schema_is_made_again_and_a_foreign_one_refused() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    store.write(&batch(node(1), 1, 10)).await.unwrap();
    // Dropped under our feet: noticed, then made again.
    postgres
        .sql(
            "DROP TABLE events, ledger, ledger_heads, dead_letters, rollups, fold_heads,
                        alerts, notifications, leases, refinery_schema_history",
        )
        .await;
    assert_eq!(kind(store.write(&batch(node(1), 2, 10)).await), StoreErrorKind::Schema);
    store.write(&batch(node(1), 2, 10)).await.unwrap();
    // From a version to come.
    postgres.sql("INSERT INTO refinery_schema_history VALUES (999, 'later', '', '1')").await;
    let old = open(postgres.url()).await;
    let error = old.write(&batch(node(1), 3, 10)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Schema, "{error}");
    assert!(error.message.contains("V999__later"), "{error}");
}

#[tokio::test]
async fn pgbouncer_in_transaction_mode_may_sit_between() {
    let postgres = Postgres::start();
    let bouncer = PgBouncer::start(&postgres, 2);
    let url = postgres.url_with(USER, PASSWORD, bouncer.port());
    // Two servers with four lanes each share two connections.
    let nodes = (1..=2).map(|n| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = open(url).await;
            let lanes = (1..=4u64).map(|lane| {
                let store = store.clone();
                async move {
                    for round in 0..10 {
                        let mut sealed = batch(node(n), round * 4 + lane, 50);
                        if round == 5 {
                            sealed.dead_letters.push(dead_letter(lane));
                        }
                        store.write(&sealed).await.unwrap();
                        assert_eq!(store.write(&sealed).await.unwrap(), Written::AlreadyStored);
                    }
                }
            });
            futures_util::future::join_all(lanes).await;
            store.check().await.unwrap();
            assert_eq!(store.ledger_sum(0, 0).await.unwrap().lanes[0].last[&node(n)], 40);
        })
    });
    for node in futures_util::future::join_all(nodes).await {
        node.unwrap();
    }
    // Poison, through it too.
    let store = open(url.clone()).await;
    let mut events: Vec<Event> = (0..20).map(event).collect();
    events[7].properties = r#"{"nul":"\u0000"}"#.to_owned();
    let written = store.write(&seal(node(1), 41, &events)).await.unwrap();
    assert_eq!(written, Written::Stored { events: 19, poisoned: 1 });
    let left = postgres
        .sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        .await;
    assert_eq!(left, [["0"]]);

    let totals = store.totals().await.unwrap();
    assert_eq!((totals.events, totals.dead_letters), (4_019, 9));
    let denied = open(postgres.url_with(USER, "wrong", bouncer.port())).await;
    let error = denied.check().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn tls_is_as_strict_as_sslmode_says() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    let openssl = process::find("openssl", &[], "apt-get install openssl");
    let certificate = |name: &str, host: &str| {
        let path = |end: &str| postgres.folder().join(format!("{name}.{end}"));
        process::run(
            process::command(&openssl)
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(["-subj", "/CN=floodmark", "-addext", &format!("subjectAltName={host}")])
                .arg("-keyout")
                .arg(path("key"))
                .arg("-out")
                .arg(path("crt")),
        );
        path("crt")
    };
    let ours = certificate("ours", "DNS:localhost");
    let other = certificate("other", "DNS:localhost");
    postgres.configure(&format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'",
        ours.display(),
        ours.with_extension("key").display()
    ));
    postgres.start_again();
    let check = async |host: &str, query: String| {
        let url = postgres.url().replace("127.0.0.1", host);
        let store = store::open(&config(format!("{url}?{query}"))).await?;
        store.check().await
    };
    let (ours, other) = (ours.display(), other.display());
    for (host, query) in [
        ("127.0.0.1", "sslmode=disable".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours}")),
    ] {
        check(host, query.clone()).await.unwrap_or_else(|e| panic!("{query}: {e}"));
    }
    for (host, query) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ours}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}")),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned()),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere".to_owned()),
    ] {
        let error = check(host, query.clone()).await.expect_err(&query);
        assert_eq!(error.kind, StoreErrorKind::Other, "{query}: {error}");
    }
    // It was TLS that carried it.
    let store = open(format!("{}?sslmode=require", postgres.url())).await;
    store.write(&batch(node(1), 1, 10)).await.unwrap();
    let encrypted = postgres
        .sql(
            "SELECT DISTINCT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
             WHERE a.application_name = 'floodmark'",
        )
        .await;
    assert_eq!(encrypted, [["t"]]);
}
