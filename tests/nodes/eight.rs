//! Eight nodes on loopback: equal totals on each, and the operations that docs/SCALING.md
//! counts on, counted by the servers themselves.

use std::{collections::BTreeMap, time::Instant};

use floodmark::domain::batch::LANES;
use serde_json::Value;

use crate::{
    shop::{Live, Shop, drained},
    support::{
        postgres::Postgres,
        redis::RedisServer,
        sums::{Sums, follow},
    },
};

const NODES: usize = 8;
/// The number of full batches that each node makes.
const BATCHES: usize = 6;
/// `batch.max_events`: a request of as many is one batch.
const EVENTS: usize = 5_000;
/// `ledger.fold_interval_ms`, and the most transactions that one fold takes: one folds, one finds
/// nothing more to fold, one drops old rows.
const FOLD_SECONDS: u64 = 5;
const COMMITS_A_FOLD: u64 = 3;
/// The most transactions a second of a node that has nothing to write. It asks for changed keys and
/// passes every second; every two seconds for alerts, for its heads and for missing batches; less often
/// for notifications, and it says that it lives. docs/SCALING.md has the figure as measured.
const COMMITS_A_SECOND: u64 = 4;
/// The shipped breakdowns of page views and of purchases.
const BREAKDOWNS: u64 = 4;
/// The number of shards over which the active visitors are spread.
const SHARDS: u64 = 16;

