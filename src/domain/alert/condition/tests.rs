//! Conditions of an alert: how they are read and printed, which are refused, and when they hold.

use proptest::prelude::*;

use super::*;

/// The keys of an alert that watches `errors`.
fn spec(keys: &str) -> AlertSpec {
    toml::from_str(&format!("name = 'a'\nmetric = 'errors'\n{keys}")).expect("the keys are known")
}

fn read(keys: &str) -> Conditions {
    Conditions::read(&spec(keys)).expect("the conditions can be used")
}

fn usual(value: f64, sigma: f64) -> Option<Usual> {
    Some(Usual { value, sigma: Some(sigma) })
}

#[test]
fn a_condition_says_what_it_is() {
    for (keys, words) in [
        ("above = 0.02", "at least 0.02"),
        ("below = 5", "at most 5"),
        ("rises = 2.5\nagainst = 'yesterday'", "at least 2.5 x that at the same moment yesterday"),
        (
            "falls = 0.3\nagainst = 'last_week'\nsigma = 6",
            "at most 0.3 x that at the same moment last week and off by 6 standard errors",
        ),
        (
            "above = 1\nrises = 2\nagainst = 'last_hour'\nsigma = 3",
            "at least 1 and at least 2 x that in the hour before and off by 3 standard errors",
        ),
    ] {
        assert_eq!(read(keys).to_string(), words);
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_the_reason() {
    for (keys, why) in [
        ("", "needs one of above, below, rises, falls"),
        ("above = 1\nbelow = 0", "above and rises look up, below and falls down: make two alerts"),
        (
            "falls = 0.5",
            "against: rises, falls and while_holds need last_hour, yesterday or last_week",
        ),
        ("above = 1\nagainst = 'last_hour'", "against: needs rises or falls"),
        ("above = 1\nsigma = 3", "sigma: needs rises or falls"),
        ("rises = 1\nagainst = 'last_hour'", "rises: must be 1.01 to 1000"),
        ("falls = 1\nagainst = 'last_hour'", "falls: must be 0 to 0.99"),
        ("rises = 2\nagainst = 'last_hour'\nsigma = 0.1", "sigma: must be 0.5 to 100"),
        ("above = nan", "above: must be -1000000000000000 to 1000000000000000"),
        ("below = inf", "below: must be -1000000000000000 to 1000000000000000"),
    ] {
        assert_eq!(Conditions::read(&spec(keys)), Err(why.to_owned()), "{keys}");
    }
}

#[test]
fn the_strictest_line_is_the_threshold() {
    let both = read("above = 10\nrises = 2\nagainst = 'last_hour'");
    let judged = |value, base| both.judge(value, usual(base, 0.0)).unwrap();
    assert_eq!(judged(12.0, 3.0), Judgement { threshold: 10.0, is_beyond: true, is_sure: true });
    assert_eq!(judged(12.0, 7.0), Judgement { threshold: 14.0, is_beyond: false, is_sure: true });
    assert_eq!(both.judge(12.0, None), None, "without its baseline nothing can be said");
    let both = read("below = 10\nfalls = 0.5\nagainst = 'last_hour'");
    assert_eq!(both.judge(4.0, usual(8.0, 0.0)).unwrap().threshold, 4.0);
    assert_eq!(both.judge(4.0, usual(80.0, 0.0)).unwrap().threshold, 10.0);
}

#[test]
fn a_difference_must_be_no_chance_where_that_is_asked() {
    let asks = read("rises = 2\nagainst = 'last_hour'\nsigma = 6");
    assert!(asks.asks_for_significance());
    assert!(asks.judge(9.0, usual(1.0, 6.0)).unwrap().is_sure);
    assert!(!asks.judge(9.0, usual(1.0, 5.9)).unwrap().is_sure);
    assert!(!asks.judge(9.0, Some(Usual { value: 1.0, sigma: None })).unwrap().is_sure);
    let asks_not = read("rises = 2\nagainst = 'last_hour'");
    assert!(asks_not.judge(9.0, usual(1.0, 0.0)).unwrap().is_sure);
}

#[test]
fn a_line_at_zero_can_be_left_again() {
    assert!(Direction::Down.reaches(0.0, 0.0) && !Direction::Down.is_clear_of(0.0, 0.0, 0.8));
    assert!(!Direction::Down.reaches(1.0, 0.0) && Direction::Down.is_clear_of(1.0, 0.0, 0.8));
}

proptest! {
    #[test]
    fn no_value_above_zero_is_both_bad_and_clear(
        value in 0.0..100.0f64, line in 0.001..100.0f64, clear in 0.01..0.999f64,
    ) {
        for direction in [Direction::Up, Direction::Down] {
            let (bad, clear) =
                (direction.reaches(value, line), direction.is_clear_of(value, line, clear));
            prop_assert!(!(bad && clear), "{direction:?}");
        }
    }
}
