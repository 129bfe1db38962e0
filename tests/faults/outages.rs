//! Outages: Postgres and Redis are stopped, halted, emptied, full or read-only.

use std::{thread, time::Duration};

use crate::{
    load::{Load, Plan},
    shop::Shop,
    verdict::Row,
    viewer::Viewer,
};

/// Settings by which the node soon notices a server that stops answering, so that the test takes no
/// minute.
const IMPATIENT: [(&str, &str); 3] = [
    ("FLOODMARK_POSTGRES__STATEMENT_TIMEOUT_MS", "1000"),
    ("FLOODMARK_REDIS__RESPONSE_TIMEOUT_MS", "1000"),
    ("FLOODMARK_REDIS__CONNECT_TIMEOUT_MS", "1000"),
];

/// A rate of events that a slow machine can bear beside everything else that a test runs.
const STEADY: Plan = Plan { senders: 4, events: 100, rate: Some(4000), ids: false, twice: false };
const FLOOD: Plan = Plan { senders: 8, events: 500, rate: Some(20_000), ids: false, twice: false };

/// Sends load before, during and after `fault`, which gets the shop and the load.
fn under_load(
    row: Row,
    settings: &[(&str, &str)],
    plan: Plan,
    fault: impl FnOnce(&mut Shop, &Load, &Viewer),
) {
    let mut shop = Shop::on_servers(settings);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, plan);
    load.goes_on(1000);
    fault(&mut shop, &load, &viewer);
    load.goes_on(1000);
    let account = load.stop();
    assert_eq!(load_failed(&account), 0, "an outage of a sink refuses nobody");
    row.close(&mut shop, &account, Some(&viewer));
}

fn load_failed(account: &crate::load::Account) -> u64 {
    use crate::load::Outcome::{Refused, Silent};
    account.count(Refused) + account.count(Silent)
}

fn postgres_halted(row: Row, settings: &[(&str, &str)], time: Duration) {
    let settings: Vec<(&str, &str)> =
        settings.iter().copied().chain([("FLOODMARK_SPOOL__UNREADY_LAG_S", "1")]).collect();
    under_load(row, &settings, STEADY, |shop, load, _| {
        shop.postgres().pause();
        load.goes_on(1000);
        shop.node.until("it says which sink is behind", |node| {
            node.reasons().iter().any(|reason| reason.starts_with("store: behind by"))
        });
        thread::sleep(time);
        let oldest = shop.node.metric("floodmark_spool_oldest_seconds{sink=\"store\"}");
        assert!(oldest >= time.as_secs() as f64, "the oldest batch waits for {oldest} s");
        shop.postgres().resume();
        shop.is_ready();
    });
}

#[test]
fn postgres_halted_by_sigstop() {
    let row = Row::new(
        "postgres_halted_by_sigstop",
        "SIGSTOP of Postgres for 4 s",
        "nobody is refused; what was under way is stored once",
    );
    postgres_halted(row, &IMPATIENT, Duration::from_secs(4));
}

#[test]
#[ignore = "long: ./test --soak"]
fn postgres_halted_by_sigstop_for_30_s() {
    let row = Row::new(
        "postgres_halted_by_sigstop_for_30_s",
        "SIGSTOP of Postgres for 30 s",
        "nobody is refused; what was under way is stored once",
    );
    postgres_halted(row, &[], Duration::from_secs(30));
}

fn redis_halted(row: Row, settings: &[(&str, &str)], time: Duration) {
    under_load(row, settings, STEADY, |shop, load, viewer| {
        shop.redis().pause();
        load.goes_on(1000);
        thread::sleep(time);
        viewer.until("that the numbers are old", |screen| screen.behind_now > 0);
        shop.redis().resume();
        viewer.until("that they are fresh again", |screen| screen.behind_now == 0);
    });
}

#[test]
fn redis_halted_by_sigstop() {
    let row = Row::new(
        "redis_halted_by_sigstop",
        "SIGSTOP of Redis for 4 s",
        "storing goes on; viewers are told how old their numbers are",
    );
    redis_halted(row, &IMPATIENT, Duration::from_secs(4));
}

#[test]
#[ignore = "long: ./test --soak"]
fn redis_halted_by_sigstop_for_30_s() {
    let row = Row::new(
        "redis_halted_by_sigstop_for_30_s",
        "SIGSTOP of Redis for 30 s",
        "storing goes on; viewers are told how old their numbers are",
    );
    redis_halted(row, &[], Duration::from_secs(30));
}

/// The sizes of `config/default.toml` instead of the small ones of tests, for a load as large as
/// those are made for.
const DEFAULT_SIZES: [(&str, &str); 5] = [
    ("FLOODMARK_SPOOL__SEGMENT_BYTES", "67108864"),
    ("FLOODMARK_BATCH__MAX_BYTES", "8388608"),
    ("FLOODMARK_BATCH__MAX_EVENTS", "5000"),
    ("FLOODMARK_BATCH__FLUSH_INTERVAL_MS", "100"),
    ("FLOODMARK_SPOOL__CURSOR_INTERVAL_MS", "1000"),
];

