//! The conditions of an alert: `above`, `below`, `rises`, `falls` with `against` and `sigma`.
//!
//! This file alone knows what a condition is: it reads the keys ([`Conditions::read`]), says
//! whether a value is bad ([`Conditions::judge`]) and prints itself for `floodmark check`.
//! The looking up of numbers is [`super::evaluate`]'s part, the course of an alert over time
//! [`super::Machine`]'s.
//!
//! An alert looks up (too many errors) or down (too few orders), never both, so the direction
//! belongs to the whole list and not to its members. The list is never empty. A relative
//! condition always has its baseline, and only a relative one can ask for significance.
//!
//! To add a condition:
//! 1. `spec.rs`: its key in [`AlertSpec`], with a doc.
//! 2. Here: a variant of [`Condition`]. [`Conditions::read`] makes it from the key, with the
//!    range that the key must be in; `Condition::threshold` says where it draws the line, and
//!    `Condition::is_sure` what else it asks. The compiler asks for the words it is printed in.
//! 3. `docs/ALERTS.md`: a line in the example rule.

use std::fmt;

use crate::domain::alert::spec::{Against, AlertSpec};

/// What an alert watches for.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    direction: Direction,
    first: Condition,
    /// These must hold too. At most one of all is relative, since there is one key `against`.
    more: Vec<Condition>,
}

/// Which way an alert looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Large values are bad: `above`, `rises`.
    Up,
    /// Small values are bad: `below`, `falls`.
    Down,
}

/// One line that a bad value lies beyond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// `above`, `below`: the line is this value.
    Absolute(f64),
    /// `rises`, `falls`: the line is drawn by what is usual.
    Relative(Relative),
}

/// A comparison with what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relative {
    /// The line is so many times the usual value.
    pub times: f64,
    /// What counts as usual.
    pub against: Against,
    /// How many standard errors the value must be off at least; `None` asks for none.
    pub sigma: Option<f64>,
}

/// What a metric usually is, over a time as long as the one that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The metric's value.
    pub value: f64,
    /// By how many standard errors the judged value is off this one, positive in the bad
    /// direction; `None` for a metric that is no count of events.
    pub sigma: Option<f64>,
}

/// What the conditions say of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The strictest of all lines.
    pub threshold: f64,
    /// The value lies on the threshold or beyond it.
    pub is_beyond: bool,
    /// It does so by more than chance, as far as the conditions ask.
    pub is_sure: bool,
}

impl Direction {
    /// Whether a value lies on a line or beyond it, on the bad side.
    pub fn reaches(self, value: f64, line: f64) -> bool {
        match self {
            Direction::Up => value >= line,
            Direction::Down => value <= line,
        }
    }

    /// Whether a value is back on the good side of a line, by the factor `clear` (0 to 1).
    pub fn is_clear_of(self, value: f64, line: f64, clear: f64) -> bool {
        match self {
            Direction::Up => value <= line * clear,
            // A line at 0 has nothing below it, so there the division alone would call the
            // value 0 both bad and good.
            Direction::Down => value > line && value >= line / clear,
        }
    }

    /// A difference as it counts for an alert: positive in the bad direction.
    pub fn signed(self, difference: f64) -> f64 {
        match self {
            Direction::Up => difference,
            Direction::Down => -difference,
        }
    }

    fn stricter(self, a: f64, b: f64) -> f64 {
        match self {
            Direction::Up => a.max(b),
            Direction::Down => a.min(b),
        }
    }
}

