//! What is true now: today's totals, as `GET /api/analytics/current` answers and a snapshot
//! repeats them, and the last seconds and minutes, as a snapshot shows them. All of it comes from
//! the mirror.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::{
    domain::{
        access::Sight,
        aggregate::OVERFLOW,
        delta::Series,
        metric::{Metric, SeriesSums, Value},
        money::Amount,
        time::{BusinessDay, MINUTE, Millis, SECOND, bucket},
        totals::Totals,
    },
    live::counters::Counters,
    numbers::Mirror,
};

/// The event type counted as a page view.
const PAGE_VIEW: &str = "page_view";
/// The event type counted as a purchase.
const PURCHASE: &str = "purchase";
/// The event type counted as an error.
const ERROR: &str = "error";
/// The key of `counts` under which the events are that no type's own counter counts.
pub(super) const OTHER: &str = "other";
/// The event type counted as a signup.
const SIGNUP: &str = "signup";

/// What `GET /api/analytics/current` answers, and the core of a snapshot. Its events are those of people;
/// what bots sent is in the metric `bots`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// Events of type `page_view`, today.
    pub page_views: u64,
    /// Events of type `purchase`, today.
    pub purchases: u64,
    /// Sum of the purchases' amounts, today.
    pub revenue: Amount,
    /// Events of type `error`, today.
    pub errors: u64,
    /// Events of type `signup`, today.
    pub signups: u64,
    /// Events of every type, today.
    pub events: u64,
    /// `errors / events`; 0 without events.
    pub error_rate: f64,
    /// Every metric of the configuration, by name, today; null where it has no value.
    #[serde(serialize_with = "metrics")]
    pub metrics: Vec<(String, Value)>,
    /// Money metrics in the currencies that amounts came in: `{metric: {code: sum}}`. Sums
    /// in a currency without a rate are only here.
    pub currencies: BTreeMap<String, BTreeMap<String, Amount>>,
    /// By metric, how many of today's events it leaves out, since it can't add them: their currency has no
    /// rate, or the property is no number. A ratio leaves them out on both sides. Metrics that leave
    /// nothing out are not named, and the field is left out where there is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Events by type, today. `other` has the events of types without counters of their own, too.
    #[serde(serialize_with = "counts")]
    pub counts: Totals,
    /// How many of the events in `counts.other` are of types without counters of their own; left out while
    /// there are none.
    #[serde(skip_serializing_if = "is_none")]
    pub overflow: u64,
    /// Distinct visitors of the window; null where they are not known, as of some moments of the past.
    pub active_users: Option<u64>,
    /// Whether `active_users` is an estimate (standard error 0.8 %), since the visitors are more
    /// than their share of memory has room for; left out while the number is exact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub active_users_approximate: bool,
    /// The window of `active_users`.
    pub active_users_window_seconds: u64,
    /// The business day that "today" is, `2026-11-27`.
    pub day: String,
    /// IANA name of the business time zone.
    pub timezone: String,
    /// The currency of `revenue`, such as `EUR`.
    pub currency: String,
    /// The moment of these numbers, Unix ms.
    pub timestamp: Millis,
    /// How old the numbers are, in ms; left out while they are fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
    /// The metrics that are hidden from who reads this: `revenue` is then 0, the others are null, and
    /// `currencies` is empty. Left out where nothing is hidden.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

impl Current {
    /// What somebody sees of the totals of the business day that `now` (Unix ms) falls on. `counters` are
    /// the mirror's; the caller passes them because it may have locked them already.
    pub fn of(mirror: &Mirror, counters: &Counters, now: Millis, sight: Sight) -> Current {
        let (day, totals) = today(counters, now);
        let distinct = mirror.distinct();
        // Just after midnight the distinct values are still yesterday's, and are left out.
        let distinct = (distinct.0 == day.date).then_some(&distinct.1);
        Current {
            active_users: Some(mirror.active_users()),
            active_users_approximate: mirror.active_users_approximate(),
            behind_ms: mirror.freshness().behind_ms(now),
            ..Current::at(mirror, (day, totals), distinct, now, sight)
        }
    }

