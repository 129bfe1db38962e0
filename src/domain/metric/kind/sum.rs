//! `sum`: a numeric property added up, perhaps as money. Each amount of money is kept exactly
//! in its own currency, and converted once, when its event comes in, for the sum in the base
//! currency.

use std::borrow::Cow;

use serde_json::Value;

use super::{MetricKind, StepOf};
use crate::domain::{
    currency::Rates,
    delta::Series,
    event::Note,
    metric::{
        left_out,
        metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
        plan::{Offered, Seen, Tally, Wanted},
        spec::MetricSpec,
        value::Unit,
    },
    money::{Amount, AmountError},
};

/// The property in which a money metric looks for the currency.
pub(in super::super) const CURRENCY: &str = "currency";

/// The series that hold the sum, and how many events it leaves out.
#[derive(Clone, Debug)]
pub(in super::super) struct Sum {
    series: Series,
    left_out: Series,
}

/// Adds an event's property.
#[derive(Clone, Debug)]
pub(in super::super) struct AddAmount {
    metric: String,
    series: Series,
    left_out: Series,
    /// Where the amount is.
    property: usize,
    /// Of a money metric: where the currency is.
    currency: Option<usize>,
    /// An amount below zero counts as its magnitude.
    absolute: bool,
}

/// What an event's property is to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Addend<'a> {
    /// The event has none, which adds nothing.
    Absent,
    /// There is something that is no number that can be added, so the event is left out.
    Unreadable,
    /// An amount in a currency (its code) without a rate, so the event is left out.
    WithoutRate(Amount, &'a str),
    /// What it adds. Of a money metric: the amount as it was sent with the code of its currency.
    Added(Amount, Option<(Amount, &'a str)>),
}

/// Why an event can't be counted by a money metric. Found at the door: the event is refused,
/// and no wrong amount gets into a sum.
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
    #[error("properties.{property} is negative, which the metric {metric:?} does not take")]
    Negative {
        /// Where it is.
        property: String,
        /// The metric that should add it up.
        metric: String,
    },
    /// Its currency is no code of three letters, nor an object that has one.
    #[error("properties.currency must be a code of three letters such as EUR")]
    Currency,
}

impl MetricKind for Sum {
    const NEEDS: &'static [&'static str] = &["event", "property"];
    const MAY_HAVE: &'static [&'static str] = &["where", "money", "absolute"];
    type Step = AddAmount;

    fn compile(spec: &MetricSpec, _: &[Metric]) -> Result<(Sum, Unit), String> {
        let unit = if spec.money { Unit::Money } else { Unit::Number };
        let series = Series::Sum(spec.name.clone());
        Ok((Sum { series, left_out: left_out::series(&spec.name) }, unit))
    }

    fn step(&self, spec: &MetricSpec, wanted: &mut Wanted) -> Option<AddAmount> {
        Some(AddAmount {
            metric: spec.name.clone(),
            series: self.series.clone(),
            left_out: self.left_out.clone(),
            property: wanted.place(spec.property.as_deref()?),
            currency: spec.money.then(|| wanted.place(CURRENCY)),
            absolute: spec.absolute,
        })
    }

    fn units(&self, _: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        Some(i128::from(sums.series(&self.series)))
    }

    fn left_out(&self, _: &MetricSet, sums: &impl SeriesSums) -> i64 {
        sums.series(&self.left_out)
    }

    fn is_counted(&self, _: &MetricSet) -> bool {
        false
    }

    fn is_by_day_only(&self, _: &MetricSet) -> bool {
        false
    }

    fn add_parts(&self, _: &MetricSet, parts: &mut MetricSeries) {
        parts.series.extend([self.series.clone(), self.left_out.clone()]);
    }
}

