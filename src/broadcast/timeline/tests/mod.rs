//! The law: a snapshot of frame `n`, plus the increments of the frames after it, is the state,
//! on the charts as in the totals.

mod alerts;
mod hidden;
mod marks;

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
        money::Amount,
        time::{BusinessZone, parse_rfc3339},
    },
    numbers::MirrorWriter,
};

const PACE: FramePace = FramePace { tick_ms: 200, heartbeat_ms: 1_000 };

const KEPT: HistoryLimits = HistoryLimits { frames: 1_000, bytes: 1 << 20 };

/// A frame as one sight has it.
struct Told {
    text: WireFrame,
    is_snapshot: bool,
}

/// A broadcaster without the actor, and a clock that is moved.
struct Stage {
    clock: Arc<AtomicI64>,
    mirror: MirrorWriter,
    timeline: Timeline,
}

impl Stage {
    fn new(start: &str) -> Stage {
        let clock = Arc::new(AtomicI64::new(parse_rfc3339(start).unwrap()));
        let read = clock.clone();
        let (_, mut mirror) = Mirror::new(
            BusinessZone::named("Europe/Berlin").unwrap(),
            Config::default().rules.metric_set,
            300,
            Arc::new(move || read.load(Ordering::Relaxed)),
        );
        let empty = mirror.counters().clone();
        mirror.replace(empty);
        let timeline = Timeline::new("e".into(), PACE, KEPT, &mirror, 0);
        Stage { clock, mirror, timeline }
    }

    fn now(&self) -> Millis {
        self.mirror.now()
    }

    fn pass(&self, ms: Millis) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// Events of `kind` at these distances from now.
    fn events(&mut self, kind: &str, offsets: &[Millis]) {
        let now = self.now();
        let mut sum = DeltaSum::default();
        for offset in offsets {
            sum.count(kind, now + offset);
            sum.sum(&Series::revenue(), now + offset, 12_345);
        }
        let delta = sum.finish();
        self.mirror.apply(0, &delta, now, now);
        self.timeline.add(&delta, now, now);
    }

    /// The frame of this tick, as those have it who see everything.
    fn tick(&mut self) -> Option<Told> {
        let Frame { texts, is_snapshot, .. } = self.tick_for_all()?;
        Some(Told { text: texts[Sight::Everything].clone()?, is_snapshot })
    }

    fn tick_for_all(&mut self) -> Option<Frame> {
        let now = self.now();
        let counters = self.mirror.counters();
        self.timeline.tick(&self.mirror, &counters, now, now as u64)
    }

    fn snapshot(&mut self) -> Option<WireFrame> {
        self.snapshot_for(Sight::Everything)
    }

    fn snapshot_for(&mut self, sight: Sight) -> Option<WireFrame> {
        let now = self.now();
        let counters = self.mirror.counters();
        self.timeline.snapshot(sight, &self.mirror, &counters, now, now as u64)
    }

    fn resume(&mut self, epoch: &str, seq: u64) -> Option<Vec<WireFrame>> {
        self.timeline.resume(Sight::Everything, epoch, seq)
    }

    fn reset(&mut self, to: Counters) {
        let now = self.now();
        self.timeline.start_over(&to, now);
        self.mirror.replace(to);
    }
}

/// What the plainest correct client shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Screen {
    seq: u64,
    day: String,
    counts: BTreeMap<String, u64>,
    revenue: i64,
    seconds: BTreeMap<Millis, (BTreeMap<String, u64>, i64)>,
    minutes: BTreeMap<Millis, (BTreeMap<String, u64>, i64)>,
}

fn units(value: &Value) -> i64 {
    Amount::parse(&value.to_string()).unwrap().0
}

fn counts(value: &Value) -> BTreeMap<String, u64> {
    let object = value.as_object().unwrap();
    let pairs = object.iter();
    pairs.map(|(k, v)| (k.clone(), v.as_u64().unwrap())).collect()
}

fn merge(into: &mut (BTreeMap<String, u64>, i64), bucket: &Value) {
    for (kind, n) in counts(&bucket["counts"]) {
        *into.0.entry(kind).or_default() += n;
    }
    into.1 += units(&bucket["revenue"]);
}

