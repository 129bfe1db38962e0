//! Nodes and Redis die under load, and afterwards all numbers are exact.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    shop::{Live, Shop},
    support::sums::{self, Sums},
};

/// The numbers must be exact again within this time after Redis was emptied.
const EXACT_WITHIN: Duration = Duration::from_secs(10);

/// Starts a viewer of a node on a thread of its own, which ends once its frames add up to these
/// sums.
fn viewer(shop: &Shop, node: usize, wanted: &Sums) -> thread::JoinHandle<(Sums, usize)> {
    let (addr, wanted) = (shop.nodes[node].addr(), wanted.clone());
    thread::spawn(move || sums::follow(addr, |sums| *sums == wanted))
}

#[test]
fn an_emptied_redis_and_a_crashed_postgres_under_load_change_nothing() {
    let mut shop = Shop::open();
    let mut load = shop.load(40_000, 8_000);
    shop.counts(10_000);
    let Live::Single(redis) = &shop.live else { unreachable!() };
    redis.flushall();
    shop.counts(20_000);
    shop.postgres.stop_immediate();
    shop.counts(40_000);
    shop.postgres.start_again();
    load.wait();
    shop.agrees(&load.sums);
}

#[test]
fn an_emptied_redis_is_exact_again_within_ten_seconds() {
    let shop = Shop::open();
    let mut load = shop.load(30_000, 10_000);
    shop.counts(20_000);
    let Live::Single(redis) = &shop.live else { unreachable!() };
    redis.flushall();
    let flushed = Instant::now();
    load.wait();
    // The exact numbers change as long as events arrive, so the time is measured from the last
    // event.
    let last = Instant::now();
    shop.shows(&load.sums);
    let after = last.max(flushed).elapsed();
    assert!(after < EXACT_WITHIN, "exact only after {after:?}");
    shop.agrees(&load.sums);
}

#[test]
fn a_killed_master_and_a_crashed_postgres_under_load_change_nothing() {
    let mut shop = Shop::on_a_cluster();
    let mut load = shop.load(60_000, 6_000);
    let viewers = [viewer(&shop, 0, &load.sums), viewer(&shop, 1, &load.sums)];
    shop.counts(15_000);
    let Live::Cluster(cluster) = &mut shop.live else { unreachable!() };
    let owner = cluster.owner("{floodmark:lane1}");
    cluster.servers[owner].stop();
    shop.counts(40_000);
    shop.postgres.stop_immediate();
    shop.counts(60_000);
    shop.postgres.start_again();
    load.wait();
    shop.agrees(&load.sums);
    for viewer in viewers {
        let (seen, snapshots) = viewer.join().expect("the viewer adds up");
        assert_eq!(seen, load.sums, "what a viewer added up");
        assert!(snapshots >= 1);
    }
    let Live::Cluster(cluster) = &shop.live else { unreachable!() };
    let role: Vec<redis::Value> = cluster.servers[owner + 3].run(&["ROLE"]);
    assert_eq!(role[0], redis::Value::BulkString(b"master".into()), "its replica took over");
}

#[test]
fn an_emptied_cluster_under_load_is_exact_again() {
    let shop = Shop::on_a_cluster();
    let mut load = shop.load(30_000, 8_000);
    let viewer = viewer(&shop, 1, &load.sums);
    shop.counts(15_000);
    let Live::Cluster(cluster) = &shop.live else { unreachable!() };
    cluster.flushall();
    load.wait();
    let last = Instant::now();
    shop.shows(&load.sums);
    let after = last.elapsed();
    assert!(after < EXACT_WITHIN, "exact only after {after:?}");
    shop.agrees(&load.sums);
    assert_eq!(viewer.join().expect("the viewer adds up").0, load.sums);
}
