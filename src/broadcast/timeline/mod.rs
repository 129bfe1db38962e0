//! The timeline: turns deltas into a numbered sequence of frames. It does no I/O and reads no
//! clock; callers pass the time.
//!
//! ```text
//!   deltas --add--> pending tick                          state (the mirror)
//!                   - today's increments                      |
//!                   - increments by second                    |
//!                        |                                    |
//!                  tick  | what lies up to now                | snapshot: only while nothing
//!                        v                                    v is pending up to now
//!                   delta frame n+1                   snapshot of frame n
//!                        |                                    |
//!                        +--> history (for ?resume=)          +--> cached until the next tick
//! ```
//!
//! The law: a snapshot of frame `n`, plus the increments of the frames after it, gives the
//! current state. It holds because a snapshot is only made at a moment at which everything that
//! it shows has also been sent to the viewers that follow.
//!
//! An event that is dated a little ahead of now is counted in today's totals at once. It enters
//! the seconds when its second has come, since a snapshot, too, ends with the second in progress.

use std::collections::BTreeMap;

use crate::{
    broadcast::{
        frame::{self, DeltaFrame, Empty, Firings, Snapshot, SnapshotFrame, TimeBucket},
        history::{FrameHistory, HistoryLimits},
        wire_frame::WireFrame,
    },
    domain::{
        delta::Delta,
        time::{BusinessDay, HOUR, MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    live::counters::Counters,
    numbers::{AlertsShown, Current, Mirror, current},
};

/// How many seconds a viewer is shown, and how many minutes.
const SHOWN: usize = 60;

/// Increments of seconds that lie further ahead of now than this are not kept. An hour is well
/// beyond what intake lets through ([`crate::domain::time::MAX_FUTURE`]).
const MAX_AHEAD: Millis = HOUR;

/// One frame, ready to be sent to all.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The JSON text.
    pub text: WireFrame,
    /// Whether it is a snapshot, which viewers that missed frames can use, too.
    pub is_snapshot: bool,
    /// When the oldest batch in it was sealed, Unix ms.
    pub oldest_sealed_at: Option<Millis>,
}

/// How often frames are sent, in ms.
#[derive(Clone, Copy, Debug)]
pub struct FramePace {
    /// The time between two ticks.
    pub tick_ms: u64,
    /// The longest time between two frames.
    pub heartbeat_ms: u64,
}

/// What the next tick has to send.
#[derive(Default)]
struct PendingTick {
    /// Increments of today's totals.
    today: Totals,
    /// Increments by second. Those of seconds that lie ahead stay here until these have come.
    seconds: BTreeMap<Millis, Totals>,
    /// When the oldest batch among them was sealed, Unix ms.
    oldest_sealed_at: Option<Millis>,
}

impl PendingTick {
    /// Whether there is anything to send at `now`.
    fn has_due(&self, now: Millis) -> bool {
        let due = self.seconds.range(..=now).next().is_some();
        due || !self.today.is_empty() || self.oldest_sealed_at.is_some()
    }

    /// Takes everything up to and including the second of `now`; what lies ahead stays.
    fn take_due(&mut self, now: Millis) -> PendingTick {
        let ahead = self.seconds.split_off(&(bucket(now, SECOND) + SECOND));
        std::mem::replace(self, PendingTick { seconds: ahead, ..PendingTick::default() })
    }
}

/// A snapshot that was made for one viewer and is good for others.
struct CachedSnapshot {
    text: WireFrame,
    /// The frame that it is the state of.
    seq: u64,
    /// When it was made, monotonic ms.
    made_at: u64,
}

/// The sequence of frames of one run of the stream.
pub struct Timeline {
    /// The name of this run.
    epoch: String,
    /// The number of the newest frame.
    seq: u64,
    pace: FramePace,
    /// The business day that `PendingTick::today` belongs to.
    day: BusinessDay,
    pending: PendingTick,
    /// Whether the next frame is a snapshot for all viewers.
    start_over: bool,
    /// The newest frames, for viewers that come back.
    history: FrameHistory,
    /// The newest snapshot.
    snapshot: Option<CachedSnapshot>,
    /// When the last frame was made, monotonic ms.
    sent_at: u64,
    /// The active users in the last frame.
    sent_active: u64,
    /// Whether the last frame said that counting is behind.
    sent_behind: bool,
    /// The version of the alerts that the last frame knew.
    sent_alerts: u64,
}

impl Timeline {
    /// Starts at frame 0, which is the empty state.
    pub fn new(
        epoch: String,
        pace: FramePace,
        kept: HistoryLimits,
        mirror: &Mirror,
        monotonic: u64,
    ) -> Timeline {
        let now = mirror.now();
        Timeline {
            epoch,
            seq: 0,
            pace,
            day: mirror.zone().day_of(now),
            pending: PendingTick::default(),
            start_over: false,
            history: FrameHistory::new(kept, 0),
            snapshot: None,
            sent_at: monotonic,
            sent_active: mirror.active_users(),
            sent_behind: mirror.freshness().behind_ms(now).is_some(),
            sent_alerts: mirror.alerts().version(),
        }
    }

    /// Notes what a delta adds. The caller has applied it to the state just before.
    pub fn add(&mut self, delta: &Delta, sealed_at: Millis, now: Millis) {
        let oldest_shown = oldest_minute(now);
        for (second, series, value) in delta.cells() {
            if self.day.contains(second) {
                self.pending.today.add(series, value);
            }
            if (oldest_shown..now + MAX_AHEAD).contains(&second) {
                let totals = self.pending.seconds.entry(second).or_default();
                totals.add(series, value);
            }
        }
        let oldest = self.pending.oldest_sealed_at.get_or_insert(sealed_at);
        *oldest = sealed_at.min(*oldest);
    }

    /// Notes that the state was replaced. The next frame is a snapshot for all viewers, and only
    /// what the new state dates ahead stays pending.
    pub fn start_over(&mut self, counters: &Counters, now: Millis) {
        let next = bucket(now, SECOND) + SECOND;
        let ahead = counters.seconds_in(next, next + MAX_AHEAD);
        self.pending = PendingTick {
            seconds: ahead.map(|(at, totals)| (at, totals.clone())).collect(),
            ..PendingTick::default()
        };
        self.start_over = true;
    }

    /// Makes the frame of this tick, if it is time for one. At the business zone's midnight it
    /// is a snapshot, since "today" means another day from then on.
    pub fn tick(
        &mut self,
        mirror: &Mirror,
        counters: &Counters,
        now: Millis,
        monotonic: u64,
    ) -> Option<Frame> {
        let turned = !self.day.contains(now);
        if !turned && !self.start_over && !self.is_time(mirror, now, monotonic) {
            return None;
        }
        if turned {
            self.day = mirror.zone().day_of(now);
        }
        let due = self.pending.take_due(now);
        self.seq += 1;
        self.sent_at = monotonic;
        self.sent_active = mirror.active_users();
        self.sent_behind = mirror.freshness().behind_ms(now).is_some();
        // Read once, since the alert actor may publish another version at any moment.
        let alerts = mirror.alerts().snapshot();
        let are_new = alerts.version != self.sent_alerts;
        self.sent_alerts = alerts.version;

        let is_snapshot = turned || self.start_over;
        let text = if is_snapshot {
            self.start_over = false;
            self.history.start_over();
            self.write_snapshot(mirror, counters, now, monotonic)
        } else {
            let text = self.delta_text(mirror, &due, are_new.then_some(&alerts), now);
            self.history.push(text.clone());
            text
        };
        Some(Frame { text, is_snapshot, oldest_sealed_at: due.oldest_sealed_at })
    }

    /// A snapshot of the newest frame, shared by all viewers that ask before the next one.
    /// `None` while the state holds something that is still to be sent; the caller asks again
    /// after the next tick.
    pub fn snapshot(
        &mut self,
        mirror: &Mirror,
        counters: &Counters,
        now: Millis,
        monotonic: u64,
    ) -> Option<WireFrame> {
        let behind_frame = self.start_over || !self.day.contains(now) || self.pending.has_due(now);
        if let Some(cached) = &self.snapshot
            && cached.seq == self.seq
            && (behind_frame || monotonic < cached.made_at + self.pace.tick_ms)
        {
            return Some(cached.text.clone());
        }
        (!behind_frame).then(|| self.write_snapshot(mirror, counters, now, monotonic))
    }

    /// The frames that a viewer missed which saw frame `seq` of `epoch` last; `None` if it needs
    /// a snapshot.
    pub fn resume(&self, epoch: &str, seq: u64) -> Option<Vec<WireFrame>> {
        if self.start_over || epoch != self.epoch {
            return None;
        }
        self.history.after(seq)
    }

    /// Whether a frame is due: something is new, or the heartbeat's time has come.
    fn is_time(&self, mirror: &Mirror, now: Millis, monotonic: u64) -> bool {
        // If this tick waited for the next one, the heartbeat would be late by up to a tick. So
        // the last tick before the heartbeat's time sends the frame.
        let heartbeat = monotonic + self.pace.tick_ms > self.sent_at + self.pace.heartbeat_ms;
        heartbeat
            || self.pending.has_due(now)
            || mirror.active_users() != self.sent_active
            || mirror.freshness().behind_ms(now).is_some() != self.sent_behind
            || mirror.alerts().version() != self.sent_alerts
    }

    /// Writes a delta frame.
    fn delta_text(
        &self,
        mirror: &Mirror,
        due: &PendingTick,
        alerts: Option<&AlertsShown>,
        now: Millis,
    ) -> WireFrame {
        let oldest_second = bucket(now, SECOND) - (SHOWN as Millis - 1) * SECOND;
        let oldest_minute = oldest_minute(now);
        let mut seconds = Vec::new();
        let mut minutes: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (second, totals) in &due.seconds {
            if *second >= oldest_second {
                seconds.push(TimeBucket::from((*second, totals.clone())));
            } else if *second >= oldest_minute {
                let minute = minutes.entry(bucket(*second, MINUTE)).or_default();
                minute.merge(totals);
            }
        }
        frame::write(&DeltaFrame {
            seq: self.seq,
            revenue: due.today.revenue(),
            counts: due.today.clone(),
            active_users: mirror.active_users(),
            timestamp: now,
            behind_ms: mirror.freshness().behind_ms(now),
            alerts: alerts.map(Firings::from),
            seconds,
            minutes: minutes.into_iter().map(TimeBucket::from).collect(),
        })
    }

    /// Writes a snapshot and keeps it for others.
    fn write_snapshot(
        &mut self,
        mirror: &Mirror,
        counters: &Counters,
        now: Millis,
        monotonic: u64,
    ) -> WireFrame {
        let buckets = |totals: Vec<_>| totals.into_iter().map(TimeBucket::from).collect();
        // Events that are dated ahead will be sent as increments of their second. The minute in
        // progress must not hold them already, or they would be charted twice.
        let mut minutes = current::last_minutes(counters, now, SHOWN);
        if let Some((start, totals)) = minutes.last_mut() {
            let come = counters.seconds_in(*start, bucket(now, SECOND) + SECOND);
            *totals = Totals::default();
            come.for_each(|(_, second)| totals.merge(second));
        }
        let text = frame::write(&SnapshotFrame {
            seq: self.seq,
            epoch: &self.epoch,
            counts: Empty {},
            revenue: 0,
            timestamp: now,
            behind_ms: mirror.freshness().behind_ms(now),
            alerts: Firings::from(&*mirror.alerts().snapshot()),
            snapshot: Snapshot {
                current: Current::of(mirror, counters, now),
                seconds: buckets(current::last_seconds(counters, now, SHOWN)),
                minutes: buckets(minutes),
            },
        });
        self.snapshot =
            Some(CachedSnapshot { text: text.clone(), seq: self.seq, made_at: monotonic });
        text
    }
}

/// The oldest minute that a viewer is shown.
fn oldest_minute(now: Millis) -> Millis {
    bucket(now, MINUTE) - (SHOWN as Millis - 1) * MINUTE
}

#[cfg(test)]
mod tests;