impl Screen {
    fn take(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap();
        let now = frame["timestamp"].as_i64().unwrap();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let at = |bucket: &Value| bucket["timestamp"].as_i64().unwrap();
        match frame["type"].as_str().unwrap() {
            "snapshot" => {
                assert_eq!(frame["counts"], serde_json::json!({}));
                assert_eq!(frame["revenue"], 0);
                let inner = &frame["snapshot"];
                *self = Screen {
                    day: inner["day"].as_str().unwrap().into(),
                    counts: counts(&inner["counts"]),
                    revenue: units(&inner["revenue"]),
                    ..Screen::default()
                };
                assert_eq!(list(&inner["seconds"]).len(), 60);
                assert_eq!(list(&inner["minutes"]).len(), 60);
                for bucket in list(&inner["seconds"]) {
                    merge(self.seconds.entry(at(&bucket)).or_default(), &bucket);
                }
                for bucket in list(&inner["minutes"]) {
                    merge(self.minutes.entry(at(&bucket)).or_default(), &bucket);
                }
            }
            _ => {
                assert_eq!(frame["seq"].as_u64().unwrap(), self.seq + 1);
                for (kind, n) in counts(&frame["counts"]) {
                    *self.counts.entry(kind).or_default() += n;
                }
                self.revenue += units(&frame["revenue"]);
                for second in list(&frame["seconds"]) {
                    merge(self.seconds.entry(at(&second)).or_default(), &second);
                    let minute = bucket(at(&second), MINUTE);
                    merge(self.minutes.entry(minute).or_default(), &second);
                }
                for minute in list(&frame["minutes"]) {
                    merge(self.minutes.entry(at(&minute)).or_default(), &minute);
                }
            }
        }
        self.seq = frame["seq"].as_u64().unwrap();
        let (newest_s, newest_m) = (bucket(now, SECOND), bucket(now, MINUTE));
        self.seconds
            .retain(|at, totals| (newest_s - 59 * SECOND..=newest_s).contains(at) && totals.1 != 0);
        self.minutes
            .retain(|at, totals| (newest_m - 59 * MINUTE..=newest_m).contains(at) && totals.1 != 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Events(String, Vec<Millis>),
    Pass(Millis),
    Tick,
    Join,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let offset = prop_oneof![-2_000..=0i64, -90_000..=0i64, -7_200_000..=0i64, 0..=300_000i64,];
    let step = prop_oneof![
        4 => ("[ab]", proptest::collection::vec(offset, 1..6))
            .prop_map(|(kind, offsets)| Step::Events(kind, offsets)),
        3 => (1..400i64).prop_map(Step::Pass),
        1 => (1_000..200_000i64).prop_map(Step::Pass),
        4 => Just(Step::Tick),
        2 => Just(Step::Join),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// The law: whoever joined at whatever moment, snapshot + frames = the state.
    #[test]
    fn a_snapshot_and_the_frames_after_it_are_the_state(steps in steps(), minute in 50..60) {
        // Around midnight in Berlin, so that some runs turn the day.
        let mut stage = Stage::new(&format!("2026-11-27T22:{minute}:58.700Z"));
        let mut screens: Vec<Screen> = Vec::new();
        for step in steps.into_iter().chain([Step::Pass(1_000), Step::Tick, Step::Join]) {
            match step {
                Step::Events(kind, offsets) => stage.events(&kind, &offsets),
                Step::Pass(ms) => stage.pass(ms),
                Step::Tick => if let Some(frame) = stage.tick() {
                    screens.iter_mut().for_each(|screen| screen.take(&frame.text));
                },
                Step::Join => {
                    let mut screen = Screen::default();
                    if let Some(snapshot) = stage.snapshot() {
                        screen.take(&snapshot);
                        screens.push(screen);
                    }
                }
                Step::Reset => {
                    let counters = stage.mirror.counters().clone();
                    stage.reset(counters);
                }
            }
        }
        // The viewer that joins last has the state from its snapshot alone.
        let last = screens.last().cloned();
        let current = stage.mirror.current(Sight::Everything);
        for screen in &screens {
            prop_assert_eq!(Some(screen), last.as_ref());
            prop_assert_eq!(screen.revenue, current.revenue.0);
            prop_assert_eq!(screen.counts.values().sum::<u64>(), current.events);
            prop_assert_eq!(&screen.day, &current.day);
        }
        prop_assert!(!screens.is_empty());
    }

    /// Whoever was away and resumes sees what those see that stayed.
    #[test]
    fn a_resume_is_as_good_as_having_stayed(away in 0..30usize, sizes in proptest::collection::vec(1..4usize, 1..30)) {
        let mut stage = Stage::new("2026-11-27T12:00:00Z");
        let mut stayed = Screen::default();
        stayed.take(&stage.snapshot().unwrap());
        let mut left = stayed.clone();
        for (n, size) in sizes.into_iter().enumerate() {
            stage.pass(200);
            stage.events("a", &vec![0; size]);
            let frame = stage.tick().unwrap();
            stayed.take(&frame.text);
            if n < away {
                left.take(&frame.text);
            }
        }
        let missed = stage.resume("e", left.seq).unwrap();
        missed.iter().for_each(|frame| left.take(frame));
        prop_assert_eq!(left, stayed);
        prop_assert_eq!(stage.resume("another", 1), None);
    }
}

fn json(frame: &Told) -> Value {
    serde_json::from_str(&frame.text).unwrap()
}

#[test]
fn a_quiet_stream_sends_a_heartbeat_a_second() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    stage.timeline.sent_at = stage.now() as u64;
    let mut sent = Vec::new();
    for n in 1..=10 {
        stage.pass(200);
        if let Some(frame) = stage.tick() {
            sent.push((n, json(&frame)));
        }
    }
    assert_eq!(sent.iter().map(|s| s.0).collect::<Vec<_>>(), [5, 10]);
    assert_eq!(
        sent[1].1,
        serde_json::json!({"type": "delta", "seq": 2, "counts": {}, "revenue": 0,
            "activeUsers": 0, "timestamp": stage.now()})
    );
}

#[test]
fn events_of_other_days_and_hours_are_told_apart() {
    // 40 minutes past midnight in Berlin.
    let mut stage = Stage::new("2026-11-27T23:40:30Z");
    stage.events("a", &[0, -30_000, -120_000, -45 * MINUTE, -3 * HOUR]);
    let frame = json(&stage.tick().unwrap());
    assert_eq!(frame["counts"], serde_json::json!({"a": 3}));
    assert_eq!(frame["revenue"].to_string(), "3.7035");
    assert_eq!(frame["seconds"].as_array().unwrap().len(), 2);
    assert_eq!(frame["minutes"].as_array().unwrap().len(), 2);
}

#[test]
fn midnight_is_a_snapshot_to_all() {
    let mut stage = Stage::new("2026-11-27T22:59:59.900Z");
    stage.events("a", &[0]);
    assert!(!stage.tick().unwrap().is_snapshot);
    stage.events("a", &[0, 100]);
    stage.pass(200);
    stage.events("b", &[0]);
    let frame = stage.tick().unwrap();
    assert!(frame.is_snapshot);
    let snapshot = &json(&frame)["snapshot"];
    assert_eq!(snapshot["day"], "2026-11-28");
    assert_eq!(snapshot["counts"], serde_json::json!({"a": 1, "b": 1}));
    assert_eq!(snapshot["currency"], "USD");
    assert_eq!(snapshot["timezone"], "Europe/Berlin");
    // The frames before midnight do not lead to this state any more, so nobody can resume there.
    assert_eq!(stage.resume("e", 1), None);
    assert_eq!(stage.resume("e", 2), Some(vec![]));
}

#[test]
fn one_snapshot_serves_all_who_join_between_two_frames() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    let first = stage.snapshot().unwrap();
    stage.events("a", &[0]);
    // While something is still to be sent, the snapshot that was made for this frame is served on.
    let again = stage.snapshot().unwrap();
    assert_eq!(first.as_ptr(), again.as_ptr());
    // Where no snapshot was made, there is none before the next tick.
    stage.pass(200);
    stage.tick().unwrap();
    stage.events("a", &[0]);
    assert_eq!(stage.snapshot(), None);
}

#[test]
fn an_interruption_shows_in_the_frames_until_it_is_over() {
    let mut stage = Stage::new("2026-11-27T12:00:00Z");
    stage.mirror.interrupt("redis is down".into());
    stage.pass(1_500);
    assert_eq!(json(&stage.tick().unwrap())["behindMs"], 1_500);
    stage.mirror.interrupt("redis is still down".into());
    stage.pass(1_000);
    assert_eq!(json(&stage.tick().unwrap())["behindMs"], 2_500);
    stage.mirror.restored();
    stage.pass(200);
    assert_eq!(json(&stage.tick().unwrap()).get("behindMs"), None);
}

#[test]
fn an_event_dated_a_little_ahead_is_charted_once() {
    let mut stage = Stage::new("2026-11-27T12:00:10Z");
    stage.events("a", &[5 * SECOND]);
    stage.tick();
    let minute = |text: &str| -> u64 {
        let frame: Value = serde_json::from_str(text).unwrap();
        let minutes = frame["snapshot"]["minutes"].as_array().unwrap();
        minutes.last().unwrap()["counts"]["a"].as_u64().unwrap_or(0)
    };
    let mut charted = minute(&stage.snapshot().unwrap());
    for _ in 0..50 {
        stage.pass(200);
        let Some(frame) = stage.tick() else { continue };
        for second in json(&frame)["seconds"].as_array().into_iter().flatten() {
            charted += second["counts"]["a"].as_u64().unwrap_or(0);
        }
    }
    assert_eq!(charted, 1, "the minute chart of one who follows");
    assert_eq!(minute(&stage.snapshot().unwrap()), 1, "and of one who comes later");
}
