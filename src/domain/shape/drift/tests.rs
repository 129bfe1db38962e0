//! Tests of what counts as drift: changes that are found, and ordinary days in which nothing is.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const RULE: DriftRule = DriftRule { min_events: 30, from: 0.9, to: 0.5 };
/// Midnight of some day.
const START: Millis = 20_000 * DAY;

fn stretch(at: Millis, events: u64, of: JsonType, hits: u64) -> Stretch {
    let mut types = TypeCounts::default();
    types.0[of as usize] = hits;
    Stretch { at, events, types }
}

/// Minutes with so many events each, of which those before `change` have a number, and later ones `later`.
fn shop(minutes: i64, events: u64, change: i64, later: Option<JsonType>) -> Vec<Stretch> {
    (0..minutes)
        .map(|minute| match (minute < change, later) {
            (true, _) => stretch(START + minute * MINUTE, events, JsonType::Number, events),
            (false, Some(of)) => stretch(START + minute * MINUTE, events, of, events),
            (false, None) => stretch(START + minute * MINUTE, events, JsonType::Null, 0),
        })
        .collect()
}

fn look(stretches: &[Stretch]) -> Option<Drift> {
    let now = stretches.last().unwrap().at + MINUTE;
    drift_of(stretches, Some(START), now, &RULE)
}

#[test]
fn a_property_that_vanishes_is_found_within_minutes_with_its_time() {
    let at = |minutes| look(&shop(minutes, 40, 120, None));
    assert_eq!((at(120), at(121)), (None, None), "a minute says nothing");
    let drift = at(122).unwrap();
    assert_eq!((drift.since, drift.lost), (START + 120 * MINUTE, Lost::Property));
    assert_eq!((drift.before, drift.after, drift.events, drift.now), (1.0, 0.0, 80, None));
    let drift = at(300).unwrap();
    assert_eq!((drift.since, drift.events), (START + 120 * MINUTE, 180 * 40));
}

#[test]
fn a_value_of_another_type_is_found_and_null_counts_as_missing() {
    let drift = look(&shop(200, 40, 120, Some(JsonType::String))).unwrap();
    assert_eq!(drift.lost, Lost::Type(JsonType::Number));
    assert_eq!((drift.since, drift.now), (START + 120 * MINUTE, Some(JsonType::String)));
    let drift = look(&shop(200, 40, 120, Some(JsonType::Null))).unwrap();
    assert_eq!((drift.lost, drift.now), (Lost::Property, None));
}

#[test]
fn a_small_shop_is_told_once_there_are_enough_orders() {
    // Two orders an hour; the property is missing from the 100th hour on.
    let hour = |hour: i64| {
        stretch(START + hour * HOUR, 2, JsonType::Number, if hour < 100 { 2 } else { 0 })
    };
    let at = |hours: i64| {
        let stretches: Vec<_> = (0..hours).map(hour).collect();
        drift_of(&stretches, None, START + hours * HOUR, &RULE)
    };
    assert_eq!(at(114), None);
    assert_eq!(at(115).unwrap().since, START + 100 * HOUR);
}

#[test]
fn what_is_over_does_not_begin_to_fire_and_what_is_back_is_told() {
    let mut stretches = shop(200, 40, 120, None);
    let now = START + 200 * MINUTE;
    let stands = |stretches: &[Stretch], lost, now| standing(stretches, lost, 1.0, now, &RULE);
    assert_eq!(stands(&stretches, Lost::Property, now), Standing::Away);
    for stretch in &mut stretches[196..] {
        stretch.types = TypeCounts([0, 40, 0, 0, 0, 0]);
    }
    assert_eq!(look(&stretches), None);
    assert_eq!(stands(&stretches, Lost::Property, now), Standing::Back);
    assert_eq!(stands(&stretches, Lost::Type(JsonType::String), now), Standing::Away);
    assert_eq!(stands(&stretches, Lost::Property, now + 2 * DAY), Standing::Unknown);
}

