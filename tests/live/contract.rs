//! Tests of the behaviour that every live store must have, run against each of them.

use std::sync::{Arc, atomic::Ordering};

use floodmark::{
    domain::{
        aggregate::visitor_of,
        batch::{Batch, BatchId, LANES},
        delta::{DeltaSum, UserLink},
        time::{MINUTE, SECOND, now_ms},
    },
    live::Applied,
    numbers::{breakdown, current},
    sink::SinkErrorKind,
};

use xxhash_rust::xxh3::xxh3_64;

use crate::node::{Backend, Node, Site, eventually, under_load, zone};

macro_rules! every_backend {
    ($($test:ident),+ $(,)?) => {
        mod in_process { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Backend::InProcess).await;
        })+ }
        mod redis { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Backend::redis()).await;
        })+ }
        mod cluster { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Backend::cluster()).await;
        })+ }
    };
}

every_backend!(
    distinct_values_are_exact_up_to_a_limit_and_near_beyond,
    a_crowded_breakdown_is_the_same_everywhere,
    a_batch_is_counted_once_and_in_order,
    the_mirror_is_the_sum_of_the_deltas,
    active_visitors_are_exact,
    a_user_and_a_session_are_one_visitor,
    a_restart_continues_from_the_ledger,
);

async fn a_batch_is_counted_once_and_in_order(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let node = site.node().await;
    node.seal(12);
    node.shows_sum(&[]).await;
    assert_eq!(node.live.heads(node.id).await.unwrap(), [0; LANES as usize]);

    assert_eq!(node.apply(5).await.unwrap(), Applied::Gap { last: 0 });
    assert_eq!(node.apply(1).await.unwrap(), Applied::Counted);
    assert_eq!(node.apply(1).await.unwrap(), Applied::AlreadyCounted);
    assert_eq!(node.apply(9).await.unwrap(), Applied::Gap { last: 1 });
    assert_eq!(node.apply(5).await.unwrap(), Applied::Counted);
    assert_eq!(node.apply(1).await.unwrap(), Applied::AlreadyCounted);
    assert_eq!(node.apply(4).await.unwrap(), Applied::Counted);
    assert_eq!(node.live.heads(node.id).await.unwrap(), [4, 5, 0, 0]);
    node.live.check().await.unwrap();

    node.drain().await;
    node.shows(&[&node]).await;
}

async fn the_mirror_is_the_sum_of_the_deltas(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    if matches!(backend, Backend::InProcess) {
        a.seal(40);
        a.drain().await;
        return a.shows(&[&a]).await;
    }
    let b = site.node().await;
    a.seal(40);
    b.seal(37);
    tokio::join!(a.drain(), b.drain());
    a.shows(&[&a, &b]).await;
    b.shows(&[&a, &b]).await;
    // A node that starts later reads the same numbers from the counters.
    site.node().await.shows(&[&a, &b]).await;
}

async fn active_visitors_are_exact(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    let now = now_ms();
    let seen = |range: std::ops::Range<u32>, at| {
        let mut sum = DeltaSum::default();
        range.for_each(|n| sum.seen(visitor_of(&n.to_string()), at));
        sum.finish()
    };
    a.shows(&[]).await;
    a.live.touch(&seen(0..300, now - 100 * SECOND)).await.unwrap();
    // An older sighting of a visitor that arrives late changes nothing.
    a.live.touch(&seen(0..100, now - 200 * SECOND)).await.unwrap();
    if !matches!(backend, Backend::InProcess) {
        let b = site.node().await;
        b.live.touch(&seen(200..500, now)).await.unwrap();
        assert_eq!(b.active(now - 150 * SECOND).await, 500);
    } else {
        a.live.touch(&seen(200..500, now)).await.unwrap();
    }
    assert_eq!(a.active(now - 150 * SECOND).await, 500);
    assert_eq!(a.active(now - 100 * SECOND).await, 500);
    assert_eq!(a.active(now - 100 * SECOND + 1).await, 300);
    assert_eq!(a.active(now + 1).await, 0);
}

