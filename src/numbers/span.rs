//! The sums of any span of time `[from, to)`: the one definition, wherever the buckets come from.
//!
//! A span is added up from whole minutes, and from the seconds before and after them:
//!
//! ```text
//!        from                                            to
//!         |--seconds--|--minute--|-- … --|--minute--|-sec-|
//! ```
//!
//! The buckets are those of the mirror ([`Counters`]), which has seconds for an hour, or minutes
//! that were read from the rollups ([`Minutes`]), which have none.

use crate::{
    domain::{
        alert::{Against, MetricReader, Operands},
        delta::Series,
        metric::{Metric, MetricSet, SeriesSums},
        time::{MINUTE, Millis, SECOND, bucket},
        top::Top,
        totals::Totals,
    },
    live::counters::{Counters, SECONDS_KEPT},
    numbers::{Baselines, Lateness, Minutes, Shift, breakdown},
};

/// How much (ms) before the mirror forgets a second it is no longer read. From then on the span is
/// read by the minute, since a second may be forgotten while the span is added up.
pub(super) const SLACK: Millis = MINUTE;

/// Where buckets come from.
pub trait Buckets {
    /// The seconds that start in `[from, to)` (Unix ms) and have something, oldest first; none
    /// where only minutes are known.
    fn seconds_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)>;

    /// The minutes that start in `[from, to)` and have something, oldest first.
    fn minutes_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)>;

    /// The most frequent values of a breakdown in the minutes that `[from, to)` touches; nothing
    /// where breakdowns are not known.
    fn top(&self, breakdown: &str, from: Millis, to: Millis) -> Top;
}

impl Buckets for Counters {
    fn seconds_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        Counters::seconds_in(self, from, to)
    }

    fn minutes_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        Counters::minutes_in(self, from, to)
    }

    fn top(&self, breakdown: &str, from: Millis, to: Millis) -> Top {
        breakdown::top_of(self, breakdown, from, to)
    }
}

/// What was counted at the same moment of another day.
pub trait Earlier {
    /// All series of the minutes that start in `[from, to)` (Unix ms), each shifted by itself.
    /// `None` where that is not known.
    fn earlier(&self, shift: Shift, from: Millis, to: Millis) -> Option<Totals>;
}

/// The sums of one span `[from, to)`. Nothing is added up before it is asked for.
pub struct Sums<'a, B> {
    buckets: &'a B,
    from: Millis,
    to: Millis,
}

impl<'a, B: Buckets> Sums<'a, B> {
    /// The sums of `[from, to)` (Unix ms). The span has to begin and end at a second, or at a
    /// minute where the buckets have no seconds.
    pub fn new(buckets: &'a B, from: Millis, to: Millis) -> Sums<'a, B> {
        Sums { buckets, from, to }
    }

    /// How much of the span lies in minutes that have an event, in ms.
    pub fn covered(&self) -> Millis {
        let Sums { from, to, .. } = *self;
        let minutes = self.buckets.minutes_in(bucket(from, MINUTE), to);
        let lively = minutes.filter(|(_, totals)| totals.events() > 0);
        lively.map(|(start, _)| (start + MINUTE).min(to) - start.max(from)).sum()
    }

    /// The sum of `value` over the seconds and minutes of the drawing at the top of the file.
    fn add_up(&self, value: impl Fn(&Totals) -> i64) -> i64 {
        let Sums { buckets, from, to } = *self;
        let first = bucket(from + MINUTE - 1, MINUTE).min(to);
        let last = bucket(to, MINUTE).max(first);
        let head = buckets.seconds_in(from.min(first), first);
        let minutes = buckets.minutes_in(first, last);
        let tail = buckets.seconds_in(last, to);
        let all = head.chain(minutes).chain(tail);
        // A sum that is too large for its type stays at the limit of the type, as the sums in the
        // buckets do.
        all.fold(0, |sum, (_, totals)| i64::saturating_add(sum, value(totals)))
    }
}

impl<B: Buckets> SeriesSums for Sums<'_, B> {
    fn series(&self, series: &Series) -> i64 {
        self.add_up(|totals| totals.series(series))
    }

    fn all_events(&self) -> i64 {
        self.add_up(SeriesSums::all_events)
    }

    /// Distinct values are known by business day only.
    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}

/// Answers what alerts ask: the sums of any span up to a moment. That moment is now, where the
/// answers come from the mirror and the baselines ([`Spans::live`]), or it lies in the past, where
/// they come from minutes of the rollups ([`Spans::past`]).
pub struct Spans<'a, B, E> {
    metric_set: &'a MetricSet,
    buckets: &'a B,
    earlier: &'a E,
    /// From this moment on (Unix ms) a span may begin and end at any second, before it only at a
    /// minute.
    by_second_since: Millis,
    /// How late events arrive now; `None` where all have arrived.
    lateness: Option<(&'a Lateness, Millis)>,
}

