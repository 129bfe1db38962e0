//! Counters that are more than Redis lets a subscriber have waiting (32 MB by default): a node that
//! starts reads them all the same, exactly, while others go on counting.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use floodmark::{
    domain::{
        batch::{Batch, BatchId, LANES, NodeId},
        delta::{Delta, DeltaSum},
        time::{HOUR, MINUTE, now_ms},
        top::Top,
    },
    live::{Applied, counters::Counters},
};

use crate::node::{Backend, Node, Site, eventually, zone};

/// What fills one hour of a lane: every minute has three breakdowns with 100 long values each.
fn hour_of_breakdowns(hour: i64) -> Delta {
    let mut sum = DeltaSum::default();
    let now = now_ms();
    for minute in 0..60 {
        let at = now - hour * HOUR - minute * MINUTE;
        sum.count("page_view", at);
        for value in 0..100 {
            let value = format!("{value}{}", "x".repeat(120));
            sum.top("page_view/path", at, &value, 1 + hour as u64);
            sum.top("page_view/referrer", at, &value, 2);
            sum.top("page_view/campaign", at, &value, 3);
        }
    }
    sum.finish()
}

/// The breakdowns by name: a mirror has them in the order in which it first saw them.
fn breakdowns(counters: &Counters) -> BTreeMap<(i64, &str, u64), &Top> {
    counters.tops().map(|(minute, name, lane, top)| ((minute, name, lane), top)).collect()
}

/// Everything that a mirror has, but for the seconds that may just have left the hour.
fn same(a: &Counters, b: &Counters) -> bool {
    let recent = now_ms() - 30 * MINUTE;
    a.minutes().eq(b.minutes())
        && a.days().eq(b.days())
        && breakdowns(a) == breakdowns(b)
        && a.seconds_in(recent, i64::MAX).eq(b.seconds_in(recent, i64::MAX))
}

async fn fill(node: &Node) -> Vec<Delta> {
    let id = NodeId::new_v4();
    let mut filled = Vec::new();
    for hour in 0..23 {
        let delta = Arc::new(hour_of_breakdowns(hour));
        let id = BatchId { run: id, seq: (hour as u64 + 1) * LANES };
        eventually("an hour is counted", async || {
            let answer = node.live.apply(id, Batch::void(id).after, now_ms(), &delta).await;
            matches!(answer, Ok(Applied::Counted | Applied::AlreadyCounted))
        })
        .await;
        filled.push(Arc::unwrap_or_clone(delta));
    }
    filled
}

async fn is_read_exactly_while_batches_are_counted(backend: Backend) {
    let site = Site::new(backend.urls()).await;
    let writer = Arc::new(site.node().await);
    let filled = fill(&writer).await;
    if let Backend::Redis(server) = &backend {
        // All of it is in lane 0.
        let info: String = server.run(&["INFO", "memory"]);
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        assert!(used.parse::<u64>().unwrap() > 40 << 20, "{used}");
    }
    let done = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (writer, done) = (writer.clone(), done.clone());
        async move { writer.load(&done).await }
    });
    writer.counts_more(0, 2).await;
    let reader = site.node().await;
    eventually("the counters are read", async || reader.mirror.state.lock().is_some()).await;
    writer.counts_more(0, 2).await;
    done.store(true, Ordering::SeqCst);
    load.await.unwrap();

    let mut expected = Counters::new(zone());
    filled.iter().for_each(|delta| expected.apply(0, delta, now_ms()));
    for batch in &*writer.spool.lock() {
        expected.apply(batch.id.lane(), &batch.delta, now_ms());
    }
    eventually("the counters are exact", async || {
        reader.mirror.state.lock().as_ref().is_some_and(|found| same(found, &expected))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_beyond_the_limit_of_subscribers_is_read_from_redis() {
    let server = crate::support::redis::RedisServer::start();
    let limits: Vec<String> = server.run(&["CONFIG", "GET", "client-output-buffer-limit"]);
    assert!(limits[1].contains("pubsub 33554432 8388608 60"), "{limits:?}");
    is_read_exactly_while_batches_are_counted(Backend::Redis(server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_beyond_the_limit_of_subscribers_is_read_from_a_cluster() {
    is_read_exactly_while_batches_are_counted(Backend::cluster()).await;
}
