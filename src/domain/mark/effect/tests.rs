//! Effects of marks are found where they are, and not where chance or the hour of the day made them.

use super::*;

const NOON: Millis = 1_795_521_600_000;

fn side(of: f64, per: Option<f64>, minutes: i64) -> MarkSide {
    MarkSide { parts: Operands { of, per }, length: minutes * MINUTE }
}

/// An hour before and an hour since.
fn hours(before: (f64, Option<f64>), since: (f64, Option<f64>)) -> MarkSides {
    let of = |(of, per)| side(of, per, 60);
    MarkSides { before: of(before), since: of(since) }
}

#[test]
fn the_windows_end_at_other_marks_and_are_whole_minutes() {
    let of = |end, others| MarkWindows::of(NOON + 30_000, end, others, false);
    assert_eq!(of(NOON + 5 * MINUTE, (None, None)), None, "too early");
    let an_hour = of(NOON + HOUR + 59_000, (None, None)).unwrap();
    assert_eq!(an_hour.before, (NOON - HOUR, NOON));
    assert_eq!(an_hour.since, (NOON + MINUTE, NOON + HOUR));
    let earlier = NOON - 20 * MINUTE + 1;
    let between = of(NOON + DAY, (Some(earlier), Some(NOON + 2 * HOUR))).unwrap();
    assert_eq!(between.before, (NOON - 19 * MINUTE, NOON));
    assert_eq!(between.since.1, NOON + 2 * HOUR);
    let long = of(NOON + 9 * DAY, (None, None)).unwrap();
    assert_eq!(long.since.1 - long.since.0, DAY);
    assert!(long.has_other_days());
    let ratio = MarkWindows::of(NOON, NOON + 9 * DAY, (None, None), true).unwrap();
    assert!(!ratio.has_other_days() && ratio.since.1 - ratio.since.0 == 3 * DAY);
}

#[test]
fn a_fall_of_conversion_is_found_without_other_days_and_the_shape_of_the_day_is_not_one() {
    let before = (3_000.0, Some(150_000.0));
    let fell = judge_counted(&hours(before, (2_400.0, Some(150_000.0))), &[]);
    assert_eq!(fell.verdict, EffectVerdict::Lower);
    // A tenth less may be the hour of the day.
    let hour = judge_counted(&hours(before, (2_700.0, Some(150_000.0))), &[]);
    assert!(hour.sigma.unwrap() < -SURE && hour.verdict == EffectVerdict::None, "{hour:?}");
    // On other days it is not so at this hour.
    let steady = vec![hours(before, (3_010.0, Some(150_000.0))); 7];
    let known = judge_counted(&hours(before, (2_700.0, Some(150_000.0))), &steady);
    assert_eq!(known.verdict, EffectVerdict::Lower);
    let few = judge_counted(&hours((30.0, Some(1_500.0)), (24.0, Some(1_500.0))), &[]);
    assert_eq!(few.verdict, EffectVerdict::Unknown);
}

#[test]
fn a_rise_from_zero_is_one_although_no_share_of_zero_says_how_large_it_is() {
    let risen = judge_counted(&hours((0.0, Some(5_000.0)), (400.0, Some(5_000.0))), &[]);
    assert_eq!((risen.verdict, risen.was), (EffectVerdict::Higher, Some(0.0)), "{risen:?}");
    let by_chance = judge_counted(&hours((0.0, Some(5_000.0)), (2.0, Some(5_000.0))), &[]);
    assert_eq!(by_chance, JudgedEffect::UNKNOWN);
    let nothing = judge_counted(&hours((0.0, Some(5_000.0)), (0.0, Some(5_000.0))), &[]);
    assert_eq!(nothing, JudgedEffect::UNKNOWN);
}

#[test]
fn counts_are_compared_with_how_they_grow_on_other_days() {
    let today = hours((1_000.0, None), (2_000.0, None));
    assert_eq!(judge_counted(&today, &[]), JudgedEffect::UNKNOWN);
    let morning = vec![hours((500.0, None), (1_000.0, None)); 7];
    let grown = judge_counted(&today, &morning);
    assert_eq!(grown.verdict, EffectVerdict::None, "{grown:?}");
    let flat = vec![hours((500.0, None), (500.0, None)); 7];
    assert_eq!(judge_counted(&today, &flat).verdict, EffectVerdict::Higher);
    // Where the days themselves differ by as much, it is no effect.
    let wild: Vec<MarkSides> = [250.0, 1_000.0, 400.0, 900.0, 300.0, 800.0, 500.0]
        .map(|since| hours((500.0, None), (since, None)))
        .to_vec();
    assert_ne!(judge_counted(&today, &wild).verdict, EffectVerdict::Higher);
}

#[test]
fn amounts_are_compared_with_how_far_days_are_apart() {
    let days: Vec<MarkSides> = [980.0, 1_010.0, 1_000.0, 1_030.0, 990.0, 1_000.0, 1_020.0]
        .map(|since| hours((1_000.0, None), (since, None)))
        .to_vec();
    let judged = |since| judge_by_days(&hours((2_000.0, None), (since, None)), &days);
    assert_eq!(judged(1_600.0).verdict, EffectVerdict::Lower);
    assert_eq!(judged(2_020.0).verdict, EffectVerdict::None);
    assert_eq!(judge_by_days(&days[0], &days[..3]), JudgedEffect::UNKNOWN);
}
