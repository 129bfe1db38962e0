//! What a metric's value is, and how it is written.

use serde::{Deserialize, Serialize, Serializer};

use crate::domain::money::{Amount, UNITS_PER_WHOLE};

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A number of events or of values.
    #[default]
    Count,
    /// A number with up to four decimals.
    Number,
    /// An amount in the base currency.
    Money,
    /// A quotient.
    Ratio,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// [`Unit::Count`]
    Count(i64),
    /// [`Unit::Number`] or [`Unit::Money`]
    Amount(Amount),
    /// [`Unit::Ratio`]
    Ratio(f64),
    /// A quotient of nothing, or not known for this span of time.
    Unknown,
}

impl Value {
    /// From a sum in 1/10,000, the form in which metrics of all units can be added up.
    pub(super) fn from_units(units: Option<i128>, unit: Unit) -> Value {
        match (units, unit) {
            (None, _) => Value::Unknown,
            (Some(units), Unit::Count) => {
                Value::Count((units / i128::from(UNITS_PER_WHOLE)) as i64)
            }
            (Some(units), _) => Value::Amount(Amount(i64::try_from(units).unwrap_or(i64::MAX))),
        }
    }

    /// As a float, for comparison with a threshold.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Value::Count(n) => Some(n as f64),
            Value::Amount(amount) => Some(amount.0 as f64 / UNITS_PER_WHOLE as f64),
            Value::Ratio(ratio) => Some(ratio),
            Value::Unknown => None,
        }
    }
}

impl Serialize for Value {
    /// JSON: a number, or null where unknown.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Count(n) => n.serialize(serializer),
            Value::Amount(amount) => amount.serialize(serializer),
            Value::Ratio(ratio) => ratio.serialize(serializer),
            Value::Unknown => serializer.serialize_none(),
        }
    }
}
