//! Tests of how sketches are put together.

use super::*;
use crate::domain::{
    aggregate::visitor_of,
    delta::{DeltaSum, UserLink},
};

const DAY_START: Millis = 1_795_392_000_000;

fn at(minutes: Millis) -> Millis {
    DAY_START + minutes * MINUTE
}

/// What is stored after these deltas were folded one after the other, with these days added up before.
fn stored(
    deltas: &[Delta],
    days: &[(Millis, Millis)],
) -> BTreeMap<(Millis, Millis, String), Vec<u8>> {
    let mut stored: BTreeMap<(Millis, Millis, String), Vec<u8>> = BTreeMap::new();
    for delta in deltas {
        let mut sums = SketchSums::default();
        sums.add(delta);
        assert!(sums.bytes() > 0);
        for kept in sums.finish(days) {
            let key = (kept.span, kept.at, kept.name.clone());
            let bytes = kept.onto(stored.get(&key).map(Vec::as_slice)).unwrap();
            stored.insert(key, bytes);
        }
    }
    stored
}

fn counts(
    stored: &BTreeMap<(Millis, Millis, String), Vec<u8>>,
    days: &[(Millis, Millis)],
    asked: &SketchesAsked,
) -> Vec<f64> {
    let mut differing = Differing::new(asked);
    let names = asked.what.names();
    for read in differing.reads(days) {
        let from = (read.span, read.from, String::new());
        for ((span, at, name), bytes) in stored.range(from..(read.span, read.to, String::new())) {
            if names.contains(name) {
                differing.add(name, (*span, *at), bytes).unwrap();
            }
        }
    }
    differing.finish().into_iter().map(|estimate| estimate.count).collect()
}

fn visitors(stretches: &[(Millis, Millis)], by_minute: bool) -> SketchesAsked {
    let stretches = stretches.iter().map(|(from, to)| (at(*from), at(*to))).collect();
    SketchesAsked { what: Distinguished::Visitors, stretches, by_minute }
}

#[test]
fn a_user_and_a_session_are_one_visitor_where_a_span_has_them_together() {
    let (user, phone, laptop) = (visitor_of("u"), visitor_of("phone"), visitor_of("laptop"));
    let mut sum = DeltaSum::default();
    sum.seen_user(user, at(1));
    sum.seen(phone, at(3));
    sum.linked(UserLink { user, session: phone, at: at(3) });
    sum.seen(laptop, at(3));
    sum.seen_user(visitor_of("another"), at(20));
    let stored = stored(&[sum.finish()], &[]);
    let of = |stretches: &[(Millis, Millis)], by_minute| {
        counts(&stored, &[], &visitors(stretches, by_minute))
    };
    assert_eq!(of(&[(0, 15), (15, 30), (30, 45)], false), [2.0, 1.0, 0.0]);
    assert_eq!(of(&[(0, 1), (1, 2), (2, 4), (4, 21)], true), [0.0, 1.0, 2.0, 1.0]);
    assert_eq!(of(&[(0, 5)], true), [2.0]);
    assert_eq!(of(&[(0, 60)], false), [3.0]);
}

#[test]
fn a_visitor_of_two_minutes_of_one_batch_is_in_both() {
    let mut sum = DeltaSum::default();
    for minute in [7, 5, 7, 16] {
        sum.seen(1, at(minute));
    }
    let stored = stored(&[sum.finish()], &[]);
    let asked = visitors(&[(5, 6), (6, 7), (7, 8), (16, 17)], true);
    assert_eq!(counts(&stored, &[], &asked), [1.0, 0.0, 1.0, 1.0]);
    assert_eq!(counts(&stored, &[], &visitors(&[(0, 15), (15, 30)], false)), [1.0, 1.0]);
}

#[test]
fn days_that_were_added_up_say_the_same_and_take_in_what_comes_late() {
    let day = |minute: Millis, of: u64| {
        let mut sum = DeltaSum::default();
        (0..of).for_each(|n| sum.distinct("sessions", at(minute), n));
        sum.finish()
    };
    let days = [(DAY, at(0)), (DAY, at(24 * 60))];
    let deltas = [day(5, 30), day(600, 50), day(24 * 60 + 7, 20), day(49 * 60, 3)];
    let with_days = stored(&deltas, &days);
    let stretches =
        vec![(at(0), at(24 * 60)), (at(24 * 60), at(48 * 60)), (at(48 * 60), at(72 * 60))];
    let what = Distinguished::Metric("sessions".into());
    let asked = SketchesAsked { what, stretches, by_minute: false };
    assert_eq!(counts(&with_days, &days, &asked), [50.0, 20.0, 3.0]);
    let by_quarters = stored(&deltas, &[]);
    assert_eq!(counts(&by_quarters, &[], &asked), [50.0, 20.0, 3.0]);
    // A day that reaches over the end of a stretch is not read, nor is one of another zone.
    let half = SketchesAsked { stretches: vec![(at(0), at(300)), (at(300), at(72 * 60))], ..asked };
    let others = [(DAY, at(0)), (DAY, at(60)), (DAY, at(24 * 60))];
    let with_others = stored(&deltas, &others);
    assert_eq!(counts(&with_others, &others, &half), [30.0, 50.0]);
}

#[test]
fn days_in_a_row_are_one_read() {
    let days: Vec<_> = (0..365).map(|day| (DAY, at(day * 24 * 60))).collect();
    let stretches = days.iter().map(|(_, at)| (*at, at + DAY)).collect();
    let what = Distinguished::Visitors;
    let mut differing = Differing::new(&SketchesAsked { what, stretches, by_minute: false });
    assert_eq!(differing.reads(&days).len(), 1);
    assert_eq!(differing.reads(&days[..100]).len(), 2);
}

#[test]
fn what_was_made_anew_is_known_before_the_beginning() {
    let since = SketchedSince { complete: Some(100), rebuilt: vec![(20, 40), (40, 60)] };
    assert!(since.covers(100, 200) && since.covers(20, 60) && since.covers(30, 50));
    assert!(!since.covers(90, 110) && !since.covers(10, 30) && !since.covers(50, 70));
    assert!(SketchedSince::default().covers(0, 10));
}