/// How often each command was called since the last `CONFIG RESETSTAT`.
fn commands(redis: &RedisServer) -> BTreeMap<String, u64> {
    let stats: String = redis.run(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    calls.collect()
}

fn send_batches(shop: &Shop) -> Sums {
    let mut sums = Sums::default();
    for batch in 0..BATCHES {
        for (number, node) in shop.nodes.iter().enumerate() {
            let events: Vec<Value> = (0..EVENTS)
                .map(|n| match n % 10 {
                    0 => serde_json::json!({"type": "purchase", "sessionId": format!("{n}"),
                        "userId": format!("user {n}"), "properties": {"amount": 0.25 + (number + batch) as f64}}),
                    _ => serde_json::json!({"type": "page_view", "sessionId": format!("{n}")}),
                })
                .collect();
            events.iter().for_each(|event| sums.add_event(event));
            let body = serde_json::to_vec(&events).unwrap();
            let answer = node.post(body);
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }
    sums
}

/// Checks that Postgres runs five statements and one transaction for each batch, and nothing by the
/// second.
fn postgres_did_what_the_model_says(shop: &Shop, batches: u64, begin: Instant) {
    let statements = |pattern: &str| {
        shop.number(&format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '{pattern}'"
        )) as u64
    };

    assert_eq!(statements("COPY events %"), batches);
    let moved = statements("INSERT INTO ledger_heads %") + statements("UPDATE ledger_heads %");
    assert_eq!(moved, batches);
    assert_eq!(statements("INSERT INTO ledger (%"), batches);
    // Beside the batches, the folding of the ledger commits. It runs on a timer, and a round goes on
    // as long as each of its transactions finds a batch that was just stored.
    let commits = statements("COMMIT%");
    let folds = begin.elapsed().as_secs() / FOLD_SECONDS + 1;
    let folded = NODES as u64 * folds * COMMITS_A_FOLD;
    let by_the_second = NODES as u64 * COMMITS_A_SECOND * (begin.elapsed().as_secs() + 2);
    let most = 2 * batches + folded + by_the_second;
    assert!((batches..=most).contains(&commits), "{commits} of {batches}, at most {most}");
}

/// Checks that Redis runs one script for each batch, a bounded number of commands for visitors, and
/// a bounded number of requests a second.
fn redis_did_what_the_model_says(calls: &BTreeMap<String, u64>, batches: u64, seconds: f64) {
    // For each batch there is one script, which publishes one message.
    let of = |command: &str| calls.get(command).copied().unwrap_or(0);
    assert_eq!(of("spublish"), batches, "{calls:?}");
    // Each script writes two fields at once, the guard and the version, and the values of each breakdown in
    // each minute. Here these are the events that have none.
    let hsets = of("hset");
    let breakdowns = batches * BREAKDOWNS;
    // Who bought has a user and a session. Each node says so once in an hour, in one command for each shard.
    let links = 2 * NODES as u64 * SHARDS;
    let most = batches + 2 * breakdowns + links;
    assert!((batches + breakdowns..=most).contains(&hsets), "{calls:?}");
    assert!(of("zscore") <= 2 * (NODES * EVENTS / 10) as u64, "{calls:?}");
    // A batch spans one second or two. It has four series (two types, revenue, and the revenue's
    // currency), each in three kinds of buckets. The version is one more increment.
    let increments = of("hincrby");
    assert!((10 * batches..=25 * batches).contains(&increments), "{calls:?}");
    // Visitors take at most one command for each shard.
    assert!(of("zadd") <= SHARDS * batches, "{calls:?}");

    // These requests are made by the second, by each node. A loop that pauses between two requests
    // can't make more than this.
    let at_most = |a_second: u64| (NODES as f64 * a_second as f64 * (seconds + 1.0)) as u64;
    assert!(of("zcard") <= at_most(SHARDS), "{calls:?}");
    assert!(of("hmget") <= at_most(LANES), "{calls:?}");
    // Idle lanes check every two seconds, and one node renews the lease of alerts. A distinct value is written once, with at most one
    // command for each shard.
    let scripts = batches + links + SHARDS * batches + at_most(LANES / 2 + 1);
    assert!(of("evalsha") <= scripts, "{calls:?}");
}

#[test]
fn eight_nodes_agree_and_cost_what_the_model_says() {
    let postgres = Postgres::start_with(
        "max_connections = 150\nshared_preload_libraries = 'pg_stat_statements'\n\
         pg_stat_statements.track_utility = on",
    );
    let shop = Shop::with(NODES, postgres, Live::Single(RedisServer::start()));
    let Live::Single(redis) = &shop.live else { unreachable!() };
    let batches = (NODES * BATCHES) as u64;

    // Each node gets one small batch first, so that its lanes, partitions and connections exist.
    for node in &shop.nodes {
        node.post(br#"{"type":"error"}"#);
    }
    shop.stores(NODES as u64);
    shop.nodes.iter().for_each(drained);
    shop.sql("CREATE EXTENSION pg_stat_statements");
    shop.sql("SELECT pg_stat_statements_reset()");
    redis.run::<()>(&["CONFIG", "RESETSTAT"]);
    let begin = Instant::now();

    let mut sums = send_batches(&shop);
    *sums.counts.entry("error".to_owned()).or_default() += NODES as u64;
    shop.shows(&sums);
    shop.stores(sums.events());
    let (redis_calls, seconds) = (commands(redis), begin.elapsed().as_secs_f64());
    postgres_did_what_the_model_says(&shop, batches, begin);
    redis_did_what_the_model_says(&redis_calls, batches, seconds);

    // Eight viewers, one on each node, add up to the same sums.
    for node in &shop.nodes {
        let seen = follow(node.addr(), |seen| *seen == sums);
        assert_eq!(seen.0, sums);
    }
    shop.agrees(&sums);
    users_are_their_sessions(&shop);
}

/// Each buyer is now known to a server of the shop, which has no sessions: that makes nobody more. One user
/// has bought nothing yet, and is somebody more.
fn users_are_their_sessions(shop: &Shop) {
    let users = (0..EVENTS).step_by(10).map(|n| format!("user {n}")).chain(["nobody".to_owned()]);
    let paid = |user| serde_json::json!({"type": "order_paid", "userId": user});
    let events: Vec<Value> = users.map(paid).collect();
    let answer = shop.nodes[NODES - 1].post(serde_json::to_vec(&events).unwrap());
    assert_eq!(answer.status, 202, "{answer:?}");
    for node in &shop.nodes {
        node.until("each visitor is active once", |node| {
            let current = node.current();
            let paid = &current["counts"]["order_paid"];
            *paid == events.len() && current["activeUsers"] == EVENTS + 1
        });
    }
}