#[test]
fn what_has_changed_a_day_ago_is_the_new_normal() {
    // By hours, then by minutes, as the store has it.
    let gone = START + 5 * DAY;
    let at = |now: Millis| {
        let hours = (START..now - HOUR).step_by(HOUR as usize).map(|at| (at, 2_400));
        let minutes = (now - HOUR..now).step_by(MINUTE as usize).map(|at| (at, 40));
        let stretches: Vec<_> = hours
            .chain(minutes)
            .map(|(at, events)| {
                stretch(at, events, JsonType::Number, if at < gone { events } else { 0 })
            })
            .collect();
        drift_of(&stretches, None, now, &RULE)
    };
    for hours in 1..23 {
        assert_eq!(at(gone + hours * HOUR).unwrap().since, gone, "hour {hours}");
    }
    for hours in 23..72 {
        assert_eq!(at(gone + hours * HOUR), None, "hour {hours}");
    }
}

#[test]
fn what_was_never_usual_does_not_drift() {
    // A campaign that a fifth of the events name ends.
    let mut stretches = shop(200, 40, 120, None);
    stretches.iter_mut().for_each(|it| it.types.0[1] /= 5);
    assert_eq!(look(&stretches), None);
    // At night another part of the shop sends the same type without it, each day.
    let day = |hour: i64| if hour % 24 < 16 { 40 } else { 0 };
    let hours: Vec<_> =
        (0..190).map(|n| stretch(START + n * HOUR, 40, JsonType::Number, day(n))).collect();
    for until in 30..hours.len() {
        let now = START + until as Millis * HOUR;
        assert_eq!(drift_of(&hours[..until], None, now, &RULE), None, "hour {until}");
    }
}

#[test]
fn the_time_before_a_property_came_is_no_time_in_which_it_was_missing() {
    let mut stretches = shop(300, 40, 250, None);
    for stretch in &mut stretches[..150] {
        stretch.types = TypeCounts::default();
    }
    let now = START + 300 * MINUTE;
    assert_eq!(drift_of(&stretches, None, now, &RULE), None);
    let first = Some(START + 150 * MINUTE);
    assert_eq!(drift_of(&stretches, first, now, &RULE).unwrap().since, START + 250 * MINUTE);
}

/// A week of a shop by hours, then a day by minutes, with a rate that goes up and down with the day. A part
/// of the events has the property, each by chance.
fn ordinary(random: &mut StdRng, per_minute: f64, share: f64) -> Vec<Stretch> {
    let mut draw = |at: Millis, minutes: f64| {
        let day = (at % DAY) as f64 / DAY as f64;
        let rate = per_minute * minutes * (1.0 + 0.9 * (day * std::f64::consts::TAU).sin());
        let events = (rate + rate.sqrt() * (random.random::<f64>() * 4.0 - 2.0)).max(0.0) as u64;
        let hits = (0..events).filter(|_| random.random::<f64>() < share).count();
        stretch(at, events, JsonType::String, hits as u64)
    };
    let mut stretches: Vec<_> = (0..7 * 24).map(|hour| draw(START + hour * HOUR, 60.0)).collect();
    let today = START + 7 * DAY;
    stretches.extend((0..24 * 60).map(|minute| draw(today + minute * MINUTE, 1.0)));
    stretches
}

#[test]
fn ordinary_days_fire_nothing() {
    let mut random = StdRng::seed_from_u64(7);
    for per_minute in [0.05, 0.5, 3.0, 40.0] {
        for share in [0.9, 0.93, 0.97, 0.999, 1.0] {
            let stretches = ordinary(&mut random, per_minute, share);
            for until in (7 * 24 + 1..stretches.len()).step_by(3) {
                let now = stretches[until - 1].at + MINUTE;
                let drift = drift_of(&stretches[..until], None, now, &RULE);
                assert_eq!(drift, None, "{per_minute} events a minute, share {share}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_counts_are_judged_without_a_panic_and_a_drift_keeps_its_rule(
        cells in proptest::collection::vec((0..4i64, 0..90u64, 0..90u64, 0..6usize), 0..40),
        now in 0..100i64,
    ) {
        let (mut at, mut stretches) = (START, Vec::new());
        for (gap, events, hits, of) in cells {
            at += gap * MINUTE + 1;
            stretches.push(stretch(at, events, JsonType::ALL[of], hits.min(events)));
        }
        if let Some(drift) = drift_of(&stretches, None, START + now * MINUTE, &RULE) {
            prop_assert!(drift.before >= RULE.from && drift.after <= RULE.to * drift.before / RULE.from);
            prop_assert!(drift.events >= RULE.min_events);
        }
    }
}
