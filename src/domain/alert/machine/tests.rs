//! From looks to firing and clearing, by hand and for any row of verdicts.

use proptest::prelude::*;

use super::*;
use crate::{config::Config, domain::time::SECOND};

fn alert(lasting: Millis, clear_for: Millis) -> Alert {
    let rules = Config::default().rules.alerts;
    let alert = rules.alert("checkout_errors").expect("it is shipped").clone();
    Alert { lasting, clear_for, ..alert }
}

fn look(verdict: Verdict) -> Observation {
    let reading = Reading {
        from: 0,
        to: 0,
        window: 30 * SECOND,
        value: 0.2,
        threshold: 0.1,
        baseline: Some(0.05),
        volume: 100.0,
        sigma: None,
    };
    Observation { verdict, reading: (verdict != Verdict::Unknown).then_some(reading) }
}

/// (second, fired) of every change.
fn run(alert: &Alert, verdicts: &[Verdict]) -> Vec<(usize, bool)> {
    let mut machine = Machine::default();
    let changes = verdicts.iter().enumerate().filter_map(|(second, verdict)| {
        let now = second as Millis * SECOND;
        let change = machine.step(alert, &look(*verdict), now, false)?;
        Some((second, matches!(change, Change::Fired(_))))
    });
    changes.collect()
}

use Verdict::{Between, Breached, Normal, Unknown};

#[test]
fn it_fires_after_its_time_and_clears_after_its_time() {
    let alert = alert(3 * SECOND, 2 * SECOND);
    let seen = [vec![Breached; 5], vec![Between; 3], vec![Normal; 4]].concat();
    assert_eq!(run(&alert, &seen), [(3, true), (10, false)]);
}

#[test]
fn a_dip_starts_the_time_again() {
    let alert = alert(3 * SECOND, 2 * SECOND);
    assert_eq!(run(&alert, &[Breached, Breached, Normal, Breached, Breached, Unknown]), []);
    let mut seen = vec![Breached; 4];
    seen.extend([Normal, Normal, Breached, Normal, Normal, Breached, Normal, Normal, Unknown]);
    assert_eq!(run(&alert, &seen), [(3, true)]);
}

#[test]
fn a_look_in_between_does_not_start_the_clearing_again_but_does_not_end_it_either() {
    let alert = alert(0, 3 * SECOND);
    let chance = [Breached, Normal, Between, Unknown, Normal];
    assert_eq!(run(&alert, &chance), [(0, true), (4, false)]);
    let worse = [Breached, Normal, Between, Between, Between, Between, Breached, Normal];
    assert_eq!(run(&alert, &worse), [(0, true)]);
    let never_well = [Breached, Between, Between, Between, Between, Between];
    assert_eq!(run(&alert, &never_well), [(0, true)]);
}

#[test]
fn what_took_a_wider_window_to_see_takes_longer_to_clear() {
    let alert = alert(0, 2 * SECOND);
    let shortest = alert.windows[0];
    let cleared = |window| {
        let mut machine = Machine::firing(0, Held { window, threshold: 0.1 });
        let mut times = (0..).map(|second| second * SECOND);
        times.find(|now| machine.step(&alert, &look(Normal), *now, false).is_some())
    };
    assert_eq!(cleared(shortest), Some(2 * SECOND));
    assert_eq!(cleared(4 * shortest), Some(2 * shortest));
}

#[test]
fn without_anything_to_judge_by_it_ends_in_the_end() {
    let alert = alert(0, 2 * SECOND);
    let mut seen = vec![Breached];
    seen.resize(2 + (BLIND_FOR / SECOND) as usize, Unknown);
    assert_eq!(run(&alert, &seen), [(0, true), (1 + (BLIND_FOR / SECOND) as usize, false)]);
}

#[test]
fn in_silence_it_waits() {
    let alert = alert(SECOND, SECOND);
    let mut machine = Machine::default();
    for second in 0..5 {
        assert_eq!(machine.step(&alert, &look(Breached), second * SECOND, true), None);
    }
    let change = machine.step(&alert, &look(Breached), 5 * SECOND, false);
    assert!(matches!(change, Some(Change::Fired(_))));
    // One that fires already may clear.
    machine.step(&alert, &look(Normal), 6 * SECOND, true);
    let change = machine.step(&alert, &look(Normal), 7 * SECOND, true);
    assert!(matches!(change, Some(Change::Cleared(_))));
}

#[test]
fn the_threshold_is_held_for_a_day() {
    let held = Held { window: MINUTE, threshold: 0.1 };
    let machine = Machine::firing(0, held);
    assert_eq!(machine.stand(HELD_FOR - 1).held, Some(held));
    assert_eq!(machine.stand(HELD_FOR), Stand::default());
}

proptest! {
    #[test]
    fn it_fires_and_clears_in_turn_and_never_flaps(
        verdicts in proptest::collection::vec(0..4u8, 0..300),
        lasting in 0..6i64,
        clear_for in 1..8i64,
    ) {
        let verdicts: Vec<Verdict> = verdicts
            .into_iter()
            .map(|it| [Breached, Normal, Between, Unknown][it as usize])
            .collect();
        let alert = alert(lasting * SECOND, clear_for * SECOND);
        let changes = run(&alert, &verdicts);
        for (n, (_, fired)) in changes.iter().enumerate() {
            prop_assert_eq!(*fired, n % 2 == 0);
        }
        for pair in changes.windows(2) {
            let least = if pair[0].1 { clear_for } else { lasting };
            prop_assert!((pair[1].0 - pair[0].0) as i64 >= least);
        }
    }
}
