//! Ids that nodes share, when Redis comes back without its last writes.

use std::{pin::Pin, sync::Arc};

use floodmark::{
    config::Config,
    domain::{
        batch::NodeId,
        ids::{IdSpace, KnownIds, Page, known_as},
        time::Millis,
    },
    live::redis::claims::Claims,
    telemetry::health::Health,
};
use parking_lot::Mutex;

use crate::{node::eventually, support::redis::RedisServer};

/// What is on a node's disk.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<String>>>);

impl KnownIds for Disk {
    fn page(&self, from: u64, limit: usize) -> Pin<Box<dyn Future<Output = Option<Page>> + Send>> {
        let all = self.0.lock();
        let ids: Vec<(Millis, String)> = all
            .iter()
            .skip(from as usize)
            .take(limit)
            .map(|id| (Millis::from(60_000), id.clone()))
            .collect();
        let next = from + ids.len() as u64;
        Box::pin(async move { (!ids.is_empty()).then_some((ids, next)) })
    }
}

struct IdNode {
    claims: Arc<Claims>,
    disk: Disk,
}

impl IdNode {
    fn start(url: &str) -> IdNode {
        let mut config = Config::default();
        config.redis.urls = vec![url.to_owned()];
        config.redis.connect_timeout_ms = 1000;
        config.redis.response_timeout_ms = 1500;
        config.retry.initial_ms = 10;
        config.retry.max_ms = 200;
        config.dedupe.window_s = 60;
        let claims = Claims::new(&config, NodeId::new_v4(), Health::default()).unwrap();
        let (claims, disk) = (Arc::new(claims), Disk::default());
        tokio::spawn(claims.clone().register(disk.clone()));
        IdNode { claims, disk }
    }

    /// Takes an event, as often as it is refused. Says whether it was new.
    async fn take(&self, id: &str) -> bool {
        let mut new = None;
        eventually("an id is decided", async || {
            let Ok(claim) = self.claims.claim(vec![id.to_owned()]).await else { return false };
            new = Some(claim.known.is_empty());
            if new == Some(true) {
                self.disk.0.lock().push(id.to_owned());
                self.claims.keep(claim).await;
            } else {
                self.claims.release(claim);
            }
            true
        })
        .await;
        new.unwrap()
    }
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("order-{n}")).collect()
}

#[tokio::test]
async fn an_id_that_an_earlier_version_kept_stands_for_every_type() {
    let redis = RedisServer::start();
    let (one, other) = (IdNode::start(&redis.url()), IdNode::start(&redis.url()));
    // An earlier version wrote the id alone.
    assert!(one.take("o-1").await);
    for kind in ["purchase", "refund"] {
        let order = |id, space| known_as(id, kind, space);
        assert!(!other.take(&order("o-1", IdSpace::Public)).await, "{kind}");
        assert!(!other.take(&order("o-1", IdSpace::Shop)).await, "{kind}");
        assert!(other.take(&order("o-2", IdSpace::Shop)).await, "{kind}: another type");
        assert!(!one.take(&order("o-2", IdSpace::Shop)).await, "{kind}");
    }
}

#[tokio::test]
async fn a_page_can_not_take_an_id_from_the_shop_at_another_node() {
    let redis = RedisServer::start();
    let (one, other) = (IdNode::start(&redis.url()), IdNode::start(&redis.url()));
    let order = |id, space| known_as(id, "purchase", space);
    assert!(one.take(&order("o-1", IdSpace::Public)).await);
    assert!(!other.take(&order("o-1", IdSpace::Public)).await);
    assert!(other.take(&order("o-1", IdSpace::Shop)).await);
    assert!(!one.take(&order("o-1", IdSpace::Shop)).await);
    // What the shop has sent is not taken once more from a page.
    assert!(one.take(&order("o-2", IdSpace::Shop)).await);
    assert!(!other.take(&order("o-2", IdSpace::Public)).await);
    // Orders are remembered for `dedupe.long_window_s`, and other events for `dedupe.window_s`.
    assert!(one.take(&known_as("v-1", "page_view", IdSpace::Shop)).await);
    let mut left = Vec::new();
    for key in redis.run::<Vec<String>>(&["KEYS", "*"]) {
        if key.contains("o-2") || key.contains("v-1") {
            left.push(redis.run::<i64>(&["PTTL", &key]));
        }
    }
    left.sort_unstable();
    assert!(left.len() == 2 && left[0] <= 60_000 && left[1] > 300_000_000, "{left:?}");
}

/// Every id that one of the nodes has taken is a duplicate at the other.
async fn all_are_duplicates(nodes: [&IdNode; 2], taken: &[String]) {
    let mut doubled = Vec::new();
    for (n, id) in taken.iter().enumerate() {
        // The even ones were taken by the first node, so the second gets them now.
        if nodes[(n + 1) % 2].take(id).await {
            doubled.push(id);
        }
    }
    assert!(doubled.is_empty(), "{} of {}: {doubled:?}", doubled.len(), taken.len());
}

async fn taken(nodes: [&IdNode; 2], ids: Vec<String>) -> Vec<String> {
    for (n, id) in ids.iter().enumerate() {
        assert!(nodes[n % 2].take(id).await, "{id} is new");
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_survive_a_redis_from_an_older_file() {
    let mut server = RedisServer::start();
    let (a, b) = (IdNode::start(&server.url()), IdNode::start(&server.url()));
    let mut all = taken([&a, &b], ids(0..10)).await;
    server.run::<()>(&["SAVE"]);
    all.extend(taken([&a, &b], ids(10..50)).await);
    // A request of the first node has claimed an id and is not on the disk yet.
    let under_way = a.claims.claim(vec!["slow".to_owned()]).await.unwrap();
    server.restart();
    all_are_duplicates([&a, &b], &all).await;
    assert!(b.claims.claim(vec!["slow".to_owned()]).await.is_err(), "it is under way");
    a.claims.keep(under_way).await;
    assert!(!b.take("slow").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stays_away_is_not_waited_for_for_ever() {
    let mut server = RedisServer::start();
    let (a, b) = (IdNode::start(&server.url()), IdNode::start(&server.url()));
    let all = taken([&a, &b], ids(0..10)).await;
    // A node that is registered and does not come back.
    for shard in 0..16 {
        let key = format!("{{floodmark:ids{shard}}}:nodes");
        server.run::<()>(&["HSET", &key, &NodeId::new_v4().to_string(), "gone"]);
    }
    server.run::<()>(&["SAVE"]);
    server.restart();
    all_are_duplicates([&a, &b], &all).await;
}
