//! Metrics and breakdowns as the configuration writes them; [`super::Measures`] is what
//! they are compiled into.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// `[[metric]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSpec {
    /// What it is called, in answers and in other rules: `checkout_errors`.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// `count`, `sum`, `distinct`: of events of these types; `*` is any.
    #[serde(default)]
    pub event: Names,
    /// `count`, `sum`, `distinct`: only events whose properties pass these tests.
    #[serde(default, rename = "where")]
    pub filter: BTreeMap<String, Names>,
    /// `sum`, `distinct`: of this property; `sessionId` and `userId` are the event's own.
    #[serde(default)]
    pub property: Option<String>,
    /// `sum`: an amount of money in `properties.currency`, which must be there.
    #[serde(default)]
    pub money: bool,
    /// `ratio`, `difference`: the sum of these metrics …
    #[serde(default)]
    pub of: Names,
    /// `ratio`: … divided by the sum of these.
    #[serde(default)]
    pub per: Names,
    /// `difference`: … less the sum of these.
    #[serde(default)]
    pub minus: Names,
    /// Takes a metric of the built-in layer away.
    #[serde(default)]
    pub off: bool,
}

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Counts events.
    Count,
    /// Adds up a numeric property.
    Sum,
    /// Counts different values, by business day.
    Distinct,
    /// Divides metrics by metrics.
    Ratio,
    /// Takes metrics from metrics.
    Difference,
}

/// `[[breakdown]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakdownSpec {
    /// Of events of this type.
    pub event: String,
    /// By the values of this property.
    pub property: String,
    /// How many values are shown.
    #[serde(default = "ten")]
    pub top: usize,
    /// Takes a breakdown of the built-in layer away.
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
