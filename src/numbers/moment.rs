//! What `/current` would have said at a moment of the past, by event time, with all that has arrived since.
//!
//! ```text
//!   day.start                                   minute   second      time
//!      |---- rollups ----|---- the mirror ----------|--part--|..........|
//!                                                            ^ asOf
//! ```
//!
//! The part of the minute comes from the mirror, while it has that hour's seconds; else from the events
//! themselves. These count only where all events of the minute make what was counted for it: some may be gone
//! by now, not folded yet, or be counted by other rules today. Otherwise the answer ends with the minute before.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{Current, Mirror, Past, Unavailable, span::SLACK};
use crate::{
    domain::{
        access::Sight,
        aggregate::Aggregator,
        bot,
        delta::{Delta, DeltaSum},
        metric::MetricSet,
        row::Row,
        time::{HOUR, MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    live::counters::{MINUTES_KEPT, SECONDS_KEPT},
    store::events::{
        EventReader, EventsAsked, StoredEvent,
        visitors::{self, VisitorsAsked},
    },
};

/// The most events of a minute that are read to tell its seconds apart.
const MOST_OF_MINUTE: usize = 20_000;
/// How long before a user may have come with the session that counts in the user's place, in ms.
const LINKED_FOR: Millis = HOUR;

/// Answers what was true at moments of the past.
pub struct PastMoments {
    mirror: Mirror,
    past: Past,
    metric_set: Arc<MetricSet>,
    events: Arc<dyn EventReader>,
}

/// What was true at a moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AtMoment {
    /// The totals of its business day up to then.
    #[serde(flatten)]
    pub current: Current,
    /// Up to which moment it was counted, Unix ms: the end of the last second or minute before.
    pub as_of: Millis,
    /// How closely that is known.
    pub resolution: Resolution,
    /// Why it is not known who was active; left out where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_users_unknown: Option<WhyUnknown>,
}

/// How closely a moment is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Resolution {
    /// To the second.
    #[serde(rename = "1s")]
    Second,
    /// To the minute.
    #[serde(rename = "1m")]
    Minute,
}

/// Why it is not known who was active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnknown {
    /// The events of that time are gone.
    NotKept,
    /// There were more than can be looked through in a moment.
    TooMany,
}

/// Who was active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActiveThen {
    /// So many, and whether users may count beside their sessions.
    Known(u64, bool),
    Unknown(WhyUnknown),
}

impl PastMoments {
    /// Answers from these places.
    pub fn new(
        mirror: Mirror,
        past: Past,
        metric_set: Arc<MetricSet>,
        events: Arc<dyn EventReader>,
    ) -> PastMoments {
        PastMoments { mirror, past, metric_set, events }
    }

