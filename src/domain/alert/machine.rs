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
mod tests;
