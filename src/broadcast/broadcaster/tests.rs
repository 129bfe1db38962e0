//! The broadcaster alone, without a server: its mirror, its metrics, its shutdown, and what a
//! panic in it does.

use actix::{Actor, Addr};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::mpsc;

use super::*;
use crate::{
    config::Config,
    domain::{
        delta::{DeltaSum, Series},
        time::{BusinessZone, now_ms},
    },
    live::{Population, counters::Counters},
    numbers::{Mirror, real_clock},
    panics::Alarm,
};

struct Alone {
    actor: Addr<Broadcaster>,
    mirror: Mirror,
    feed: mpsc::Sender<Feed>,
    metrics: PrometheusHandle,
    alarm: Alarm,
}

fn utc() -> BusinessZone {
    BusinessZone::named("UTC").unwrap()
}

fn alone() -> Alone {
    let stream = config::StreamConfig { tick_ms: 5, ..Config::default().stream };
    let metric_set = Config::default().rules.metric_set;
    let (mirror, writer) = Mirror::new(utc(), metric_set, 300, real_clock());
    let (feed, events) = mpsc::channel(4);
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let alarm = Alarm::default();
    let watch = alarm.watch("the broadcaster");
    let actor = metrics::with_local_recorder(&recorder, || {
        Broadcaster::new(&stream, writer, events, watch)
    });
    Alone { actor: actor.start(), mirror, feed, metrics, alarm }
}

fn counted(active: u64) -> Counted {
    let population = Population { active, ..Population::default() };
    Counted { population, day: utc().day_of(now_ms()).date }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            actix::clock::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = actix::clock::timeout(Duration::from_secs(20), wait).await;
    waited.expect("condition in time");
}

#[actix::test]
async fn keeps_the_mirror_and_its_metrics() {
    let alone = alone();
    assert!(alone.mirror.freshness().interrupted().is_some());
    alone.feed.send(Feed::Reset(Box::new(Counters::new(utc())))).await.unwrap();
    let mut sum = DeltaSum::default();
    sum.count("purchase", now_ms());
    sum.sum(&Series::revenue(), now_ms(), 199_900);
    let delta = Feed::Delta { delta: Arc::new(sum.finish()), lane: 0, sealed_at: now_ms() };
    alone.feed.send(delta).await.unwrap();
    alone.actor.send(counted(12)).await.unwrap();
    until(|| alone.mirror.current(Sight::Everything).purchases == 1).await;
    assert_eq!(alone.mirror.current(Sight::Everything).active_users, Some(12));
    assert_eq!(alone.mirror.freshness().interrupted(), None);
    for line in [
        "floodmark_viewers 0",
        "floodmark_viewer_evictions_total 0",
        "floodmark_ingest_to_viewer_seconds_count 1",
    ] {
        until(|| alone.metrics.render().contains(line)).await;
    }
}

/// This node has counted all of its own; another's batches come late, then in time again.
#[actix::test]
async fn another_nodes_lag_is_told_while_it_lasts() {
    let alone = alone();
    alone.mirror.freshness().watch_lag(2_000, || None);
    alone.feed.send(Feed::Reset(Box::new(Counters::new(utc())))).await.unwrap();
    let send = async |events: u64, age| {
        let mut sum = DeltaSum::default();
        (0..events).for_each(|_| sum.count("page_view", now_ms()));
        let (delta, sealed_at) = (Arc::new(sum.finish()), now_ms() - age);
        alone.feed.send(Feed::Delta { delta, lane: 0, sealed_at }).await.unwrap();
    };
    send(1, 1_500).await;
    until(|| alone.mirror.current(Sight::Everything).events == 1).await;
    assert_eq!(
        alone.mirror.current(Sight::Everything).behind_ms,
        None,
        "less than what counts as lag"
    );
    send(1, 30_000).await;
    until(|| alone.mirror.current(Sight::Everything).events == 2).await;
    let behind = alone.mirror.freshness().behind_ms(now_ms()).unwrap();
    assert!((30_000..32_000).contains(&behind), "{behind}");
    send(1, 100).await;
    until(|| alone.mirror.freshness().behind_ms(now_ms()).is_none()).await;
}

#[actix::test]
async fn outlives_its_feed_and_says_so() {
    let alone = alone();
    alone.feed.send(Feed::Reset(Box::new(Counters::new(utc())))).await.unwrap();
    until(|| alone.mirror.freshness().interrupted().is_none()).await;
    drop(alone.feed);
    until(|| alone.mirror.freshness().interrupted().is_some()).await;
    alone.actor.send(counted(1)).await.unwrap();
    assert_eq!(alone.alarm.raised_by(), None);
}

#[actix::test]
async fn a_shutdown_without_viewers_is_over_at_once() {
    let alone = alone();
    let within = Duration::from_secs(60);
    let (first, second) = futures_util::future::join(
        alone.actor.send(Shutdown { within }),
        alone.actor.send(Shutdown { within }),
    )
    .await;
    assert_eq!((first.unwrap(), second.unwrap()), (0, 0));
}

/// A message that the actor can't take.
#[derive(Message)]
#[rtype(result = "()")]
struct Poison;

impl Handler<Poison> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Context<Self>) {
        let _half_done = self.mirror.write();
        panic!("for the test");
    }
}

#[actix::test]
async fn a_panic_raises_the_alarm() {
    let alone = alone();
    alone.actor.do_send(Poison);
    assert_eq!(alone.alarm.raised().await, "the broadcaster");
    // Readers of the numbers are not held up by it.
    assert_eq!(alone.mirror.current(Sight::Everything).events, 0);
}
