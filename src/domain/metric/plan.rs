//! What an event of one type adds to the counters.

use std::borrow::Cow;

use super::condition::Condition;
use crate::domain::{
    delta::Series,
    money::{Amount, AmountError},
    properties::pick,
};

/// The steps for one event type, and the properties that they look at.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Top-level properties, picked in one walk; the steps mean them by index.
    pub wanted: Vec<String>,
    /// Count metrics with filters.
    pub matching: Vec<Matching>,
    /// Sum metrics.
    pub sums: Vec<Summing>,
    /// Distinct metrics.
    pub distinct: Vec<Distinct>,
    /// Breakdowns: (name, property).
    pub tops: Vec<(String, usize)>,
}

/// A count metric with filters.
#[derive(Clone, Debug)]
pub struct Matching {
    /// What it adds 1 to.
    pub series: Series,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// A sum metric.
#[derive(Clone, Debug)]
pub struct Summing {
    /// Its name.
    pub metric: String,
    /// What it adds to.
    pub series: Series,
    /// What it adds.
    pub property: usize,
    /// Of a money metric: where the currency is.
    pub currency: Option<usize>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// A distinct metric.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// Its name.
    pub metric: String,
    /// What it tells apart.
    pub who: Who,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// What a distinct metric tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// `sessionId`, or `userId` where there is none: as active users are told apart.
    Visitor,
    /// `userId`.
    User,
    /// A picked property.
    Property(usize),
}

/// Why an event can't be counted by a money metric. Found at the door: the event is
/// refused, and no wrong amount gets into a sum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountFault {
    /// The amount is not there (or null).
    #[error("a {kind} needs properties.{property}")]
    Missing {
        /// The event type.
        kind: String,
        /// Where the amount should be.
        property: String,
    },
    /// It is there and is no amount.
    #[error("properties.{property} {why}")]
    Invalid {
        /// Where it is.
        property: String,
        /// What is wrong with it.
        why: AmountError,
    },
    /// It is below zero.
    #[error("properties.{0} is negative; send a refund as an event of its own")]
    Negative(String),
}

impl Plan {
    /// The picked properties of an event.
    pub fn pick<'a>(&self, properties: &'a str) -> Vec<Option<Cow<'a, str>>> {
        if self.wanted.is_empty() { Vec::new() } else { pick(properties, &self.wanted) }
    }

    /// Whether every money metric that would count the event could.
    ///
    /// # Errors
    /// An amount is missing or absurd.
    pub fn check(&self, kind: &str, properties: &str) -> Result<(), AmountFault> {
        if !self.sums.iter().any(|sum| sum.currency.is_some()) {
            return Ok(());
        }
        let picked = self.pick(properties);
        for sum in self.sums.iter().filter(|sum| sum.currency.is_some()) {
            if !all(&sum.conditions, &picked) {
                continue;
            }
            let property = || self.wanted[sum.property].clone();
            let Some(text) = &picked[sum.property] else {
                return Err(match is_there(properties, &self.wanted[sum.property]) {
                    true => {
                        AmountFault::Invalid { property: property(), why: AmountError::NotANumber }
                    }
                    false => AmountFault::Missing { kind: kind.to_owned(), property: property() },
                });
            };
            match Amount::parse(text.trim()) {
                Ok(amount) if amount < Amount(0) => return Err(AmountFault::Negative(property())),
                Ok(_) => {}
                Err(why) => return Err(AmountFault::Invalid { property: property(), why }),
            }
        }
        Ok(())
    }
}

/// Whether all conditions hold.
pub fn all(conditions: &[Condition], picked: &[Option<Cow<'_, str>>]) -> bool {
    conditions.iter().all(|condition| condition.passes(picked))
}

/// Whether a property that is no scalar is there at all: an object or an array.
fn is_there(properties: &str, name: &str) -> bool {
    let parsed: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(properties).ok();
    parsed.and_then(|map| map.get(name).map(|value| !value.is_null())).unwrap_or(false)
}
