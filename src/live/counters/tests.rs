//! Tests of the counters.

use super::*;
use crate::domain::{delta::DeltaSum, time::parse_rfc3339};

fn counters(zone: &str) -> Counters {
    Counters::new(BusinessZone::named(zone).unwrap())
}

fn one(kind: &str, at: Millis) -> Delta {
    let mut sum = DeltaSum::default();
    sum.count(kind, at);
    sum.finish()
}

#[test]
fn an_event_goes_to_the_buckets_of_its_own_time() {
    let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
    let mut counters = counters("UTC");
    counters.apply(0, &one("page_view", now), now);
    counters.apply(0, &one("page_view", now - 10 * SECOND), now);
    counters.apply(0, &one("page_view", now - 2 * HOUR), now);
    counters.apply(0, &one("page_view", now - 15 * HOUR), now);
    counters.apply(0, &one("page_view", now - 50 * HOUR), now);

    let today = counters.day(counters.zone().day_of(now).date).unwrap();
    assert_eq!(today.count("page_view"), 3);
    let seconds: Vec<_> = counters.seconds_in(now - MINUTE, now + SECOND).collect();
    let starts: Vec<_> = seconds.iter().map(|(start, _)| *start).collect();
    assert_eq!(starts, [now - 10 * SECOND, now]);
    assert!(seconds.iter().all(|(_, totals)| totals.count("page_view") == 1));
    let day = counters.minutes_in(bucket(now, MINUTE) - DAY, now + MINUTE);
    assert_eq!(day.map(|(_, totals)| totals.events()).sum::<u64>(), 4);
}

#[test]
fn what_many_buckets_name_is_held_once() {
    let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
    let mut counters = counters("UTC");
    for back in [0, 1, 2] {
        let at = now - back * MINUTE;
        let mut sum = DeltaSum::default();
        sum.count("error", at);
        sum.top("error/code", at, "E1", 1);
        counters.apply(back as u64, &sum.finish(), now);
    }
    let values: Vec<_> = counters.tops().flat_map(|(.., top)| top.iter()).collect();
    assert_eq!(values.len(), 3);
    assert!(values.iter().all(|(value, _)| value.as_ptr() == values[0].0.as_ptr()));
    let all = counters.seconds().chain(counters.minutes());
    let series: Vec<_> = all.flat_map(|(_, totals)| totals.iter()).collect();
    assert_eq!(series.len(), 6);
    assert!(series.iter().all(|(one, _)| std::ptr::eq(*one, series[0].0)));
}

#[test]
fn at_their_limit_the_oldest_seconds_go_and_minutes_stay() {
    let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
    let limits = CounterLimits { second_sums: 100, ..CounterLimits::default() };
    let mut counters = Counters::within(BusinessZone::named("UTC").unwrap(), limits);
    for back in (0..600).rev() {
        counters.apply(0, &one("error", now - back * SECOND), now);
        assert!(counters.second_sums <= 100);
    }
    let kept: Vec<_> = counters.seconds().map(|(second, _)| second).collect();
    assert!(kept.len() >= 87 && counters.seconds_from() == kept[0]);
    assert_eq!(kept.len(), counters.second_sums);
    assert_eq!(counters.minutes().map(|(_, totals)| totals.events()).sum::<u64>(), 600);
    // What comes late is in no second that is gone, and in its minute all the same.
    counters.apply(0, &one("error", now - 500 * SECOND), now);
    assert_eq!((counters.second_sums, counters.seconds().count()), (kept.len(), kept.len()));
    assert_eq!(counters.minutes().map(|(_, totals)| totals.events()).sum::<u64>(), 601);
    counters.prune(now + 3 * DAY);
    assert_eq!(counters.second_sums, 0);
}

#[test]
fn old_buckets_are_forgotten() {
    let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
    let mut counters = counters("UTC");
    counters.apply(0, &one("error", now), now);
    counters.prune(now + 3 * DAY);
    assert!(counters.seconds.is_empty() && counters.minutes.is_empty() && counters.days.is_empty());
}
