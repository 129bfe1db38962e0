//! The past as it went by, step by step: what a viewer is shown who plays a day back.
//!
//! A step goes from what was counted so far to a later moment. Its sums and those of the steps before it are what
//! [`PastMoments::at`] says of that moment, at the same resolution: a minute of which the seconds can't be told
//! apart is counted at its end.

use std::sync::Arc;

use super::{
    AtMoment, Clock, PastMoments, Unavailable,
    moment::{Resolution, sum},
};
use crate::domain::{
    access::Sight,
    alert::Firing,
    time::{MINUTE, Millis, SECOND, bucket},
    totals::Totals,
};

/// How many seconds are shown at once, and how many minutes.
const SHOWN: Millis = 60;

/// Totals of seconds or minutes by their start (Unix ms), oldest first.
type Totalled = Vec<(Millis, Totals)>;

/// Reads the past for one viewer.
pub struct PastReel {
    moments: Arc<PastMoments>,
    /// The minute that was last read by the second, and its seconds.
    minute: Option<(Millis, Option<Totalled>)>,
}

/// Where a viewer begins.
pub struct PastState {
    /// The totals of the day up to then.
    pub at: AtMoment,
    /// The last 60 seconds, empty ones included; those that can't be told apart are empty.
    pub seconds: Totalled,
    /// The last 60 minutes, empty ones included.
    pub minutes: Totalled,
}

/// What a step adds.
pub struct PastStep {
    /// All of it.
    pub totals: Totals,
    /// What came in single seconds.
    pub seconds: Totalled,
    /// What came in minutes of which the seconds are not known, or do not matter.
    pub minutes: Totalled,
    /// Up to which moment is counted now, Unix ms.
    pub as_of: Millis,
    /// How closely that is known.
    pub resolution: Resolution,
}

impl PastReel {
    /// Reads from there.
    pub fn new(moments: Arc<PastMoments>) -> PastReel {
        PastReel { moments, minute: None }
    }

    /// The clock of the numbers.
    pub fn clock(&self) -> Clock {
        self.moments.mirror().clock()
    }

    /// The present moment, Unix ms.
    pub fn now(&self) -> Millis {
        self.moments.mirror().now()
    }

    /// Whether two moments are of the same business day.
    pub fn same_day(&self, one: Millis, other: Millis) -> bool {
        self.moments.mirror().zone().day_of(one).contains(other)
    }

    /// What somebody sees of the state at the moment `time` (Unix ms), which must not lie ahead.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn state(&mut self, time: Millis, sight: Sight) -> Result<PastState, Unavailable> {
        let minute = bucket(time, MINUTE);
        // The minute of the moment is read last, since that is the one that the next step goes on from.
        let before = self.seconds(minute - MINUTE).await?.cloned();
        let within = self.seconds(minute).await?.cloned();
        let at = self.moments.at_within(time, within.as_deref(), sight).await?;
        let as_of = at.as_of;
        let mut seconds: Totalled = (1 - SHOWN..=0)
            .map(|n| (bucket(as_of, SECOND) + n * SECOND, Totals::default()))
            .collect();
        let first = seconds[0].0;
        for (second, totals) in before.iter().chain(&within).flatten() {
            if (first..as_of).contains(second) {
                seconds[((second - first) / SECOND) as usize].1 = totals.clone();
            }
        }
        let first = minute - (SHOWN - 1) * MINUTE;
        let mut minutes: Totalled =
            (0..SHOWN).map(|n| (first + n * MINUTE, Totals::default())).collect();
        for (start, totals) in self.moments.minutes(first, minute).await? {
            minutes[((start - first) / MINUTE) as usize].1 = totals;
        }
        // The minute in progress has what came up to now.
        minutes[SHOWN as usize - 1].1 = sum(within.iter().flatten().filter(|(at, _)| *at < as_of));
        Ok(PastState { at, seconds, minutes })
    }

    /// What comes between `counted` (Unix ms), up to which is counted, and the moment `to`. Where `by_second`,
    /// single seconds are told apart.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn step(
        &mut self,
        counted: Millis,
        to: Millis,
        by_second: bool,
    ) -> Result<PastStep, Unavailable> {
        let (first, last) = (bucket(counted, MINUTE), bucket(to, MINUTE));
        let mut step = PastStep {
            totals: Totals::default(),
            seconds: Vec::new(),
            minutes: Vec::new(),
            as_of: last.max(counted),
            resolution: Resolution::Minute,
        };
        let mut whole = first;
        // The rest of a minute that was counted in part.
        if counted > first {
            let end = to.min(first + MINUTE);
            if let Some(seconds) = self.seconds(first).await? {
                step.seconds.extend(within(seconds, counted, end));
                step.as_of = step.as_of.max(end);
            }
            whole = first + MINUTE;
        }
        for (minute, totals) in self.moments.minutes(whole, last.max(whole)).await? {
            match if by_second { self.seconds(minute).await? } else { None } {
                Some(seconds) => step.seconds.extend(within(seconds, minute, minute + MINUTE)),
                None => step.minutes.push((minute, totals)),
            }
        }
        if to == last {
            step.resolution = Resolution::Second;
        } else if let Some(seconds) = self.seconds(last).await? {
            if last >= whole {
                step.seconds.extend(within(seconds, last, to));
            }
            step.as_of = to;
            step.resolution = Resolution::Second;
        }
        step.totals = sum(step.seconds.iter().chain(&step.minutes));
        Ok(step)
    }

    /// How many visitors were active at a moment (Unix ms); `None` where it is not known.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn active_users(&self, as_of: Millis) -> Result<Option<u64>, Unavailable> {
        self.moments.active_users(as_of).await
    }

    /// The alerts that fired at a moment (Unix ms), as far as the history of the alerts goes, as somebody sees
    /// them. They say what is known of them today.
    pub fn firing(&self, time: Millis, sight: Sight) -> Vec<Firing> {
        let mirror = self.moments.mirror();
        let shown = mirror.alerts().snapshot();
        let shown = shown.seen_by(sight, mirror.metric_set());
        let fired = |it: &&Firing| it.since <= time && it.cleared_at.is_none_or(|end| end > time);
        let mut firing: Vec<_> =
            shown.firing.iter().chain(&shown.history).filter(fired).cloned().collect();
        firing.sort_by_key(|it| it.since);
        firing
    }

    /// What each second of a minute has counted; `None` where they can't be told apart.
    async fn seconds(&mut self, minute: Millis) -> Result<Option<&Totalled>, Unavailable> {
        // What is recent may still change: the mirror has it, and is asked each time.
        let is_settled = minute + MINUTE < self.now() - MINUTE;
        if !is_settled || self.minute.as_ref().is_none_or(|(at, _)| *at != minute) {
            self.minute = Some((minute, self.moments.seconds(minute).await?));
        }
        Ok(self.minute.as_ref().and_then(|(_, seconds)| seconds.as_ref()))
    }
}

/// The seconds that start in `[from, to)`.
fn within(seconds: &Totalled, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, Totals)> {
    seconds.iter().filter(move |(at, _)| (from..to).contains(at)).cloned()
}
