//! One event of the two spans that are compared.

use serde_json::{Map, Value};

use super::leaves::Part;
use crate::domain::number::canonical;

/// The longest value that is told apart, in characters; free text is no cause.
const MAX_VALUE: usize = 100;

/// When an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// In this slice of the span before: less than [`super::SLICES`].
    Was(usize),
    /// In the span that is asked about.
    Now,
}

/// An event, as far as it says something about a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledEvent {
    /// When it was.
    pub slice: Slice,
    /// What it adds to the metric.
    pub part: Part,
    /// Its properties that have a plain value.
    pub values: Vec<(String, String)>,
}

impl SampledEvent {
    /// Reads the properties of an event, a JSON object, and adds the name of its source. Texts, numbers and
    /// truth values are plain; what lies in a list or an object is not looked at.
    pub fn values(properties: &str, source: Option<&str>) -> Vec<(String, String)> {
        // What is stored is JSON, so this does not fail.
        let properties: Map<String, Value> = serde_json::from_str(properties).unwrap_or_default();
        let plain = properties.into_iter().filter_map(|(name, value)| {
            let value = match value {
                Value::String(text) => text,
                // 100 and 100.0 are one value.
                Value::Number(number) => canonical(&number.to_string()).into_owned(),
                Value::Bool(truth) => truth.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            let fits = value.chars().nth(MAX_VALUE).is_none() && !value.is_empty();
            (fits && !name.starts_with('$')).then_some((name, value))
        });
        let mut values: Vec<_> = plain.collect();
        if let Some(source) = source
            && values.iter().all(|(name, _)| name != SOURCE)
        {
            values.push((SOURCE.to_owned(), source.to_owned()));
        }
        values
    }
}

/// The name under which the source of an event is looked at.
const SOURCE: &str = "source";
