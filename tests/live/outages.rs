//! Outages of Redis: it is out of memory, read-only, gone, halted, asks for a password, or comes
//! back with old numbers.

use std::sync::atomic::Ordering;

use floodmark::{
    domain::time::{SECOND, now_ms},
    live::{self},
    sink::SinkErrorKind,
};

use crate::{
    node::{Node, Site, eventually, zone},
    support::redis::RedisServer,
};

async fn started(server: &RedisServer) -> (Site, Node) {
    let site = Site::new(vec![server.url()]).await;
    let node = site.node().await;
    node.seal(40);
    eventually("the first batch is counted", async || node.apply(1).await.is_ok()).await;
    (site, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_is_told_apart_and_recovers() {
    let server = RedisServer::start();
    let (_site, node) = started(&server).await;
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    node.fails_with(2, SinkErrorKind::Full).await;
    node.check_fails_with(SinkErrorKind::Full).await;
    let mut seen = floodmark::domain::delta::DeltaSum::default();
    seen.seen(1, now_ms());
    let touch = node.live.touch(&seen.finish()).await.unwrap_err();
    assert_eq!(touch.kind, SinkErrorKind::Full, "{touch}");
    // The numbers that were counted before can still be read.
    assert_eq!(node.active(now_ms() - SECOND).await, 0);
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_read_only_until_it_is_promoted() {
    let server = RedisServer::start();
    let primary = RedisServer::start();
    let (_site, node) = started(&server).await;
    let port = primary.port().to_string();
    server.run::<()>(&["CONFIG", "SET", "replica-read-only", "yes"]);
    server.run::<()>(&["REPLICAOF", "127.0.0.1", &port]);
    node.fails_with(2, SinkErrorKind::ReadOnly).await;
    node.check_fails_with(SinkErrorKind::ReadOnly).await;
    server.run::<()>(&["REPLICAOF", "NO", "ONE"]);
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_is_filled_again() {
    let mut server = RedisServer::start();
    let (_site, node) = started(&server).await;
    node.drain().await;
    node.store_up_to(30).await;
    // The first interruption, of a Redis without counters, has to be over.
    node.shows(&[&node]).await;
    server.stop();
    node.fails_with(1, SinkErrorKind::Unavailable).await;
    node.mirror.is_interrupted().await;
    server.restart();
    node.drain().await;
    node.shows(&[&node]).await;
    assert_eq!(node.mirror.reasons().len(), 2, "{:?}", node.mirror.reasons());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_by_writer_and_mirror() {
    let server = RedisServer::start();
    let (_site, node) = started(&server).await;
    node.shows_sum(&[node.batch(1)]).await;
    server.pause();
    node.fails_with(2, SinkErrorKind::Unavailable).await;
    node.mirror.is_interrupted().await;
    server.resume();
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_does_not_wait_for_redis() {
    let mut server = RedisServer::start();
    server.stop();
    let site = Site::new(vec![server.url()]).await;
    let node = site.node().await;
    node.seal(10);
    node.fails_with(1, SinkErrorKind::Unavailable).await;
    node.mirror.is_interrupted().await;
    server.restart();
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_last_writes_gets_them_again() {
    let mut server = RedisServer::start();
    let (_site, node) = started(&server).await;
    node.drain().await;
    server.run::<()>(&["SAVE"]);
    node.seal(40);
    node.drain().await;
    node.shows(&[&node]).await;
    server.restart();
    // Guards and counters are now those of the snapshot, and the ledger has none of these batches.
    node.drain().await;
    node.shows(&[&node]).await;
    assert_eq!(node.live.heads(node.id).await.unwrap(), [80, 77, 78, 79]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_password_is_told_apart() {
    let server = RedisServer::with(&["--requirepass", "s3cr:t"]);
    let mut site = Site::new(vec![server.url()]).await;
    for user in ["", ":wrong@"] {
        site.config.redis.urls = vec![format!("redis://{user}127.0.0.1:{}", server.port())];
        let node = site.node().await;
        node.seal(1);
        node.fails_with(1, SinkErrorKind::Denied).await;
        node.mirror.is_interrupted().await;
    }
    // These nodes have the right password, and use a database of their own.
    site.config.redis.urls = vec![format!("redis://:s3cr%3At@127.0.0.1:{}/3", server.port())];
    let node = site.node().await;
    node.seal(9);
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_in_the_way_is_named_and_nothing_is_half_written() {
    let server = RedisServer::start();
    let (_site, node) = started(&server).await;
    let date: Vec<String> = server.run(&["KEYS", "{floodmark:lane2}:d:*"]);
    assert_eq!(date, Vec::<String>::new());
    let day = zone().day_of(now_ms() - 30 * SECOND).date;
    let key = format!("{{floodmark:lane2}}:d:{day}");
    server.run::<()>(&["SET", &key, "not ours"]);
    node.fails_with(2, SinkErrorKind::Other).await;
    let error = node.apply(2).await.unwrap_err().to_string();
    assert!(error.contains(&key), "{error}");
    server.run::<()>(&["DEL", &key]);
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_rebuild_puts_wrong_counters_right() {
    let server = RedisServer::start();
    let (site, node) = started(&server).await;
    node.drain().await;
    node.store_up_to(33).await;
    let days: Vec<String> = server.run(&["KEYS", "{floodmark:lane*}:d:*"]);
    for day in &days {
        server.run::<()>(&["HINCRBY", day, "c:page_view", "1000000"]);
    }
    live::rebuild(&site.config, &site.store, zone()).await.unwrap();
    node.drain().await;
    node.shows(&[&node]).await;
    // A node that reads all counters anew sees the same, and no staged keys are left over.
    site.node().await.shows(&[&node]).await;
    let staged: Vec<String> = server.run(&["KEYS", "*:new:*"]);
    assert_eq!(staged, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_message_is_noticed_while_nothing_else_comes() {
    let server = RedisServer::start();
    let (_site, node) = started(&server).await;
    node.drain().await;
    node.shows(&[&node]).await;
    let resets = node.mirror.resets();
    // The version goes up as if a batch had been counted whose message never came.
    server.run::<()>(&["HINCRBY", "{floodmark:lane1}:meta", "version", "1"]);
    node.mirror.is_reset(resets).await;
    node.shows(&[&node]).await;
    assert!(!node.mirror.interrupted.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_to_a_server_without_it_fails_cleanly() {
    let server = RedisServer::start();
    let site = Site::new(vec![server.url().replace("redis://", "rediss://")]).await;
    let node = site.node().await;
    node.seal(1);
    node.fails_with(1, SinkErrorKind::Unavailable).await;
    node.mirror.is_interrupted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_never_go_down_while_batches_are_counted_again() {
    let server = RedisServer::start();
    let (_site, node) = started(&server).await;
    node.drain().await;
    node.shows(&[&node]).await;
    node.store_up_to(20).await;
    let all = |node: &Node| node.mirror.state.lock().as_ref().unwrap().minutes().count();
    let events = |node: &Node| {
        let state = node.mirror.state.lock();
        let minutes = state.as_ref().unwrap().minutes();
        minutes.map(|(_, totals)| totals.events()).sum::<u64>()
    };
    let (minutes, before) = (all(&node), events(&node));
    // The probe of the mirror has seen all of it.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    server.flushall();
    eventually("the counters are rebuilt from half of the batches", async || {
        node.live.heads(node.id).await.is_ok_and(|heads| heads == [20, 17, 18, 19])
    })
    .await;
    eventually("the mirror says so", async || node.mirror.interrupted.load(Ordering::SeqCst)).await;
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(node.mirror.interrupted.load(Ordering::SeqCst), "less would look like a fact");
        assert_eq!((all(&node), events(&node)), (minutes, before));
    }
    node.drain().await;
    node.shows(&[&node]).await;
}