impl Conditions {
    /// Reads the conditions of an alert as the configuration writes it.
    ///
    /// # Errors
    /// In words: there is none, they look both ways, or one lacks what it needs.
    pub fn read(spec: &AlertSpec) -> Result<Conditions, String> {
        let rising = spec.above.is_some() || spec.rises.is_some();
        let falling = spec.below.is_some() || spec.falls.is_some();
        let (direction, absolute, times) = match (rising, falling) {
            (false, false) => return Err("needs one of above, below, rises, falls".to_owned()),
            (true, true) => {
                return Err(
                    "above and rises look up, below and falls down: make two alerts".to_owned()
                );
            }
            (true, false) => (Direction::Up, spec.above, spec.rises),
            (false, true) => (Direction::Down, spec.below, spec.falls),
        };
        // `while_holds` and `unless_holds` compare too, and share the key.
        let guards_compare = spec.while_holds.is_some() || spec.unless_holds.is_some();
        if spec.against.is_some() && times.is_none() && !guards_compare {
            return Err("against: needs rises or falls".to_owned());
        }
        let relative = match times {
            Some(times) => Some(Relative { times, against: baseline(spec)?, sigma: spec.sigma }),
            None if spec.sigma.is_some() => return Err("sigma: needs rises or falls".to_owned()),
            None => None,
        };
        within("rises", spec.rises, 1.01, 1_000.0)?;
        within("falls", spec.falls, 0.0, 0.99)?;
        within("sigma", spec.sigma, 0.5, 100.0)?;
        within("above", spec.above, -1e15, 1e15)?;
        within("below", spec.below, -1e15, 1e15)?;
        let mut all =
            absolute.map(Condition::Absolute).into_iter().chain(relative.map(Condition::Relative));
        let first = all.next().expect("a direction comes from a condition");
        Ok(Conditions { direction, first, more: all.collect() })
    }

    /// Which way they look.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Which baseline has to be known to judge; `None` where no condition is relative.
    pub fn against(&self) -> Option<Against> {
        self.relative().map(|relative| relative.against)
    }

    /// Whether one asks that a difference be no chance.
    pub fn asks_for_significance(&self) -> bool {
        self.relative().is_some_and(|relative| relative.sigma.is_some())
    }

    /// Judges a value. `usual` is what it is compared with, where [`Conditions::against`] asks
    /// for a baseline; `None` is returned where it is asked for and missing.
    pub fn judge(&self, value: f64, usual: Option<Usual>) -> Option<Judgement> {
        let mut threshold = self.first.threshold(usual)?;
        for condition in &self.more {
            threshold = self.direction.stricter(threshold, condition.threshold(usual)?);
        }
        Some(Judgement {
            threshold,
            is_beyond: self.direction.reaches(value, threshold),
            is_sure: self.iter().all(|condition| condition.is_sure(usual)),
        })
    }

    fn iter(&self) -> impl Iterator<Item = &Condition> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn relative(&self) -> Option<Relative> {
        self.iter().find_map(|condition| match condition {
            Condition::Relative(relative) => Some(*relative),
            Condition::Absolute(_) => None,
        })
    }
}

impl Condition {
    fn threshold(&self, usual: Option<Usual>) -> Option<f64> {
        match self {
            Condition::Absolute(line) => Some(*line),
            Condition::Relative(relative) => Some(relative.times * usual?.value),
        }
    }

    fn is_sure(&self, usual: Option<Usual>) -> bool {
        match self {
            Condition::Relative(Relative { sigma: Some(least), .. }) => {
                usual.and_then(|usual| usual.sigma).is_some_and(|sigma| sigma >= *least)
            }
            Condition::Absolute(_) | Condition::Relative(_) => true,
        }
    }
}

/// The baseline of an alert that compares with one.
pub(super) fn baseline(spec: &AlertSpec) -> Result<Against, String> {
    spec.against.ok_or_else(|| {
        "against: rises, falls and while_holds need last_hour, yesterday or last_week".to_owned()
    })
}

/// Refuses a value outside its range; NaN is outside every range.
pub(super) fn within(key: &str, value: Option<f64>, low: f64, high: f64) -> Result<(), String> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("{key}: must be {low} to {high}"))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Conditions {
    /// In words: "at least 0.02 and at least 2 x that in the hour before".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least_or_most = match self.direction {
            Direction::Up => "at least",
            Direction::Down => "at most",
        };
        for (n, condition) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{least_or_most} {condition}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Absolute(line) => write!(f, "{line}"),
            Condition::Relative(Relative { times, against, sigma }) => {
                write!(f, "{times} x that {against}")?;
                match sigma {
                    Some(sigma) => write!(f, " and off by {sigma} standard errors"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