/// Stops Postgres for a while: the spool grows, the memory does not, and the live view goes on.
fn postgres_gone(row: Row, settings: &[(&str, &str)], plan: Plan, time: Duration, growth_mib: u64) {
    under_load(row, settings, plan, |shop, load, viewer| {
        shop.postgres().stop_immediate();
        // The comparison of the memory begins once the node has noticed the outage and filled its
        // few buffers.
        shop.node.until("it says so", |node| !node.reasons().is_empty());
        load.goes_on(plan.rate.unwrap_or(1000));
        let before = shop.node.memory_mib();
        thread::sleep(time);
        let seen = viewer.screen().events();
        viewer.until("that counting goes on", |screen| screen.events() > seen);
        let lag = shop.node.get("/readyz")["lag"].clone();
        assert!(lag["store"]["events"].as_u64() > Some(0), "the store lags: {lag}");
        let after = shop.node.memory_mib();
        assert!(after <= before + growth_mib, "memory grew from {before} MiB to {after} MiB");
        shop.postgres().start_again();
    });
}

#[test]
fn postgres_gone_under_load() {
    let row = Row::new(
        "postgres_gone_under_load",
        "Postgres crashes and is gone for 4 s at 4,000 events/s",
        "the spool grows, memory does not; the live view goes on",
    );
    postgres_gone(row, &[], STEADY, Duration::from_secs(4), 48);
}

#[test]
#[ignore = "long: ./test --soak"]
fn postgres_gone_for_5_minutes() {
    let row = Row::new(
        "postgres_gone_for_5_minutes",
        "Postgres crashes and is gone for 5 minutes at 20,000 events/s",
        "the spool grows by gigabytes, memory does not; the live view goes on",
    );
    postgres_gone(row, &DEFAULT_SIZES, FLOOD, Duration::from_secs(300), 64);
}

#[test]
fn redis_gone_under_load() {
    let row = Row::new(
        "redis_gone_under_load",
        "Redis crashes without a copy of its data and is gone for 3 s",
        "COPY goes on; viewers are told how old their numbers are; then all is rebuilt",
    );
    under_load(row, &[], STEADY, |shop, load, viewer| {
        shop.redis().stop();
        viewer.until("that the numbers are old", |screen| screen.behind_now > 0);
        let stored = |shop: &Shop| shop.node.metric("floodmark_events_stored_total");
        let before = stored(shop);
        load.goes_on(1000);
        thread::sleep(Duration::from_secs(3));
        shop.node.until("COPY goes on", |node| {
            node.metric("floodmark_events_stored_total") >= before + 1000.0
        });
        shop.redis().restart();
        viewer.until("that they are fresh again", |screen| screen.behind_now == 0);
    });
}

#[test]
fn both_gone_under_load() {
    let row = Row::new(
        "both_gone_under_load",
        "Postgres and Redis crash and are gone for 3 s; the node is killed meanwhile",
        "everything waits in the spool",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, STEADY);
    load.goes_on(1000);
    shop.postgres().stop_immediate();
    shop.redis().stop();
    load.goes_on(4000);
    shop.node.kill();
    shop.node.restart();
    load.goes_on(4000);
    shop.redis().restart();
    shop.postgres().start_again();
    load.goes_on(1000);
    let account = load.stop();
    row.close(&mut shop, &account, Some(&viewer));
}

#[test]
fn postgres_read_only() {
    let row = Row::new(
        "postgres_read_only",
        "Postgres takes no writes for 2 s, as a standby after a failover",
        "/readyz names it; storing goes on by itself afterwards",
    );
    under_load(row, &[], STEADY, |shop, load, _| {
        let switch = |shop: &Shop, to: &str| {
            shop.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {to}"));
            shop.sql("SELECT pg_reload_conf()");
        };
        switch(shop, "on");
        shop.node.until("it says so", |node| {
            node.reasons().iter().any(|reason| reason.starts_with("store: read_only"))
        });
        load.goes_on(4000);
        thread::sleep(Duration::from_secs(2));
        // Even a read-only session may change this setting.
        switch(shop, "off");
        shop.is_ready();
    });
}

#[test]
fn redis_emptied() {
    let row = Row::new(
        "redis_emptied",
        "FLUSHALL, three times",
        "the counters are rebuilt from ledger and spool",
    );
    under_load(row, &[], STEADY, |shop, load, _| {
        for _ in 0..3 {
            shop.redis().flushall();
            load.goes_on(2000);
        }
    });
}

#[test]
fn redis_out_of_memory() {
    let row = Row::new(
        "redis_out_of_memory",
        "Redis has no memory left (maxmemory) for 2 s",
        "a batch is counted whole or not at all; viewers are told; storing goes on",
    );
    under_load(row, &[], STEADY, |shop, load, viewer| {
        shop.redis().run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        shop.node.until("it says so", |node| {
            node.reasons().iter().any(|reason| reason.starts_with("live: full"))
        });
        load.goes_on(4000);
        thread::sleep(Duration::from_secs(2));
        viewer.until("that the numbers are old", |screen| screen.behind_now > 0);
        shop.redis().run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        viewer.until("that they are fresh again", |screen| screen.behind_now == 0);
    });
}