impl<'a> Spans<'a, Counters, Baselines> {
    /// Spans up to `now` (Unix ms).
    pub fn live(
        metric_set: &'a MetricSet,
        counters: &'a Counters,
        baselines: &'a Baselines,
        lateness: &'a Lateness,
        now: Millis,
    ) -> Self {
        let by_second_since = (now - SECONDS_KEPT + SLACK).max(counters.seconds_from());
        let lateness = Some((lateness, now));
        Spans { metric_set, buckets: counters, earlier: baselines, by_second_since, lateness }
    }
}

impl<'a> Spans<'a, Minutes, Minutes> {
    /// Spans up to any moment within these minutes.
    pub fn past(metric_set: &'a MetricSet, minutes: &'a Minutes) -> Self {
        let (by_second_since, lateness) = (Millis::MAX, None);
        Spans { metric_set, buckets: minutes, earlier: minutes, by_second_since, lateness }
    }
}

impl<B: Buckets, E: Earlier> MetricReader for Spans<'_, B, E> {
    fn floor(&self, at: Millis) -> Millis {
        bucket(at, if at >= self.by_second_since { SECOND } else { MINUTE })
    }

    fn late_by(&self, metric: &Metric) -> Millis {
        self.lateness.map_or(0, |(lateness, now)| {
            lateness.of(&self.metric_set.parts(&metric.name).series, now)
        })
    }

    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Operands> {
        Operands::read(self.metric_set, metric, &Sums::new(self.buckets, from, to))
    }

    fn covered(&self, from: Millis, to: Millis) -> Millis {
        Sums::new(self.buckets, from, to).covered()
    }

    fn past(
        &self,
        metric: &Metric,
        against: Against,
        from: Millis,
        to: Millis,
    ) -> Option<Operands> {
        let totals = self.earlier.earlier(Shift::of(against)?, from, to)?;
        Operands::read(self.metric_set, metric, &totals)
    }

    fn values(&self, breakdown: &str, from: Millis, to: Millis) -> Top {
        self.buckets.top(breakdown, from, to)
    }

    fn events(&self, kind: &str, from: Millis, to: Millis) -> i64 {
        Sums::new(self.buckets, from, to).series(&Series::Count(kind.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        delta::DeltaSum,
        time::{BusinessZone, HOUR, parse_rfc3339},
    };

    proptest! {
        /// The same events make the same sums, whether the mirror has them or the rollups do, and
        /// by the second they make what was sent.
        #[test]
        fn the_mirror_and_the_past_agree(
            events in proptest::collection::vec(("[ab]", 0..7_200i64), 0..100),
            (from, to) in (0..120i64, 0..121i64),
            (from_second, to_second) in (0..3_000i64, 0..3_000i64),
        ) {
            let now = parse_rfc3339("2026-11-27T14:00:00Z").unwrap();
            let zone = BusinessZone::named("UTC").unwrap();
            let mut counters = Counters::new(zone.clone());
            for (kind, second) in &events {
                let mut sum = DeltaSum::default();
                sum.count(kind, now - second * SECOND);
                counters.apply(0, &sum.finish(), now);
            }
            let minutes = counters.minutes().map(|(at, totals)| (at, totals.clone())).collect();
            let past = Minutes::new(zone, minutes);
            let a = Series::Count("a".into());

            let (begin, end) = (now - from * MINUTE, now - to * MINUTE);
            let (live, past) = (Sums::new(&counters, begin, end), Sums::new(&past, begin, end));
            prop_assert_eq!(live.series(&a), past.series(&a));
            prop_assert_eq!(live.all_events(), past.all_events());
            prop_assert_eq!(live.covered(), past.covered());

            let (begin, end) = (now - from_second * SECOND, now - to_second * SECOND);
            let sent = |it: &&(String, i64)| (begin..end).contains(&(now - it.1 * SECOND));
            let sent = events.iter().filter(sent).count() as i64;
            prop_assert_eq!(Sums::new(&counters, begin, end).all_events(), sent);
        }
    }

    #[test]
    fn a_span_is_its_seconds_and_minutes_each_once() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut counters = Counters::new(BusinessZone::named("UTC").unwrap());
        for second in 0..=300 {
            let mut sum = DeltaSum::default();
            sum.count("page_view", now - second * SECOND);
            counters.apply(0, &sum.finish(), now);
        }
        let views = Series::Count("page_view".into());
        for (from, to) in [(300, 0), (299, 1), (45, 5), (45, 29), (30, 29), (91, 30), (7, 7)] {
            let (from, to) = (now - from * SECOND, now - to * SECOND);
            let sums = Sums::new(&counters, from, to);
            assert_eq!(sums.series(&views), (to - from) / SECOND, "{from} {to}");
            assert_eq!(sums.all_events(), (to - from) / SECOND, "{from} {to}");
        }
        let covered = |from, to| Sums::new(&counters, from, to).covered();
        assert_eq!(covered(now - HOUR, now), 5 * MINUTE + 30 * SECOND);
        assert_eq!(covered(now - 20 * SECOND, now - 5 * SECOND), 15 * SECOND);
        // A span that ends before it begins holds nothing.
        let none = Sums::new(&counters, now, now - 90 * SECOND);
        assert_eq!((none.all_events(), none.covered()), (0, 0));
    }
}
