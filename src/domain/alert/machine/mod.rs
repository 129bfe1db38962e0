//! From looks to firing and clearing.
//!
//! ```text
//!            breached               breached for as long as `for`
//!   Quiet ─────────────> Pending ──────────────────────────────────> Firing
//!     ^   <─────────────                                                │
//!     │      not breached                                               │
//!     └─────────────────────────────────────────────────────────────────┘
//!        normal, again normal `clear_for` later, and not breached in between;
//!        or nothing to judge by for 15 minutes
//! ```
//!
//! Clearing is a Schmitt trigger: it begins and ends with a look that is `Normal`, and only
//! one back over the threshold begins it again. Few events in a window put the value above
//! `clear` by chance alone now and then; if that counted, a small shop would wait for the
//! all-clear for as long as chance likes.

use crate::domain::{
    alert::{Alert, Held, Observation, Reading, Stand, Verdict},
    time::{DAY, MINUTE, Millis},
};

/// An alert that fires and has had nothing to judge by for so long is over. Otherwise the alert of
/// a shop that closes for the night would fire until morning.
const BLIND_FOR: Millis = 15 * MINUTE;
/// After so long an alert that fires is judged by the rule again, and no longer by the threshold
/// of the moment it fired. What lasts for a day may be the new normal.
const HELD_FOR: Millis = DAY;

/// Where one alert stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// All is well.
    Quiet,
    /// It is breached, but not yet for as long as `for` asks.
    Pending {
        /// When it was first breached, Unix ms.
        since: Millis,
    },
    /// It fires.
    Firing {
        /// When it began to fire, Unix ms.
        since: Millis,
        /// What it is held against.
        held: Held,
        /// When it was `Normal` first, Unix ms, where it was never `Breached` since. It is over
        /// when this is `clear_for` ago.
        clearing_since: Option<Millis>,
        /// Since when there has been nothing to judge by, Unix ms.
        blind_since: Option<Millis>,
    },
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It fires from now on.
    Fired(Reading),
    /// It does not fire any more. The reading is that of the last look, where there was one.
    Cleared(Option<Reading>),
}

/// What one alert remembers from look to look.
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
    /// The machine of an alert that has fired since `since` (Unix ms), as a new leader takes it
    /// over from the one before.
    pub fn firing(since: Millis, held: Held) -> Machine {
        let phase = Phase::Firing { since, held, clearing_since: None, blind_since: None };
        Machine { phase, over_at: None }
    }

    /// The machine of an alert that was over at `over_at` (Unix ms).
    pub fn over(over_at: Millis) -> Machine {
        Machine { phase: Phase::Quiet, over_at: Some(over_at) }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What [`super::evaluate`] has to know to look at the alert at `now` (Unix ms).
    pub fn stand(&self, now: Millis) -> Stand {
        let held = match self.phase {
            Phase::Firing { since, held, .. } if now - since < HELD_FOR => Some(held),
            _ => None,
        };
        // Where the clock was set back, `over_at` lies in the future, and no window would be
        // looked at until then.
        Stand { held, over_at: self.over_at.filter(|over_at| *over_at <= now) }
    }

    /// Takes a look into account, and says what it changed. While `silent`, an alert may not
    /// begin to fire; one that fires already may clear.
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
                // `min`: a clock that was set back must not make the wait longer.
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

/// How long clearing takes: `clear_for`, or half the window that the alert fired by where that
/// one had to be widened for want of events. With `clear_for` alone, a shop with one order a
/// minute is told now and then that all is well two hours before it is. With the whole window,
/// it may wait two hours for the all-clear. `tests.rs` simulates both.
fn clear_for(alert: &Alert, held: &Held) -> Millis {
    let is_widened = alert.windows.first().is_some_and(|shortest| held.window > *shortest);
    if is_widened { alert.clear_for.max(held.window / 2) } else { alert.clear_for }
}

#[cfg(test)]
mod tests;
