//! Two nodes on one Postgres and one Redis are exchanged one by one while senders send: no event is lost or
//! doubled, and every number is the same on each.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::{
    oldest, previous,
    shop::{Live, Shop, drained, ready},
    support::{
        postgres::Postgres,
        program::{this_version, wait_until},
        redis::RedisServer,
        sums::follow,
    },
};

/// How many events each node is sent, and how many of them a second. The load has to outlast all exchanges.
const EVENTS: u64 = 200_000;
const RATE: u64 = 5_000;
/// How many events are counted between two exchanges.
const BETWEEN: u64 = 5_000;

/// Starts two nodes of the first build, and exchanges them for those of the others, one by one.
fn roll(builds: &[PathBuf], end_by: Signal) {
    let [first, others @ ..] = builds else { panic!("nothing to start") };
    let mut shop = Shop::of_build(first, 2, Postgres::start(), Live::Single(RedisServer::start()));
    let mut load = shop.load(EVENTS, RATE);
    for build in others {
        for node in 0..shop.nodes.len() {
            goes_on(&shop);
            exchange(&mut shop, node, build, end_by);
        }
    }
    goes_on(&shop);
    assert!(load.is_running(), "the load ended before the exchanges did: {RATE} is too fast");
    load.wait();
    shop.agrees(&load.sums);
    for node in &shop.nodes {
        let (seen, _) = follow(node.addr(), |seen| *seen == load.sums);
        assert_eq!(seen, load.sums, "what a viewer adds up");
    }
}

/// Waits until every node shows some more events.
fn goes_on(shop: &Shop) {
    let shown = |node: usize| shop.nodes[node].current()["events"].as_u64().unwrap_or(0);
    for node in 0..shop.nodes.len() {
        let wanted = shown(node) + BETWEEN;
        wait_until("more events are counted", || match shown(node) {
            events if events >= wanted => Ok(()),
            events => Err(events),
        });
    }
}

fn exchange(shop: &mut Shop, node: usize, build: &Path, end_by: Signal) {
    println!("node {node} becomes {}", build.display());
    shop.nodes[node].exchange(build, end_by);
    ready(&shop.nodes[node]);
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn nodes_of_the_version_before_are_exchanged_and_come_back() {
    roll(&[previous(), this_version(), previous()], Signal::SIGTERM);
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn nodes_that_die_are_exchanged_and_come_back() {
    roll(&[previous(), this_version(), previous()], Signal::SIGKILL);
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn nodes_of_the_oldest_version_are_exchanged() {
    roll(&[oldest(), this_version()], Signal::SIGTERM);
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn this_version_works_beside_additions_of_the_next() {
    // There is no build of the next version, so a migration of it is played here, as that version's first
    // node would apply it.
    let this = this_version();
    let mut shop = Shop::of_build(&this, 2, Postgres::start(), Live::Single(RedisServer::start()));
    let mut load = shop.load(EVENTS / 10, RATE);
    goes_on(&shop);
    shop.sql("ALTER TABLE events ADD COLUMN coupon text");
    shop.sql("INSERT INTO refinery_schema_history VALUES (1000, 'coupons', '', '1')");
    // Its node gives way to one of this version.
    exchange(&mut shop, 0, &this, Signal::SIGTERM);
    load.wait();
    shop.nodes.iter().for_each(drained);
    shop.agrees(&load.sums);
}
