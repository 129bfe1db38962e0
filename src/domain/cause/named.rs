//! A cause as answers and alerts name it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part of the events that accounts for a change of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedCause {
    /// The properties with their values, which are texts.
    #[serde(rename = "where")]
    pub conditions: Map<String, Value>,
    /// The metric of its events in the span.
    pub value: f64,
    /// The metric of its events before; of a count or a sum, for a span of the same length.
    pub was: f64,
    /// Its events in the span, or the attempts of a ratio.
    pub events: u64,
    /// Its part of the difference, 0 to 1.
    pub share: f64,
    /// How likely it is the right one of all that were tried, 0 to 1.
    pub confidence: f64,
}

impl NamedCause {
    /// "gateway=adyen with country=DE".
    pub fn name(&self) -> String {
        let condition = |(name, value): (&String, &Value)| {
            let value = value.as_str().unwrap_or_default();
            match value.starts_with(['<', '>']) {
                true => format!("{name}{value}"),
                false => format!("{name}={value}"),
            }
        };
        let conditions: Vec<String> = self.conditions.iter().map(condition).collect();
        conditions.join(" with ")
    }
}
