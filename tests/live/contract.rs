//! What every live store does.

use std::sync::atomic::Ordering;

use floodmark::{
    domain::{
        aggregate::visitor_of,
        batch::LANES,
        time::{SECOND, now_ms},
    },
    live::{Applied, LiveErrorKind},
};

use crate::node::{Backend, Site, eventually, under_load};

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
    a_batch_is_counted_once_and_in_order,
    the_mirror_is_the_sum_of_the_deltas,
    active_visitors_are_exact,
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
    // A node that comes later reads the same from the counters.
    site.node().await.shows(&[&a, &b]).await;
}

async fn active_visitors_are_exact(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let a = site.node().await;
    let now = now_ms();
    let seen = |range: std::ops::Range<u32>, at| -> Vec<_> {
        range.map(|n| (visitor_of(&n.to_string()), at)).collect()
    };
    a.shows(&[]).await;
    a.live.touch(&seen(0..300, now - 100 * SECOND)).await.unwrap();
    // An older sighting that comes late changes nothing.
    a.live.touch(&seen(0..100, now - 200 * SECOND)).await.unwrap();
    if !matches!(backend, Backend::InProcess) {
        let b = site.node().await;
        b.live.touch(&seen(200..500, now)).await.unwrap();
        assert_eq!(b.live.active(now - 150 * SECOND).await.unwrap(), 500);
    } else {
        a.live.touch(&seen(200..500, now)).await.unwrap();
    }
    assert_eq!(a.live.active(now - 150 * SECOND).await.unwrap(), 500);
    assert_eq!(a.live.active(now - 100 * SECOND).await.unwrap(), 500);
    assert_eq!(a.live.active(now - 100 * SECOND + 1).await.unwrap(), 300);
    assert_eq!(a.live.active(now + 1).await.unwrap(), 0);
}

async fn a_restart_continues_from_the_ledger(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let mut node = site.node().await;
    node.seal(30);
    node.drain().await;
    // The ledger is behind: it has two thirds of them.
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

    /// The ledger is ahead of the live side, behind it, and moves while the live side is
    /// rebuilt.
    async fn emptied_under_load(backend: Backend) {
        let site = Site::new(backend.urls()).await;
        let (a, b) = (site.node().await, site.node().await);
        under_load(&a, &b, async {
            for _ in 0..3 {
                let sealed = b.spool.lock().len() as u64;
                let a_stored = a.spool.lock().len() as u64 / 2;
                tokio::join!(b.store_up_to(sealed), a.store_up_to(a_stored));
                let counted = a.counts_more(1, 5);
                // The ledger moves on while the live side is rebuilt from it.
                tokio::join!(a.store_up_to(a_stored + 4), async {
                    backend.flushall();
                    counted.await;
                });
            }
        })
        .await;
        assert!(a.live.active(now_ms() - 300 * SECOND).await.unwrap() > 0);
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
            Err(e) => e.kind == LiveErrorKind::Rebuilding,
        })
        .await;
        node.drain().await;
        node.shows(&[&node]).await;
        assert!(!node.mirror.interrupted.load(Ordering::SeqCst));
    }
}