    /// What somebody sees of the totals of a business day up to the moment `at` (Unix ms), with its distinct
    /// values where these are known. Who is active is for the caller to say.
    pub(super) fn at(
        mirror: &Mirror,
        (day, totals): (BusinessDay, Totals),
        distinct: Option<&BTreeMap<String, u64>>,
        at: Millis,
        sight: Sight,
    ) -> Current {
        let metrics = metrics_of(mirror, &totals, distinct, sight);
        let left_out = left_out_of(mirror, &totals, sight);
        let currencies = if sight.sees_money() { totals.currencies() } else { BTreeMap::new() };
        let events = totals.events();
        let errors = totals.count(ERROR);
        Current {
            page_views: totals.count(PAGE_VIEW),
            purchases: totals.count(PURCHASE),
            revenue: revenue_of(&totals, sight),
            errors,
            signups: totals.count(SIGNUP),
            events,
            error_rate: errors as f64 / events.max(1) as f64,
            metrics,
            currencies,
            left_out,
            overflow: totals.count(OVERFLOW),
            counts: totals,
            active_users: None,
            active_users_approximate: false,
            active_users_window_seconds: mirror.active_window_s(),
            day: day.date.to_string(),
            timezone: mirror.zone().name().to_owned(),
            currency: mirror.metric_set().rates().base().to_owned(),
            timestamp: at,
            behind_ms: None,
            hidden: mirror.metric_set().hidden(sight),
        }
    }
}

/// What somebody sees of the revenue: 0 where it is hidden.
pub fn revenue_of(totals: &Totals, sight: Sight) -> Amount {
    if sight.sees_money() { totals.revenue() } else { Amount(0) }
}

/// The business day of `now` (Unix ms) and its totals so far.
pub fn today(counters: &Counters, now: Millis) -> (BusinessDay, Totals) {
    let day = counters.zone().day_of(now);
    (day, counters.day(day.date).cloned().unwrap_or_default())
}

/// The totals of the last `n` seconds, oldest first, empty ones included; the last second is the
/// one in progress at `now`.
pub fn last_seconds(counters: &Counters, now: Millis, n: usize) -> Vec<(Millis, Totals)> {
    last(now, SECOND, n, |from, to| counters.seconds_in(from, to))
}

/// The totals of the last `n` minutes, oldest first, empty ones included; the last minute is the
/// one in progress at `now`.
pub fn last_minutes(counters: &Counters, now: Millis, n: usize) -> Vec<(Millis, Totals)> {
    last(now, MINUTE, n, |from, to| counters.minutes_in(from, to))
}

/// `n` buckets of a width, of which `held` gives those that are not empty.
fn last<'a, I: Iterator<Item = (Millis, &'a Totals)>>(
    now: Millis,
    width: Millis,
    n: usize,
    held: impl Fn(Millis, Millis) -> I,
) -> Vec<(Millis, Totals)> {
    let end = bucket(now, width) + width;
    let from = end - n as Millis * width;
    let mut all: Vec<_> =
        (from..end).step_by(width as usize).map(|start| (start, Totals::default())).collect();
    for (start, totals) in held(from, end) {
        all[((start - from) / width) as usize].1 = totals.clone();
    }
    all
}

/// Every metric of the configuration, of one business day, as somebody sees it.
fn metrics_of(
    mirror: &Mirror,
    totals: &Totals,
    distinct: Option<&BTreeMap<String, u64>>,
    sight: Sight,
) -> Vec<(String, Value)> {
    let sums = DaySums { totals, distinct };
    let metric_set = mirror.metric_set();
    let value = |metric: &Metric| match metric_set.shows(sight, &metric.name) {
        true => metric_set.value(metric, &sums),
        false => Value::Unknown,
    };
    metric_set.metrics().iter().map(|metric| (metric.name.clone(), value(metric))).collect()
}

