//! Breakdowns: the most frequent values of a property over a span of time. The last 24 hours are in the
//! mirror, and what was before in the store. How much each count may be too low is part of the answer
//! ([`Top::error`]).

use crate::{
    domain::{
        metric::{Breakdown, MISSING, SeriesSums, Tallied},
        time::{DAY, MINUTE, Millis, bucket},
        top::{Top, TopAnswer},
    },
    live::counters::Counters,
    numbers::{Mirror, Past, Sums, Unavailable},
    store::{breakdowns::TopsAsked, rollup::Summed},
};

/// A breakdown of all events of its type in some minutes: their number, or the sum of a metric (1/10,000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenDown {
    /// The values that make up most of it.
    pub top: Top,
    /// What of it is of events that have no value: the property is absent, null, an object or an array.
    pub missing: u64,
    /// All of it.
    pub total: u64,
}

/// The most frequent values of the breakdown `name` in the minutes that `[from, to)` (Unix ms)
/// touches, all lanes together: at most [`ANSWERED`](crate::domain::top::ANSWERED) of them.
pub fn top_of(counters: &Counters, name: &str, from: Millis, to: Millis) -> Top {
    let (first, end) = (bucket(from, MINUTE), bucket(to.max(from) + MINUTE - 1, MINUTE));
    let mut sum = TopAnswer::default();
    counters.tops_of(name, first, end).for_each(|top| sum.add(top));
    sum.finish()
}

/// A breakdown in the last minutes, and its values in as many minutes before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoSpans {
    /// The last minutes, the one in progress included.
    pub now: BrokenDown,
    /// The values of the minutes before.
    pub before: Top,
}

/// A breakdown in the last `minutes` minutes, the one in progress included.
pub fn of_last(mirror: &Mirror, breakdown: &Breakdown, minutes: i64) -> BrokenDown {
    let to = bucket(mirror.now(), MINUTE) + MINUTE;
    held_between(&mirror.counters(), breakdown, to - minutes * MINUTE, to)
}

/// The same, and as many minutes before.
pub fn of_two_spans(mirror: &Mirror, breakdown: &Breakdown, minutes: i64) -> TwoSpans {
    let to = bucket(mirror.now(), MINUTE) + MINUTE;
    let from = to - minutes * MINUTE;
    let counters = mirror.counters();
    TwoSpans {
        now: held_between(&counters, breakdown, from, to),
        before: top_of(&counters, &breakdown.name, from - minutes * MINUTE, from),
    }
}

/// The same of the minutes up to `end` (Unix ms, a full minute), however long ago they are.
///
/// # Errors
/// The store does not answer in time.
pub async fn of_two_spans_until(
    mirror: &Mirror,
    past: &Past,
    breakdown: &Breakdown,
    minutes: i64,
    end: Millis,
) -> Result<TwoSpans, Unavailable> {
    let (tallied, from) = (breakdown.counted(), end - minutes * MINUTE);
    let now = between(mirror, past, &tallied, (from, end)).await?;
    let before = between(mirror, past, &tallied, (from - minutes * MINUTE, from)).await?;
    Ok(TwoSpans { now, before: before.top })
}

/// All of it is read under one lock, so that the values are never more than the total.
fn held_between(
    counters: &Counters,
    breakdown: &Breakdown,
    from: Millis,
    to: Millis,
) -> BrokenDown {
    let sums = Sums::new(counters, from, to);
    BrokenDown {
        top: top_of(counters, &breakdown.name, from, to),
        missing: top_of(counters, &breakdown.missing(), from, to).count(MISSING),
        total: sums.series(&breakdown.all()).max(0) as u64,
    }
}

/// What the mirror has added up by value in the last `minutes` minutes, the one in progress included.
pub fn tallied_last(mirror: &Mirror, tallied: &Tallied, minutes: i64) -> BrokenDown {
    let to = bucket(mirror.now(), MINUTE) + MINUTE;
    let from = to - minutes * MINUTE;
    let counters = mirror.counters();
    BrokenDown {
        top: top_of(&counters, &tallied.values, from, to),
        missing: top_of(&counters, &tallied.missing, from, to).count(MISSING),
        total: Sums::new(&*counters, from, to).series(&tallied.all).max(0) as u64,
    }
}

