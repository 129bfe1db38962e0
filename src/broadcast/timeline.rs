//! The timeline: turns deltas into a numbered sequence of frames. Pure.
//!
//! The law: a snapshot of frame `n`, plus the increments of the frames after it, is the
//! state. It holds because a snapshot is only ever made at a moment at which everything
//! that it shows has also been sent to those who follow.
//!
//! An event dated a little ahead is counted in today's totals at once, and enters the
//! seconds when its second has come: a snapshot ends with the second in progress, too.

use std::collections::BTreeMap;

use crate::{
    broadcast::{
        AlertsShown,
        frame::{self, DeltaFrame, Empty, Firings, Snapshot, SnapshotFrame, TimeBucket},
        history::{FrameHistory, HistoryLimits},
        view::LiveView,
        wire_frame::WireFrame,
    },
    domain::{
        delta::Delta,
        time::{BusinessDay, HOUR, MINUTE, Millis, SECOND, bucket},
    },
    live::state::{LiveState, Totals},
};

/// Seconds, and minutes, that a viewer is shown.
const SHOWN: usize = 60;

/// How far ahead of now a second may be dated and still be waited for: well beyond what
/// intake lets through ([`crate::domain::time::MAX_FUTURE`]).
const MAX_AHEAD: Millis = HOUR;

/// One frame, ready to be sent to all.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The JSON text.
    pub text: WireFrame,
    /// A snapshot: it also serves viewers that lost the thread.
    pub is_snapshot: bool,
    /// When the oldest batch in it was sealed, Unix ms.
    pub oldest_sealed_at: Option<Millis>,
}

/// How often frames are sent, in ms.
#[derive(Clone, Copy, Debug)]
pub struct FramePace {
    /// Between two looks at what came in.
    pub tick_ms: u64,
    /// At most between two frames.
    pub heartbeat_ms: u64,
}

/// What has not been sent yet.
#[derive(Default)]
struct PendingTick {
    /// Increments of today's totals.
    today: Totals,
    /// Increments by second; those that lie ahead stay here until their time comes.
    seconds: BTreeMap<Millis, Totals>,
    oldest_sealed_at: Option<Millis>,
}

impl PendingTick {
    fn has_due(&self, now: Millis) -> bool {
        let due = self.seconds.range(..=now).next().is_some();
        due || !self.today.is_empty() || self.oldest_sealed_at.is_some()
    }

    /// Takes everything up to now, leaves what lies ahead.
    fn take_due(&mut self, now: Millis) -> PendingTick {
        let ahead = self.seconds.split_off(&(bucket(now, SECOND) + SECOND));
        std::mem::replace(self, PendingTick { seconds: ahead, ..PendingTick::default() })
    }
}

struct CachedSnapshot {
    text: WireFrame,
    seq: u64,
    made_at: u64,
}

/// The sequence of frames of one run of the stream.
pub struct Timeline {
    epoch: String,
    seq: u64,
    pace: FramePace,
    /// The day that `PendingTick::today` is of.
    day: BusinessDay,
    pending: PendingTick,
    /// The next frame is a snapshot to all.
    start_over: bool,
    history: FrameHistory,
    snapshot: Option<CachedSnapshot>,
    /// Of the last frame: when (monotonic ms), the active users, whether it was behind, the
    /// version of the alerts.
    sent_at: u64,
    sent_active: u64,
    sent_behind: bool,
    sent_alerts: u64,
}

impl Timeline {
    /// Starts at frame 0, which is the empty state of `now`.
    pub fn new(
        epoch: String,
        pace: FramePace,
        kept: HistoryLimits,
        view: &LiveView,
        monotonic: u64,
    ) -> Timeline {
        let now = view.now();
        Timeline {
            epoch,
            seq: 0,
            pace,
            day: view.zone().day_of(now),
            pending: PendingTick::default(),
            start_over: false,
            history: FrameHistory::new(kept, 0),
            snapshot: None,
            sent_at: monotonic,
            sent_active: view.active_users(),
            sent_behind: view.behind_ms(now).is_some(),
            sent_alerts: view.alerts().version(),
        }
    }

    /// Notes what a delta adds, beside the state that it was just applied to.
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