impl StepOf for AddAmount {
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
        let at = seen.row.time;
        match self.addend(seen, tally.rates) {
            Addend::Absent => {}
            Addend::Unreadable => tally.sum.sum(&self.left_out, at, 1),
            Addend::WithoutRate(sent, code) => {
                tally.sum.money(&self.metric, code, at, sent.0);
                tally.sum.sum(&self.left_out, at, 1);
            }
            Addend::Added(amount, sent) => {
                if let Some((sent, code)) = sent {
                    tally.sum.money(&self.metric, code, at, sent.0);
                }
                tally.sum.sum(&self.series, at, amount.0);
            }
        }
    }

    fn checks(&self) -> bool {
        true
    }

    fn check(&self, offered: Offered<'_>, notes: &mut Vec<Note>) -> Result<(), AmountFault> {
        let property = || offered.wanted.name(self.property).to_owned();
        let read = offered.picked[self.property].as_deref().map(|text| self.amount(text));
        let Some(place) = self.currency else {
            // The event is fine without the number, but its sender should know. Looking for a value
            // that is no scalar would cost more than it is worth.
            if let Some(Err(_)) = read {
                notes.push(Note::NotSummed { property: property(), metric: self.metric.clone() });
            }
            return Ok(());
        };
        match read {
            Some(Ok(amount)) if amount < Amount(0) => {
                Err(AmountFault::Negative { property: property(), metric: self.metric.clone() })
            }
            Some(Ok(_)) => {
                currency_sent(offered.picked[place].as_deref(), offered.properties).map(drop)
            }
            Some(Err(why)) => Err(AmountFault::Invalid { property: property(), why }),
            None if is_there(offered.properties, &property()) => {
                Err(AmountFault::Invalid { property: property(), why: AmountError::NotANumber })
            }
            None => {
                Err(AmountFault::Missing { kind: offered.kind.to_owned(), property: property() })
            }
        }
    }
}

impl AddAmount {
    /// The series that it adds to.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// What an event adds.
    pub fn addend<'a>(&self, seen: Seen<'_>, rates: &'a Rates) -> Addend<'a> {
        // Only a plain number may be missing or malformed here; the event is fine without it.
        // Of money the door made sure (`check`).
        let Some(text) = &seen.picked[self.property] else { return Addend::Absent };
        let Ok(amount) = self.amount(text) else { return Addend::Unreadable };
        let Some(place) = self.currency else { return Addend::Added(amount, None) };
        let sent = currency_sent(seen.picked[place].as_deref(), seen.row.properties);
        let code = rates.code(sent.ok().flatten().as_deref());
        match rates.to_base(amount, code) {
            Some(in_base) => Addend::Added(in_base, Some((amount, code))),
            None => Addend::WithoutRate(amount, code),
        }
    }

    /// Reads an amount as the metric counts it.
    fn amount(&self, text: &str) -> Result<Amount, AmountError> {
        let amount = Amount::parse(text.trim())?;
        Ok(if self.absolute { Amount(amount.0.abs()) } else { amount })
    }
}

/// The currency that an event names: `picked`, where it is a scalar. Shops also send it as an object
/// with its `code`. `None` where there is none.
///
/// # Errors
/// There is something else, which must not be taken for the base currency: 5,000 yen would count as
/// 5,000 dollars.
pub fn currency_sent<'a>(
    picked: Option<&'a str>,
    properties: &'a str,
) -> Result<Option<Cow<'a, str>>, AmountFault> {
    if let Some(code) = picked {
        return Ok(Some(code.into()));
    }
    // Events without a currency are usual, and this is faster than to parse all that they have.
    if memchr::memmem::find(properties.as_bytes(), b"\"currency\"").is_none() {
        return Ok(None);
    }
    match value_of(properties, CURRENCY) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(named)) => match named.get("code").and_then(Value::as_str) {
            Some(code) if code.len() == 3 => Ok(Some(code.to_owned().into())),
            _ => Err(AmountFault::Currency),
        },
        Some(_) => Err(AmountFault::Currency),
    }
}

/// Whether a property that is no scalar is there at all: an object or an array.
fn is_there(properties: &str, name: &str) -> bool {
    value_of(properties, name).is_some_and(|value| !value.is_null())
}

/// The value of a property, whatever it is.
fn value_of(properties: &str, name: &str) -> Option<Value> {
    let mut all: serde_json::Map<String, Value> = serde_json::from_str(properties).ok()?;
    all.remove(name)
}