/// A breakdown in the minutes that `[from, to)` (Unix ms) touches, however long ago they are.
///
/// # Errors
/// The store does not answer in time.
pub async fn between(
    mirror: &Mirror,
    past: &Past,
    tallied: &Tallied,
    (from, to): (Millis, Millis),
) -> Result<BrokenDown, Unavailable> {
    let (from, to) = (bucket(from, MINUTE), bucket(to + MINUTE - 1, MINUTE));
    // What the mirror has, with the events of the last seconds, is not asked of the store.
    let held = (bucket(mirror.now(), MINUTE) + MINUTE - DAY).clamp(from, to);
    let missing = &tallied.missing;
    let (mut values, mut without, mut total) = (TopAnswer::default(), TopAnswer::default(), 0);
    if from < held {
        let asked = TopsAsked::between(tallied.values.clone(), from, held);
        values = past.tops(&asked).await?;
        without = past.tops(&TopsAsked { breakdown: missing.clone(), ..asked }).await?;
        total =
            past.sums(&[(from, held)], &Summed::One(tallied.all.clone())).await?[0].unwrap_or(0);
    }
    {
        let counters = mirror.counters();
        counters.tops_of(&tallied.values, held, to).for_each(|top| values.add(top));
        counters.tops_of(missing, held, to).for_each(|top| without.add(top));
        let now = Sums::new(&*counters, held, to).series(&tallied.all);
        total = total.saturating_add(now);
    }
    Ok(BrokenDown {
        top: values.finish(),
        missing: without.finish().count(MISSING),
        total: total.max(0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        batch::LANES,
        delta::DeltaSum,
        time::{BusinessZone, DAY, HOUR, parse_rfc3339},
    };

    #[test]
    fn a_breakdown_is_summed_over_its_minutes_and_lanes() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let code = |at: Millis, code: &str| {
            let mut sum = DeltaSum::default();
            sum.top("error/code", at, code, 2);
            sum.top("error/path", at, "/", 1);
            sum.finish()
        };
        let mut counters = Counters::new(BusinessZone::named("UTC").unwrap());
        counters.apply(0, &code(now, "502"), now);
        counters.apply(1, &code(now, "502"), now);
        counters.apply(1, &code(now - MINUTE, "404"), now);
        counters.apply(0, &code(now - 25 * HOUR, "502"), now);
        let of = |from, to| {
            let top = top_of(&counters, "error/code", from, to);
            top.iter().map(|(value, n)| (value.to_owned(), n)).collect::<Vec<_>>()
        };
        assert_eq!(of(now - MINUTE, now), [("404".into(), 2), ("502".into(), 4)]);
        assert_eq!(of(now - MINUTE, bucket(now, MINUTE)), [("404".into(), 2)]);
        assert_eq!(of(now - 30 * HOUR, now - DAY), []);
        assert!(top_of(&counters, "nobody/asked", now - MINUTE, now).is_empty());
        counters.prune(now + DAY + 2 * MINUTE);
        assert_eq!(counters.tops().count(), 0);
    }

    /// Counters of these events: how many minutes ago, in which lane, with which value.
    fn counted(events: &[(i64, u64, String)], now: Millis) -> Counters {
        let mut counters = Counters::new(BusinessZone::named("UTC").unwrap());
        for (minute, lane, value) in events {
            let mut sum = DeltaSum::default();
            sum.top("page_view/path", now - minute * MINUTE, value, 1);
            counters.apply(*lane, &sum.finish(), now);
        }
        counters
    }

    #[test]
    fn values_of_minutes_that_are_not_crowded_are_all_there() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let path = |n| format!("/p/{n}");
        let events: Vec<_> = (0..120).map(|n| (n / 60, n as u64 % LANES, path(n))).collect();
        let top = top_of(&counted(&events, now), "page_view/path", now - 4 * MINUTE, now);
        assert_eq!((top.len(), top.error()), (120, 0));
        assert_eq!(top.largest(100).len(), 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Minutes and lanes of any crowd: counts are never too high, and too low by no more than is
        /// said; they are exact where no minute of a lane has more values than a summary.
        #[test]
        fn an_answer_is_within_its_error(
            values in 1..400u32,
            seeds in proptest::collection::vec((0..15i64, 0..LANES, 0..1_000_000u32), 1..3_000),
        ) {
            let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
            // Low numbers are frequent.
            let value = |seed: u32| format!("/p/{}", (seed % values) * (seed / values % 7) / 6);
            let events: Vec<_> =
                seeds.iter().map(|(minute, lane, seed)| (*minute, *lane, value(*seed))).collect();
            let top = top_of(&counted(&events, now), "page_view/path", now - 15 * MINUTE, now);
            let mut exact: BTreeMap<&str, u64> = BTreeMap::new();
            events.iter().for_each(|(.., value)| *exact.entry(value).or_default() += 1);
            for (value, n) in &exact {
                let kept = top.count(value);
                prop_assert!(kept <= *n && *n - kept <= top.error(), "{}: {} of {}", value, kept, n);
            }
            if values <= 100 {
                prop_assert_eq!((top.error(), top.len()), (0, exact.len()));
            }
        }
    }

    #[test]
    fn an_answer_without_room_says_so() {
        // Ten values a summary that come often, and ninety that nobody else has.
        let tops: Vec<Top> = (0..400)
            .map(|minute| {
                let mut top = Top::default();
                (0..10).for_each(|n| top.add(&format!("/often/{n}"), 20));
                (0..90).for_each(|n| top.add(&format!("/once/{minute}/{n}"), 1));
                top
            })
            .collect();
        let mut sum = TopAnswer::default();
        tops.iter().for_each(|top| sum.add(top));
        let top = sum.finish();
        assert!(top.error() > 0 && top.error() <= 4, "{}", top.error());
        for n in 0..10 {
            let kept = top.count(&format!("/often/{n}"));
            assert!(kept <= 8_000 && 8_000 - kept <= top.error(), "{kept}");
        }
    }
}
