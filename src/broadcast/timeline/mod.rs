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
//! Each sight has its own texts of the same frames, from the moment on at which somebody with that sight
//! watches ([`track`]).
//!
//! An event that is dated a little ahead of now is counted in today's totals at once. It enters
//! the seconds when its second has come, since a snapshot, too, ends with the second in progress.

mod text;
mod track;

use std::collections::BTreeMap;

use self::{
    text::{FrameSource, News},
    track::{Track, Tracks},
};
use crate::{
    broadcast::{by_sight::BySight, history::HistoryLimits, wire_frame::WireFrame},
    domain::{
        access::Sight,
        delta::Delta,
        time::{BusinessDay, HOUR, MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    live::counters::Counters,
    numbers::Mirror,
};

/// How many seconds a viewer is shown, and how many minutes.
const SHOWN: usize = 60;

/// Increments of seconds that lie further ahead of now than this are not kept. An hour is well
/// beyond what intake lets through ([`crate::domain::time::MAX_FUTURE`]).
const MAX_AHEAD: Millis = HOUR;

/// A text for each sight that is watched.
pub type Texts = BySight<Option<WireFrame>>;

/// One frame, ready to be sent to all.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The JSON texts.
    pub texts: Texts,
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
    /// The number of the newest frame.
    seq: u64,
    /// The frames as each sight has them.
    tracks: Tracks,
    pace: FramePace,
    /// For how long a viewer that is away can go on from the kept frames, at most.
    resumable_ms: u64,
    /// The business day that `PendingTick::today` belongs to.
    day: BusinessDay,
    pending: PendingTick,
    /// Whether the next frame is a snapshot for all viewers.
    start_over: bool,
    /// When the last frame was made, monotonic ms.
    sent_at: u64,
    /// The active users in the last frame.
    sent_active: u64,
    /// Whether the last frame said that counting is behind.
    sent_behind: bool,
    /// The version of the alerts that the last frame knew.
    sent_alerts: u64,
    /// The version of the marks that the last frame knew.
    sent_marks: u64,
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
            seq: 0,
            tracks: Tracks::new(epoch, kept, monotonic),
            pace,
            resumable_ms: kept.frames as u64 * pace.heartbeat_ms,
            day: mirror.zone().day_of(now),
            pending: PendingTick::default(),
            start_over: false,
            sent_at: monotonic,
            sent_active: mirror.active_users(),
            sent_behind: mirror.freshness().behind_ms(now).is_some(),
            sent_alerts: mirror.alerts().version(),
            sent_marks: mirror.marks().version(),
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
        // Read once, since another version of either may be published at any moment.
        let (alerts, marks) = (mirror.alerts().snapshot(), mirror.marks().snapshot());
        let news = News {
            alerts: alerts.version != self.sent_alerts,
            marks: marks.version != self.sent_marks,
        };
        (self.sent_alerts, self.sent_marks) = (alerts.version, marks.version);

        let is_snapshot = turned || self.start_over;
        self.start_over = false;
        let source =
            FrameSource { mirror, counters, seq: self.seq, now, alerts: &alerts, marks: &marks };
        let texts = self.tracks.map(|sight, track| match is_snapshot {
            true => {
                track.history.start_over();
                track.write_snapshot(sight, &source, monotonic)
            }
            false => {
                let text = source.delta(sight, &due, news);
                track.history.push(text.clone());
                text
            }
        });
        Some(Frame { texts, is_snapshot, oldest_sealed_at: due.oldest_sealed_at })
    }

    /// Notes that somebody with this sight joins: from now on there are texts for them.
    pub fn join(&mut self, sight: Sight, monotonic: u64) {
        self.tracks.lay(sight, self.seq, monotonic);
    }

    /// Notes which sights have viewers. Texts that nobody has wanted for as long as anybody could go on from
    /// them are no longer written.
    pub fn watched(&mut self, watched: &BySight<bool>, monotonic: u64) {
        self.tracks.prune(watched, monotonic, self.resumable_ms);
    }

    /// A snapshot of the newest frame, shared by all viewers that ask before the next one.
    /// `None` while the state holds something that is still to be sent; the caller asks again
    /// after the next tick.
    pub fn snapshot(
        &mut self,
        sight: Sight,
        mirror: &Mirror,
        counters: &Counters,
        now: Millis,
        monotonic: u64,
    ) -> Option<WireFrame> {
        let behind_frame = self.start_over || !self.day.contains(now) || self.pending.has_due(now);
        let track = self.tracks.get(sight)?;
        if let Some(cached) = &track.snapshot
            && cached.seq == self.seq
            && (behind_frame || monotonic < cached.made_at + self.pace.tick_ms)
        {
            return Some(cached.text.clone());
        }
        let (alerts, marks) = (mirror.alerts().snapshot(), mirror.marks().snapshot());
        let source =
            FrameSource { mirror, counters, seq: self.seq, now, alerts: &alerts, marks: &marks };
        (!behind_frame).then(|| track.write_snapshot(sight, &source, monotonic))
    }

    /// The frames that a viewer missed which saw frame `seq` of `epoch` last; `None` if it needs
    /// a snapshot.
    pub fn resume(&mut self, sight: Sight, epoch: &str, seq: u64) -> Option<Vec<WireFrame>> {
        let track = self.tracks.get(sight)?;
        if self.start_over || epoch != track.epoch {
            return None;
        }
        track.history.after(seq)
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
            || mirror.marks().version() != self.sent_marks
    }
}

impl Track {
    /// Writes a snapshot and keeps it for others.
    fn write_snapshot(
        &mut self,
        sight: Sight,
        source: &FrameSource<'_>,
        monotonic: u64,
    ) -> WireFrame {
        let text = source.snapshot(sight, &self.epoch);
        self.snapshot =
            Some(CachedSnapshot { text: text.clone(), seq: source.seq, made_at: monotonic });
        text
    }
}

/// The oldest minute that a viewer is shown.
fn oldest_minute(now: Millis) -> Millis {
    bucket(now, MINUTE) - (SHOWN as Millis - 1) * MINUTE
}

#[cfg(test)]
mod tests;
