//! The law: a snapshot of frame `n`, plus the increments of the frames after it, is the state.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    config::Config,
    domain::{
        delta::{DeltaSum, Series},
        time::{BusinessZone, parse_rfc3339},
    },
};

struct Stream {
    now: Arc<AtomicI64>,
    view: LiveView,
    timeline: Timeline,
}

impl Stream {
    fn start(at: &str) -> Stream {
        let now = Arc::new(AtomicI64::new(parse_rfc3339(at).unwrap()));
        let clock = now.clone();
        let zone = BusinessZone::named("UTC").unwrap();
        let clock: crate::broadcast::Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let view = LiveView::new(zone, Config::default().rules.measures, 300, clock);
        let pace = Pace { tick_ms: 200, heartbeat_ms: 1000 };
        let timeline =
            Timeline::new("e".into(), pace, Kept { frames: 10, bytes: 100_000 }, &view, 0);
        Stream { now, view, timeline }
    }

    fn count(&mut self, at: Millis, units: i64) {
        let mut sum = DeltaSum::default();
        sum.count("purchase", at);
        sum.sum(Series::revenue(), at, units);
        let delta = sum.finish();
        let now = self.view.now();
        self.view.write().apply(0, &delta, now);
        self.timeline.add(&delta, now, now);
    }

    fn tick(&mut self) -> Option<Value> {
        let now = self.view.now();
        let view = self.view.clone();
        let frame = self.timeline.tick(&view, &view.state(), now, now as u64)?;
        Some(serde_json::from_str(&frame.text).unwrap())
    }

    fn snapshot(&mut self) -> Option<Value> {
        let now = self.view.now();
        let view = self.view.clone();
        let text = self.timeline.snapshot(&view, &view.state(), now, now as u64)?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

fn units(value: &Value) -> i64 {
    (value.as_f64().unwrap() * 10_000.0).round() as i64
}

/// The plainest client: adds up, and starts over at a snapshot.
#[derive(Default)]
struct Client {
    seq: u64,
    purchases: u64,
    revenue: i64,
}

impl Client {
    fn take(&mut self, frame: &Value) {
        let seq = frame["seq"].as_u64().unwrap();
        if frame["type"] == "snapshot" {
            self.purchases = frame["snapshot"]["purchases"].as_u64().unwrap();
            self.revenue = units(&frame["snapshot"]["revenue"]);
        } else {
            assert_eq!(seq, self.seq + 1, "no gap");
            self.purchases += frame["counts"]["purchase"].as_u64().unwrap_or(0);
            self.revenue += units(&frame["revenue"]);
        }
        self.seq = seq;
    }
}

proptest! {
    #[test]
    fn snapshot_and_deltas_are_the_state(
        steps in proptest::collection::vec(
            (0..400i64, -90_000_000..400_000i64, 0..1_000_000i64, any::<bool>()), 1..80),
    ) {
        // Half a minute before midnight, so that some runs turn the day.
        let mut stream = Stream::start("2026-11-27T23:59:50Z");
        let mut client: Option<Client> = None;
        for (pause, offset, units, ticks) in steps {
            stream.now.fetch_add(pause, Ordering::Relaxed);
            let now = stream.view.now();
            stream.count(now + offset, units);
            if ticks && let Some(frame) = stream.tick() && let Some(client) = &mut client {
                client.take(&frame);
            }
            if client.is_none() && let Some(frame) = stream.snapshot() {
                client.get_or_insert_default().take(&frame);
            }
        }
        if let Some(frame) = stream.tick() && let Some(client) = &mut client {
            client.take(&frame);
        }
        if let Some(client) = client {
            let current = stream.view.current();
            prop_assert_eq!(client.purchases, current.purchases);
            prop_assert_eq!(client.revenue, current.revenue.0);
        }
    }
}

#[test]
fn midnight_sends_a_snapshot_to_all() {
    let mut stream = Stream::start("2026-11-27T23:59:59.900Z");
    let now = stream.view.now();
    stream.count(now, 10_000);
    assert_eq!(stream.tick().unwrap()["counts"]["purchase"], 1);
    stream.now.fetch_add(200, Ordering::Relaxed);
    let frame = stream.tick().unwrap();
    assert_eq!((&frame["type"], &frame["counts"]), (&"snapshot".into(), &serde_json::json!({})));
    assert_eq!(frame["snapshot"]["day"], "2026-11-28");
    assert_eq!(frame["snapshot"]["purchases"], 0);
}

#[test]
fn a_quiet_stream_sends_a_heartbeat_and_nothing_else() {
    let mut stream = Stream::start("2026-11-27T12:00:00Z");
    let mut frames = 0;
    for _ in 0..50 {
        stream.now.fetch_add(200, Ordering::Relaxed);
        frames += u32::from(stream.tick().is_some());
    }
    assert!((10..=13).contains(&frames), "{frames} frames in 10 quiet seconds");
}

#[test]
fn an_event_dated_a_little_ahead_is_charted_once() {
    let mut stream = Stream::start("2026-11-27T12:00:10Z");
    let now = stream.view.now();
    stream.count(now + 5 * SECOND, 10_000);
    stream.tick();
    let snapshot = stream.snapshot().unwrap();
    let minute = |frame: &Value| -> u64 {
        let minutes = frame["snapshot"]["minutes"].as_array().unwrap();
        minutes.last().unwrap()["counts"]["purchase"].as_u64().unwrap_or(0)
    };
    let mut charted = minute(&snapshot);
    for _ in 0..50 {
        stream.now.fetch_add(200, Ordering::Relaxed);
        let Some(frame) = stream.tick() else { continue };
        for second in frame["seconds"].as_array().into_iter().flatten() {
            charted += second["counts"]["purchase"].as_u64().unwrap_or(0);
        }
    }
    assert_eq!(charted, 1, "the minute chart of one who follows");
    assert_eq!(minute(&stream.snapshot().unwrap()), 1, "and of one who comes later");
}