    /// What somebody sees of the moment `time` (Unix ms), which must not lie ahead.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn at(&self, time: Millis, sight: Sight) -> Result<AtMoment, Unavailable> {
        let minute = bucket(time, MINUTE);
        let seconds = match minute == bucket(time, SECOND) {
            // Nothing of the minute counts yet.
            true => None,
            false => self.seconds(minute).await?,
        };
        self.at_within(time, seconds.as_deref(), sight).await
    }

    /// As [`PastMoments::at`], with what each second of the moment's minute has counted; `None` where they can't be
    /// told apart.
    pub(super) async fn at_within(
        &self,
        time: Millis,
        seconds: Option<&[(Millis, Totals)]>,
        sight: Sight,
    ) -> Result<AtMoment, Unavailable> {
        let day = self.mirror.zone().day_of(time);
        let (minute, second) = (bucket(time, MINUTE), bucket(time, SECOND));
        let mut totals = self.counted(day.start, minute).await?;
        let (as_of, resolution) = match seconds {
            Some(seconds) => {
                totals.merge(&sum(seconds.iter().filter(|(at, _)| *at < second)));
                (second, Resolution::Second)
            }
            // The beginning of a minute is known in any case.
            None if minute == second => (minute, Resolution::Second),
            None => (minute, Resolution::Minute),
        };
        let mut current = Current::at(&self.mirror, (day, totals), None, as_of, sight);
        let mut active_users_unknown = None;
        match self.active(as_of).await? {
            ActiveThen::Known(active, approximate) => {
                current.active_users = Some(active);
                current.active_users_approximate = approximate;
            }
            ActiveThen::Unknown(why) => active_users_unknown = Some(why),
        }
        Ok(AtMoment { current, as_of, resolution, active_users_unknown })
    }

    /// What the whole minutes of `[from, to)` have counted.
    async fn counted(&self, from: Millis, to: Millis) -> Result<Totals, Unavailable> {
        let mirrored = self.mirrored_from();
        let mut totals = match from < to.min(mirrored) {
            true => self.past.totals(from, to.min(mirrored)).await?,
            false => Totals::default(),
        };
        let counters = self.mirror.counters();
        let minutes = counters.minutes_in(from.max(mirrored), to.max(from).max(mirrored));
        minutes.for_each(|(_, minute)| totals.merge(minute));
        Ok(totals)
    }

    /// What each minute that starts in `[from, to)` has counted, oldest first, without empty ones: from the
    /// rollups what is older than the mirror's 24 hours, as of a time series.
    pub(super) async fn minutes(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<(Millis, Totals)>, Unavailable> {
        let mirrored = self.mirrored_from();
        let mut minutes = match from < to.min(mirrored) {
            true => self.past.minutes(from, to.min(mirrored)).await?,
            false => Vec::new(),
        };
        let counters = self.mirror.counters();
        let newer = counters.minutes_in(from.max(mirrored), to.max(from).max(mirrored));
        minutes.extend(newer.map(|(at, totals)| (at, totals.clone())));
        Ok(minutes)
    }

    /// The first whole minute that the mirror has.
    fn mirrored_from(&self) -> Millis {
        bucket(self.mirror.now() - MINUTES_KEPT, MINUTE) + MINUTE
    }

    /// What each second of a minute has counted, oldest first, without empty ones; `None` where they can't be
    /// told apart.
    pub(super) async fn seconds(
        &self,
        minute: Millis,
    ) -> Result<Option<Vec<(Millis, Totals)>>, Unavailable> {
        let end = minute + MINUTE;
        {
            let counters = self.mirror.counters();
            let since = (self.mirror.now() - SECONDS_KEPT + SLACK).max(counters.seconds_from());
            if minute >= since {
                let seconds = counters.seconds_in(minute, end);
                return Ok(Some(seconds.map(|(at, it)| (at, it.clone())).collect()));
            }
        }
        let known = self.counted(minute, end).await?;
        if known.events() > MOST_OF_MINUTE as u64 {
            return Ok(None);
        }
        let Some(events) = self.events_in(minute, end, MOST_OF_MINUTE + 1).await else {
            return Ok(None);
        };
        let mut seconds: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (at, series, value) in self.delta_of(&events).cells() {
            seconds.entry(bucket(at, SECOND)).or_default().add(series, value);
        }
        let seconds: Vec<_> = seconds.into_iter().collect();
        Ok(same(&sum(&seconds), &known).then_some(seconds))
    }

    /// The events of a span; `None` where the store can't say.
    async fn events_in(&self, from: Millis, to: Millis, limit: usize) -> Option<Vec<StoredEvent>> {
        let asked = EventsAsked { windows: vec![(from, to)], kinds: None, limit };
        match self.events.events(&asked).await {
            Ok(mut windows) => windows.pop(),
            Err(error) => {
                tracing::warn!(%error, "the store can't say which events a minute had");
                None
            }
        }
    }

    /// What these events add to the counters by the rules of today.
    fn delta_of(&self, events: &[StoredEvent]) -> Delta {
        let mut aggregator = Aggregator::new(self.metric_set.clone(), usize::MAX);
        let mut sum = DeltaSum::default();
        for event in events {
            // Postgres has an order of properties of its own, and the label is looked for at the beginning.
            let properties = bot::labelled(Cow::Borrowed(&event.properties), &event.kind, false);
            let row = Row {
                time: event.time,
                received_at: event.time,
                id: &event.id,
                kind: &event.kind,
                properties: &properties,
                ..Row::default()
            };
            aggregator.add(&mut sum, &row);
        }
        sum.finish()
    }

    /// How many visitors were active at `as_of`; `None` where it is not known.
    pub(super) async fn active_users(&self, as_of: Millis) -> Result<Option<u64>, Unavailable> {
        Ok(match self.active(as_of).await? {
            ActiveThen::Known(active, _) => Some(active),
            ActiveThen::Unknown(_) => None,
        })
    }

    /// The numbers of now.
    pub(super) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Who was active at `as_of`.
    async fn active(&self, as_of: Millis) -> Result<ActiveThen, Unavailable> {
        let from = as_of - self.mirror.active_window_s() as Millis * SECOND;
        let asked = |from, until, users| VisitorsAsked { from, until, users };
        let Some(seen) = self.past.visitors(&*self.events, &asked(from, as_of, None)).await? else {
            return Ok(ActiveThen::Unknown(WhyUnknown::TooMany));
        };
        if seen.is_empty() {
            let first = bucket(from + MINUTE - 1, MINUTE);
            let had_some = self.counted(first, bucket(as_of, MINUTE)).await?.events() > 0;
            let has_some = self.events_in(from, as_of, 1).await.is_some_and(|it| !it.is_empty());
            return Ok(match had_some && !has_some {
                true => ActiveThen::Unknown(WhyUnknown::NotKept),
                false => ActiveThen::Known(0, false),
            });
        }
        let lone = visitors::lone_users(&seen);
        if lone.is_empty() {
            return Ok(ActiveThen::Known(visitors::count(&seen, &[]), false));
        }
        let before = asked(as_of - LINKED_FOR, from, Some(lone));
        let before = self.past.visitors(&*self.events, &before).await?;
        let active = visitors::count(&seen, before.as_deref().unwrap_or_default());
        Ok(ActiveThen::Known(active, before.is_none()))
    }
}

/// The sum of some buckets.
pub(super) fn sum<'a>(buckets: impl IntoIterator<Item = &'a (Millis, Totals)>) -> Totals {
    let mut all = Totals::default();
    buckets.into_iter().for_each(|(_, totals)| all.merge(totals));
    all
}

/// Whether two sums are the same; a series that is not there is 0.
fn same(a: &Totals, b: &Totals) -> bool {
    let some = |totals: &Totals| -> Vec<_> {
        let all = totals.iter().filter(|(_, value)| *value != 0);
        all.map(|(series, value)| (series.clone(), value)).collect()
    };
    some(a) == some(b)
}