async fn a_user_and_a_session_are_one_visitor(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    let b = match backend {
        Backend::InProcess => None,
        _ => Some(site.node().await),
    };
    let b = b.as_ref().unwrap_or(&a);
    let now = now_ms();
    let [session, user] = ["s", "u"].map(|kind| move |n: u32| visitor_of(&format!("{kind}{n}")));
    let seen = |note: &dyn Fn(&mut DeltaSum, u32)| {
        let mut sum = DeltaSum::default();
        (0..300).for_each(|n| note(&mut sum, n));
        sum.finish()
    };
    a.shows(&[]).await;
    b.shows(&[]).await;
    a.live.touch(&seen(&|sum, n| sum.seen(session(n), now - 100 * SECOND))).await.unwrap();
    b.live.touch(&seen(&|sum, n| sum.seen_user(user(n), now - 10 * SECOND))).await.unwrap();
    assert_eq!(a.active(now - 150 * SECOND).await, 600);
    let together = seen(&|sum, n| {
        sum.seen(session(n), now - 90 * SECOND);
        sum.linked(UserLink { user: user(n), session: session(n), at: now - 90 * SECOND });
    });
    // To note it twice changes nothing.
    for node in [&a, b, &a] {
        node.live.touch(&together).await.unwrap();
        assert_eq!(node.active(now - 150 * SECOND).await, 300);
    }
    assert_eq!(b.active(now - 10 * SECOND).await, 300, "seen when the user was seen");
    // From now on users are their sessions, on every node, and whoever has none is somebody else.
    b.live.touch(&seen(&|sum, n| sum.seen_user(user(2 * n), now))).await.unwrap();
    assert_eq!(a.active(now - 10 * SECOND).await, 450);
    assert_eq!(a.active(now).await, 300);
}

async fn distinct_values_are_exact_up_to_a_limit_and_near_beyond(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    let now = now_ms();
    let day = zone().day_of(now).date;
    let seen = |range: std::ops::Range<u32>| {
        let mut sum = DeltaSum::default();
        range.for_each(|n| sum.distinct("sessions", now, xxh3_64(&n.to_be_bytes())));
        sum.finish()
    };
    let count = async |node: &Node, day| {
        let population = node.live.population(now, day).await.unwrap();
        population.distinct.get("sessions").copied().unwrap_or(0)
    };
    a.shows(&[]).await;
    a.live.touch(&seen(0..3000)).await.unwrap();
    a.live.touch(&seen(1000..9000)).await.unwrap();
    assert_eq!(count(&a, day).await, 9000);
    let b = match backend {
        Backend::InProcess => None,
        _ => Some(site.node().await),
    };
    b.as_ref().unwrap_or(&a).live.touch(&seen(5000..60_000)).await.unwrap();
    for node in [Some(&a), b.as_ref()].into_iter().flatten() {
        let near = count(node, day).await as f64 / 60_000.0;
        assert!((0.97..1.03).contains(&near), "{near}");
        assert_eq!(count(node, day.yesterday().unwrap()).await, 0);
    }
}