/// How many events each metric leaves out that somebody sees, where there are any.
fn left_out_of(mirror: &Mirror, totals: &Totals, sight: Sight) -> BTreeMap<String, u64> {
    let metric_set = mirror.metric_set();
    let shown = metric_set.metrics().iter().filter(|it| metric_set.shows(sight, &it.name));
    let left_out = shown.map(|it| (it.name.clone(), metric_set.left_out(it, totals)));
    left_out.filter(|(_, events)| *events > 0).collect()
}

/// The sums of one business day, and its distinct values where these are known.
struct DaySums<'a> {
    totals: &'a Totals,
    distinct: Option<&'a BTreeMap<String, u64>>,
}

impl SeriesSums for DaySums<'_> {
    fn series(&self, series: &Series) -> i64 {
        self.totals.series(series)
    }

    fn all_events(&self) -> i64 {
        self.totals.all_events()
    }

    fn distinct(&self, metric: &str) -> Option<i64> {
        Some(self.distinct?.get(metric).map_or(0, |n| *n as i64))
    }
}

/// Metrics as the JSON object `{name: value}`.
fn metrics<S: Serializer>(metrics: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

/// Totals as the JSON object `{type: events}`. What has no counter of its own is counted as [`OTHER`].
pub(crate) fn counts<S: Serializer>(totals: &Totals, serializer: S) -> Result<S::Ok, S::Error> {
    let overflow = totals.count(OVERFLOW);
    if overflow == 0 {
        return serializer.collect_map(totals.counts().filter(|(kind, _)| *kind != OVERFLOW));
    }
    let mut counts: BTreeMap<&str, u64> = totals.counts().collect();
    counts.remove(OVERFLOW);
    *counts.entry(OTHER).or_default() += overflow;
    serializer.collect_map(counts)
}

/// For fields that are left out while they are 0.
pub(super) fn is_none(events: &u64) -> bool {
    *events == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        delta::{Delta, DeltaSum},
        time::{BusinessZone, parse_rfc3339},
    };

    fn one(kind: &str, at: Millis) -> Delta {
        let mut sum = DeltaSum::default();
        sum.count(kind, at);
        sum.finish()
    }

    #[test]
    fn the_last_seconds_are_whole_and_end_with_the_one_in_progress() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut counters = Counters::new(BusinessZone::named("UTC").unwrap());
        for at in [now + SECOND, now, now - 10 * SECOND, now - MINUTE, now - 59 * MINUTE] {
            counters.apply(0, &one("page_view", at), now);
        }
        let seconds = last_seconds(&counters, now, 60);
        assert_eq!(seconds.len(), 60);
        assert_eq!(seconds[59].1.count("page_view"), 1);
        assert_eq!(seconds[49].1.count("page_view"), 1);
        assert_eq!(seconds.iter().map(|(_, totals)| totals.events()).sum::<u64>(), 2);
        let starts = seconds.windows(2).all(|pair| pair[1].0 - pair[0].0 == SECOND);
        assert!(starts && seconds[59].0 == now);

        let minutes = last_minutes(&counters, now, 60);
        let counts: Vec<_> = [0, 58, 59].map(|n: usize| minutes[n].1.events()).into();
        assert_eq!((minutes.len(), counts), (60, vec![1, 1, 3]));
        assert_eq!(minutes[59].0, bucket(now, MINUTE));
    }

    #[test]
    fn today_turns_over_at_the_zones_midnight() {
        let before = parse_rfc3339("2026-11-27T22:59:59Z").unwrap();
        let mut counters = Counters::new(BusinessZone::named("Europe/Berlin").unwrap());
        counters.apply(0, &one("error", before), before);
        assert_eq!(today(&counters, before).1.count("error"), 1);
        let (day, totals) = today(&counters, before + SECOND);
        assert_eq!(day.date.to_string(), "2026-11-28");
        assert!(totals.is_empty());
    }
}
