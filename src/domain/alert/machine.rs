//! From looks to firing and clearing: quiet, pending for `for`, firing, clearing for
//! `clear_for`.
//!
//! Clearing is a Schmitt trigger: it begins and ends with a look that is `Normal`, and only
//! one back over the threshold begins it again. Few events in a window put the value above
//! `clear` by chance alone now and then; if that counted, a small shop would wait for the
//! all-clear for as long as chance likes.

use crate::domain::{
    alert::{Alert, Held, Observation, Reading, Stand, Verdict},
    time::{DAY, MINUTE, Millis},
};

/// An alert that fires and has had nothing to judge by for so long is over: a shop that has
/// closed for the night does not burn until morning.
const BLIND_FOR: Millis = 15 * MINUTE;
/// After so long the threshold of the moment it fired is not held any more: what lasts for a
/// day is the new normal, if the rule says so by then.
const HELD_FOR: Millis = DAY;

/// Where one alert stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// All is well.
    Quiet,
    /// Breached since then (Unix ms), not yet for `for`.
    Pending {
        #[allow(missing_docs)]
        since: Millis,
    },
    /// It fires.
    Firing {
        /// Since then, Unix ms.
        since: Millis,
        /// What it is held against.
        held: Held,
        /// It has been `Normal` then and not `Breached` since, not yet for `clear_for`.
        clearing_since: Option<Millis>,
        /// Nothing to judge by since then.
        blind_since: Option<Millis>,
    },
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It fires from now on.
    Fired(Reading),
    /// It does not fire any more; what it saw, where there was anything to see.
    Cleared(Option<Reading>),
}

/// One alert's machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    phase: Phase,
    over_at: Option<Millis>,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { phase: Phase::Quiet, over_at: None }
    }
}

impl Machine {
    /// One that fires since `since` (Unix ms): taken over from another leader.
    pub fn firing(since: Millis, held: Held) -> Machine {
        let phase = Phase::Firing { since, held, clearing_since: None, blind_since: None };
        Machine { phase, over_at: None }
    }

    /// One that was over at `over_at` (Unix ms).
    pub fn over(over_at: Millis) -> Machine {
        Machine { phase: Phase::Quiet, over_at: Some(over_at) }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How to look at it at `now` (Unix ms), see [`super::evaluate`].
    pub fn stand(&self, now: Millis) -> Stand {
        let held = match self.phase {
            Phase::Firing { since, held, .. } if now - since < HELD_FOR => Some(held),
            _ => None,
        };
        // A clock that was set back must not make an alert blind.
        Stand { held, over_at: self.over_at.filter(|over_at| *over_at <= now) }
    }

    /// Takes a look into account. `silent`: it may not begin to fire.
    pub fn step(
        &mut self,
        alert: &Alert,
        seen: &Observation,
        now: Millis,
        silent: bool,
    ) -> Option<Change> {
        match &mut self.phase {
            Phase::Quiet | Phase::Pending { .. } => {
                let (Verdict::Breached, Some(reading)) = (seen.verdict, seen.reading) else {
                    self.phase = Phase::Quiet;
                    return None;
                };
                let since = match self.phase {
                    Phase::Pending { since } => since.min(now),
                    _ => now,
                };
                if now - since < alert.lasting || silent {
                    self.phase = Phase::Pending { since };
                    return None;
                }
                let held = Held { window: reading.window, threshold: reading.threshold };
                *self = Machine::firing(now, held);
                Some(Change::Fired(reading))
            }
            Phase::Firing { held, clearing_since, blind_since, .. } => {
                let began = |since: Option<Millis>| Some(since.unwrap_or(now).min(now));
                *blind_since =
                    if seen.verdict == Verdict::Unknown { began(*blind_since) } else { None };
                match seen.verdict {
                    Verdict::Normal => *clearing_since = began(*clearing_since),
                    Verdict::Breached => *clearing_since = None,
                    Verdict::Between | Verdict::Unknown => {}
                }
                let lasts = |since: Option<Millis>, ms| since.is_some_and(|at| now - at >= ms);
                let is_well = seen.verdict == Verdict::Normal;
                if is_well && lasts(*clearing_since, clear_for(alert, held)) {
                    *self = Machine::over(clearing_since.unwrap_or(now));
                } else if lasts(*blind_since, BLIND_FOR) {
                    *self = Machine::over(now);
                } else {
                    return None;
                }
                Some(Change::Cleared(seen.reading))
            }
        }
    }
}

/// How long clearing takes: the rule's time, or where the window had to be widened for want
/// of events, half of that one. Without it the shop with one order a minute is told now and
/// then that all is well, two hours before it is; with the whole window, it may wait for
/// two hours (see `day_tests.rs`).
fn clear_for(alert: &Alert, held: &Held) -> Millis {
    let is_widened = alert.windows.first().is_some_and(|shortest| held.window > *shortest);
    if is_widened { alert.clear_for.max(held.window / 2) } else { alert.clear_for }
}

#[cfg(test)]
mod tests {
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
}
