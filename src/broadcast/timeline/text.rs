//! The texts of frames, as somebody with a sight sees them.

use std::collections::BTreeMap;

use super::{PendingTick, SHOWN, oldest_minute};
use crate::{
    broadcast::{
        frame::{
            self, DeltaFrame, Empty, Firings, RecentMarks, Snapshot, SnapshotFrame, TimeBucket,
            hidden,
        },
        wire_frame::WireFrame,
    },
    domain::{
        access::Sight,
        time::{MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    live::counters::Counters,
    numbers::{AlertsShown, Current, MarksShown, Mirror, current},
};

/// What a frame is written from.
#[derive(Clone, Copy)]
pub(super) struct FrameSource<'a> {
    /// The numbers of this node.
    pub mirror: &'a Mirror,
    /// The mirror's, which the caller has locked.
    pub counters: &'a Counters,
    /// The number of the frame.
    pub seq: u64,
    /// Unix ms.
    pub now: Millis,
    /// Read once for a frame, since the alert actor may publish another version at any moment.
    pub alerts: &'a AlertsShown,
    /// Likewise.
    pub marks: &'a MarksShown,
}

/// What a delta frame says besides its increments, since it has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// What fires.
    pub alerts: bool,
    /// The marks of the last day.
    pub marks: bool,
}

impl FrameSource<'_> {
    /// A delta frame of what is due, and of what is new besides.
    pub fn delta(&self, sight: Sight, due: &PendingTick, news: News) -> WireFrame {
        let FrameSource { mirror, seq, now, .. } = *self;
        let oldest_second = bucket(now, SECOND) - (SHOWN as Millis - 1) * SECOND;
        let oldest_minute = oldest_minute(now);
        let mut seconds = Vec::new();
        let mut minutes: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (second, totals) in &due.seconds {
            if *second >= oldest_second {
                seconds.push(TimeBucket::seen_by(sight, *second, totals.clone()));
            } else if *second >= oldest_minute {
                let minute = minutes.entry(bucket(*second, MINUTE)).or_default();
                minute.merge(totals);
            }
        }
        let alerts = news.alerts.then(|| self.alerts.seen_by(sight, mirror.metric_set()));
        frame::write(&DeltaFrame {
            seq,
            revenue: current::revenue_of(&due.today, sight),
            counts: due.today.clone(),
            active_users: Some(mirror.active_users()),
            timestamp: now,
            behind_ms: mirror.freshness().behind_ms(now),
            alerts: alerts.as_deref().map(Firings::from),
            marks: news.marks.then(|| RecentMarks::from(self.marks)),
            playback: None,
            error: None,
            seconds,
            minutes: buckets(sight, minutes),
            hidden: hidden(sight),
        })
    }

    /// A snapshot of the state.
    pub fn snapshot(&self, sight: Sight, epoch: &str) -> WireFrame {
        let FrameSource { mirror, counters, seq, now, alerts, marks } = *self;
        // Events that are dated ahead will be sent as increments of their second. The minute in
        // progress must not hold them already, or they would be charted twice.
        let mut minutes = current::last_minutes(counters, now, SHOWN);
        if let Some((start, totals)) = minutes.last_mut() {
            let come = counters.seconds_in(*start, bucket(now, SECOND) + SECOND);
            *totals = Totals::default();
            come.for_each(|(_, second)| totals.merge(second));
        }
        frame::write(&SnapshotFrame {
            seq,
            epoch,
            counts: Empty {},
            revenue: 0,
            timestamp: now,
            behind_ms: mirror.freshness().behind_ms(now),
            alerts: Firings::from(&*alerts.seen_by(sight, mirror.metric_set())),
            marks: Some(RecentMarks::from(marks)),
            playback: None,
            hidden: hidden(sight),
            snapshot: Snapshot {
                current: Current::of(mirror, counters, now, sight),
                seconds: buckets(sight, current::last_seconds(counters, now, SHOWN)),
                minutes: buckets(sight, minutes),
            },
        })
    }
}

fn buckets(sight: Sight, all: impl IntoIterator<Item = (Millis, Totals)>) -> Vec<TimeBucket> {
    all.into_iter().map(|(at, totals)| TimeBucket::seen_by(sight, at, totals)).collect()
}