    /// The state was replaced: the next frame is a snapshot to all.
    pub fn start_over(&mut self, state: &LiveState, now: Millis) {
        let next = bucket(now, SECOND) + SECOND;
        let ahead = state.range(next, next + MAX_AHEAD, SECOND);
        self.pending = PendingTick {
            seconds: ahead.into_iter().filter(|(_, t)| !t.is_empty()).collect(),
            ..PendingTick::default()
        };
        self.start_over = true;
    }

    /// The frame of this tick, if it is time for one.
    pub fn tick(
        &mut self,
        view: &LiveView,
        state: &LiveState,
        now: Millis,
        monotonic: u64,
    ) -> Option<Frame> {
        let turned = !self.day.contains(now);
        if !turned && !self.start_over && !self.is_time(view, now, monotonic) {
            return None;
        }
        if turned {
            self.day = view.zone().day_of(now);
        }
        let due = self.pending.take_due(now);
        self.seq += 1;
        self.sent_at = monotonic;
        self.sent_active = view.active_users();
        self.sent_behind = view.behind_ms(now).is_some();
        // Read once: the alert actor may show others meanwhile.
        let alerts = view.alerts().snapshot();
        let are_new = alerts.version != self.sent_alerts;
        self.sent_alerts = alerts.version;

        let is_snapshot = turned || self.start_over;
        let text = if is_snapshot {
            self.start_over = false;
            self.history.start_over();
            self.write_snapshot(view, state, now, monotonic)
        } else {
            let text = self.delta_text(view, &due, are_new.then_some(&alerts), now);
            self.history.push(text.clone());
            text
        };
        Some(Frame { text, is_snapshot, oldest_sealed_at: due.oldest_sealed_at })
    }

    /// A snapshot of the newest frame, shared by all who ask before the next one. `None`
    /// while there is something in the state that is still to be sent: ask again after
    /// the next tick.
    pub fn snapshot(
        &mut self,
        view: &LiveView,
        state: &LiveState,
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
        (!behind_frame).then(|| self.write_snapshot(view, state, now, monotonic))
    }

    /// What the viewer missed that saw frame `seq` of `epoch` last.
    pub fn resume(&self, epoch: &str, seq: u64) -> Option<Vec<WireFrame>> {
        if self.start_over || epoch != self.epoch {
            return None;
        }
        self.history.after(seq)
    }

    fn is_time(&self, view: &LiveView, now: Millis, monotonic: u64) -> bool {
        // A tick late is a heartbeat missed, so the last tick before it sends.
        let heartbeat = monotonic + self.pace.tick_ms > self.sent_at + self.pace.heartbeat_ms;
        heartbeat
            || self.pending.has_due(now)
            || view.active_users() != self.sent_active
            || view.behind_ms(now).is_some() != self.sent_behind
            || view.alerts().version() != self.sent_alerts
    }

    fn delta_text(
        &self,
        view: &LiveView,
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
            active_users: view.active_users(),
            timestamp: now,
            behind_ms: view.behind_ms(now),
            alerts: alerts.map(Firings::from),
            seconds,
            minutes: minutes.into_iter().map(TimeBucket::from).collect(),
        })
    }

    fn write_snapshot(
        &mut self,
        view: &LiveView,
        state: &LiveState,
        now: Millis,
        monotonic: u64,
    ) -> WireFrame {
        let buckets = |totals: Vec<_>| totals.into_iter().map(TimeBucket::from).collect();
        // What is dated ahead is still to come as a second; the minute in progress must not
        // have it already.
        let mut minutes = state.last_minutes(now, SHOWN);
        if let Some((start, totals)) = minutes.last_mut() {
            let come = state.range(*start, bucket(now, SECOND) + SECOND, SECOND);
            *totals = Totals::default();
            come.iter().for_each(|(_, second)| totals.merge(second));
        }
        let text = frame::write(&SnapshotFrame {
            seq: self.seq,
            epoch: &self.epoch,
            counts: Empty {},
            revenue: 0,
            timestamp: now,
            behind_ms: view.behind_ms(now),
            alerts: Firings::from(&*view.alerts().snapshot()),
            snapshot: Snapshot {
                current: view.current_of(state, now),
                seconds: buckets(state.last_seconds(now, SHOWN)),
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
#[path = "timeline_tests.rs"]
mod tests;