/// Events have more values than a breakdown keeps: every mirror shows the same counts, and they are
/// off by no more than the mirror says.
async fn a_crowded_breakdown_is_the_same_everywhere(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    a.shows(&[]).await;
    let now = now_ms();
    let mut exact = std::collections::BTreeMap::<String, u64>::new();
    for seq in 1..=40u64 {
        let mut sum = DeltaSum::default();
        sum.count("batch", now);
        for n in 0..200 {
            let value = format!("/{}", (n * n + seq * 7) % (n + 20));
            sum.top("page_view/path", now, &value, 1);
            *exact.entry(value).or_default() += 1;
        }
        let id = BatchId { run: a.id, seq };
        let after = Batch::void(id).after;
        a.live.apply(id, after, now, &Arc::new(sum.finish())).await.unwrap();
    }
    let total: u64 = exact.values().sum();
    let top = async |node: &Node| {
        let state = node.mirror.state.lock();
        let state = state.as_ref().expect("it was reset");
        breakdown::top_of(state, "page_view/path", now - MINUTE, now + MINUTE)
    };
    let all_of_it = async |node: &Node| {
        let state = node.mirror.state.lock();
        state.as_ref().map(|state| {
            state
                .tops()
                .map(|(at, name, lane, top)| (at, name.to_owned(), lane, top.clone()))
                .collect::<Vec<_>>()
        })
    };
    eventually("all batches arrived", async || {
        let state = a.mirror.state.lock();
        state.as_ref().is_some_and(|state| current::today(state, now).1.count("batch") == 40)
    })
    .await;
    if !matches!(backend, Backend::InProcess) {
        // A node that starts later reads the same from the counters as the first node has got from
        // the feed.
        let b = site.node().await;
        eventually("both are the same", async || {
            let (of_a, of_b) = (all_of_it(&a).await, all_of_it(&b).await);
            of_a.is_some() && of_a == of_b
        })
        .await;
    }
    let top = top(&a).await;
    assert!(top.error() > 0 && top.error() <= total / 101, "{} of {total}", top.error());
    for (value, count) in exact {
        let kept = top.count(&value);
        assert!(kept <= count && count - kept <= top.error(), "{value}: {kept} of {count}");
    }
}

async fn a_restart_continues_from_the_ledger(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let mut node = site.node().await;
    node.seal(30);
    node.drain().await;
    // The ledger lags behind: it has two thirds of the batches.
    node.store_up_to(20).await;
    let again = site.node().await;
    node.live = again.live.clone();
    node.mirror = again.mirror.clone();
    node.seal(5);
    node.drain().await;
    node.shows(&[&node]).await;
}

mod emptied {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_under_load_is_exact_again() {
        emptied_under_load(Backend::redis()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cluster_under_load_is_exact_again() {
        emptied_under_load(Backend::cluster()).await;
    }

    /// Empties Redis several times under load. The ledger then has all batches of one node and only
    /// half of the other's, and gets new ones while the counters are rebuilt.
    async fn emptied_under_load(backend: Backend) {
        let site = Site::new(backend.urls()).await;
        let (a, b) = (site.node().await, site.node().await);
        under_load(&a, &b, async {
            for _ in 0..3 {
                let sealed = b.spool.lock().len() as u64;
                let a_stored = a.spool.lock().len() as u64 / 2;
                tokio::join!(b.store_up_to(sealed), a.store_up_to(a_stored));
                let counted = a.counts_more(1, 5);
                // The ledger gets new batches while the live counters are rebuilt from it.
                tokio::join!(a.store_up_to(a_stored + 4), async {
                    backend.flushall();
                    counted.await;
                });
            }
        })
        .await;
        assert!(a.active(now_ms() - 300 * SECOND).await > 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_idle_is_noticed() {
        let backend = Backend::redis();
        let site = Site::new(backend.urls()).await;
        let node = site.node().await;
        node.seal(9);
        node.drain().await;
        node.store_up_to(9).await;
        node.shows(&[&node]).await;
        let resets = node.mirror.resets();
        backend.flushall();
        node.mirror.is_reset(resets).await;
        node.shows(&[&node]).await;
        assert_eq!(node.live.heads(node.id).await.unwrap(), [8, 9, 6, 7]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_lane_of_a_cluster_is_rebuilt_alone() {
        let Backend::Cluster(cluster) = Backend::cluster() else { unreachable!() };
        let site = Site::new(cluster.urls()).await;
        let node = site.node().await;
        node.seal(20);
        node.drain().await;
        let owner = cluster.owner("{floodmark:lane1}");
        cluster.servers[owner].flushall();
        eventually("the lane is missed", async || match node.live.heads(node.id).await {
            Ok(heads) => heads == [0; 4] || heads[1] == 0,
            Err(e) => e.kind == SinkErrorKind::Rebuilding,
        })
        .await;
        node.drain().await;
        node.shows(&[&node]).await;
        assert!(!node.mirror.interrupted.load(Ordering::SeqCst));
    }
}
