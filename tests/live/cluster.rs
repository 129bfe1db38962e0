//! Faults that only a Redis Cluster has: failovers, lost masters, slots that move.

use floodmark::{
    domain::time::{SECOND, now_ms},
    sink::SinkErrorKind,
};
use redis::Value;

use crate::{
    node::{Site, eventually, under_load},
    support::redis::{RedisCluster, RedisServer},
};

/// A master dies under load, and its replica takes over with or without the last writes. No event
/// is lost or counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_load_is_exact() {
    let mut cluster = RedisCluster::with_replicas();
    let site = Site::new(cluster.urls()).await;
    let (a, b) = (site.node().await, site.node().await);
    let owner = cluster.owner("{floodmark:lane1}");
    under_load(&a, &b, async { cluster.servers[owner].stop() }).await;
    let role: Vec<Value> = cluster.servers[owner + 3].run(&["ROLE"]);
    assert_eq!(role[0], Value::BulkString(b"master".into()));
    let mut seen = floodmark::domain::delta::DeltaSum::default();
    seen.seen(1, now_ms());
    let seen = seen.finish();
    eventually("sessions are noted again", async || a.live.touch(&seen).await.is_ok()).await;
    assert_eq!(b.active(now_ms() - 60 * SECOND).await, 1);

    // The old master comes back as a replica, without data of its own.
    cluster.servers[owner].restart();
    a.seal(20);
    a.drain().await;
    b.shows(&[&a, &b]).await;
}

/// The replica that takes over had lost its master long before. Guards and counters are equally old
/// there, so the writers send the batches that are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_writes_is_exact() {
    let mut cluster = RedisCluster::with_replicas();
    let site = Site::new(cluster.urls()).await;
    let (a, b) = (site.node().await, site.node().await);
    let owner = cluster.owner("{floodmark:lane1}");
    under_load(&a, &b, async {
        let server = &cluster.servers[owner];
        // The master gets a password that the replica does not know, so the replica can't follow it
        // any more.
        server.run::<()>(&["CONFIG", "SET", "requirepass", "unknown"]);
        server.run_as::<()>("unknown", &["CLIENT", "KILL", "TYPE", "replica"]);
        eventually("the replica is cut off", async || {
            let info: String = cluster.servers[owner + 3].run(&["INFO", "replication"]);
            info.contains("master_link_status:down")
        })
        .await;
        a.counts_more(1, 20).await;
        cluster.servers[owner].stop();
    })
    .await;
}

/// If a lost master has no replica, its lanes wait and say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_is_reported_and_waited_for() {
    let mut cluster = RedisCluster::start();
    let site = Site::new(cluster.urls()).await;
    let node = site.node().await;
    node.seal(40);
    node.drain().await;
    node.shows(&[&node]).await;
    let owner = cluster.owner("{floodmark:lane1}");
    cluster.servers[owner].stop();
    node.fails_with(1, SinkErrorKind::Unavailable).await;
    node.mirror.is_interrupted().await;
    cluster.servers[owner].restart();
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_url_is_enough_for_a_cluster() {
    let cluster = RedisCluster::start();
    let site = Site::new(vec![cluster.servers[1].url()]).await;
    let node = site.node().await;
    node.seal(20);
    node.drain().await;
    node.shows(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_single_servers_are_refused() {
    let (one, other) = (RedisServer::start(), RedisServer::start());
    let site = Site::new(vec![one.url(), other.url()]).await;
    let node = site.node().await;
    node.seal(1);
    let error = node.apply(1).await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Other);
    assert!(error.message.contains("one URL for a single server"), "{error}");
}

/// A slot moves to another master while batches are counted, as when a cluster grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_moves_is_followed() {
    let cluster = RedisCluster::start();
    let site = Site::new(cluster.urls()).await;
    let (a, b) = (site.node().await, site.node().await);
    let tag = "{floodmark:lane1}";
    let from = cluster.owner(tag);
    let slot: u64 = cluster.servers[0].run(&["CLUSTER", "KEYSLOT", tag]);
    let slot = slot.to_string();
    let ids: Vec<String> = cluster.servers.iter().map(|s| s.run(&["CLUSTER", "MYID"])).collect();
    let (source, target) = (&cluster.servers[from], &cluster.servers[(from + 1) % 3]);
    let (source_id, target_id) = (&ids[from], &ids[(from + 1) % 3]);
    under_load(&a, &b, async {
        target.run::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", source_id]);
        source.run::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", target_id]);
        let port = target.port().to_string();
        loop {
            let keys: Vec<String> = source.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            source.run::<()>(&migrate);
        }
        for server in [target, source, &cluster.servers[(from + 2) % 3]] {
            server.run::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", target_id]);
        }
    })
    .await;
}
