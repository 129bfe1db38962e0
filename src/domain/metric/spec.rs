//! Metrics and breakdowns as the configuration writes them; [`super::MetricSet`] is what
//! they are compiled into.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::kind::Kind;
use crate::domain::rule::MAX_NAME;

/// Stands for any event type.
pub(super) const ANY: &str = "*";

/// `[[metric]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSpec {
    /// What it is called, in answers and in other rules: `checkout_errors`.
    pub name: String,
    /// What it does: `count`, `sum`, `distinct`, `ratio`, `difference`.
    pub kind: Kind,
    /// `count`, `sum`, `distinct`: the types of the events that are taken; `*` is any.
    #[serde(default)]
    pub event: Names,
    /// `count`, `sum`, `distinct`: only events whose properties pass these tests.
    #[serde(default, rename = "where")]
    pub filter: BTreeMap<String, Names>,
    /// `sum`, `distinct`: the property that is added up or told apart. `sessionId` and `userId`
    /// are the event's own.
    #[serde(default)]
    pub property: Option<String>,
    /// `sum`: the property is an amount of money in the currency `properties.currency`, and an
    /// event without a proper amount is refused.
    #[serde(default)]
    pub money: bool,
    /// `sum`: an amount below zero counts as its magnitude, as some shops send refunds.
    #[serde(default)]
    pub absolute: bool,
    /// `ratio`, `difference`: the metrics whose sum is divided, or taken from.
    #[serde(default)]
    pub of: Names,
    /// `ratio`: the metrics whose sum it is divided by.
    #[serde(default)]
    pub per: Names,
    /// `difference`: the metrics whose sum is taken away.
    #[serde(default)]
    pub minus: Names,
    /// `true` takes the metric of this name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// `[[breakdown]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakdownSpec {
    /// The type of the events that are counted.
    pub event: String,
    /// The property whose values they are counted by.
    pub property: String,
    /// How many values are shown.
    #[serde(default = "ten")]
    pub top: usize,
    /// Metrics of kind `sum` of these events alone, whose sum is kept for each value as well.
    #[serde(default)]
    pub sum: Names,
    /// `true` takes this breakdown away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

fn ten() -> usize {
    10
}

/// One name or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a list of strings")]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Ok(Names(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(name) => vec![name],
            OneOrMany::Many(names) => names,
        }))
    }
}

/// Refuses what can't be the name of a property. A slash would make the names of breakdowns
/// ambiguous, and no event has a NUL.
pub(super) fn property_name(name: &str) -> Result<(), String> {
    match name.is_empty() || name.len() > MAX_NAME || name.contains(['/', '\0']) {
        true => Err(format!("property {name:?}: 1 to {MAX_NAME} bytes without a slash")),
        false => Ok(()),
    }
}
