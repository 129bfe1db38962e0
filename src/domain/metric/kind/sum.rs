//! `sum`: a numeric property added up, perhaps as money. Each amount of money is kept exactly
//! in its own currency, and converted once, when its event comes in, for the sum in the base
//! currency.

use super::{MetricKind, StepOf};
use crate::domain::{
    delta::Series,
    metric::{
        metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
        plan::{Offered, Seen, Tally, Wanted},
        spec::MetricSpec,
        value::Unit,
    },
    money::{Amount, AmountError},
};

/// The property in which a money metric looks for the currency.
const CURRENCY: &str = "currency";

/// The series that holds the sum.
#[derive(Clone, Debug)]
pub(in super::super) struct Sum(Series);

/// Adds an event's property.
#[derive(Clone, Debug)]
pub(in super::super) struct AddAmount {
    metric: String,
    series: Series,
    /// Where the amount is.
    property: usize,
    /// Of a money metric: where the currency is.
    currency: Option<usize>,
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
    #[error("properties.{0} is negative; send a refund as an event of its own")]
    Negative(String),
}

impl MetricKind for Sum {
    const NEEDS: &'static [&'static str] = &["event", "property"];
    const MAY_HAVE: &'static [&'static str] = &["where", "money"];
    type Step = AddAmount;

    fn compile(spec: &MetricSpec, _: &[Metric]) -> Result<(Sum, Unit), String> {
        let unit = if spec.money { Unit::Money } else { Unit::Number };
        Ok((Sum(Series::Sum(spec.name.clone())), unit))
    }

    fn step(&self, spec: &MetricSpec, wanted: &mut Wanted) -> Option<AddAmount> {
        Some(AddAmount {
            metric: spec.name.clone(),
            series: self.0.clone(),
            property: wanted.place(spec.property.as_deref()?),
            currency: spec.money.then(|| wanted.place(CURRENCY)),
        })
    }

    fn units(&self, _: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        Some(i128::from(sums.series(&self.0)))
    }

    fn is_counted(&self, _: &MetricSet) -> bool {
        false
    }

    fn is_by_day_only(&self, _: &MetricSet) -> bool {
        false
    }

    fn add_parts(&self, _: &MetricSet, parts: &mut MetricSeries) {
        parts.series.push(self.0.clone());
    }
}

impl StepOf for AddAmount {
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
        // Only a plain number may be missing or malformed here; the event is fine without it.
        // Of money the door made sure (`check`).
        let Some(text) = &seen.picked[self.property] else { return };
        let Ok(amount) = Amount::parse(text.trim()) else { return };
        let at = seen.row.time;
        let in_base = match self.currency {
            Some(currency) => {
                let code = tally.rates.code(seen.picked[currency].as_deref());
                tally.sum.money(&self.metric, code, at, amount.0);
                tally.rates.to_base(amount, code)
            }
            None => Some(amount),
        };
        if let Some(amount) = in_base {
            tally.sum.sum(&self.series, at, amount.0);
        }
    }

    fn checks(&self) -> bool {
        self.currency.is_some()
    }

    fn check(&self, offered: Offered<'_>) -> Result<(), AmountFault> {
        let property = || offered.wanted.name(self.property).to_owned();
        let Some(text) = &offered.picked[self.property] else {
            return Err(match is_there(offered.properties, &property()) {
                true => AmountFault::Invalid { property: property(), why: AmountError::NotANumber },
                false => {
                    AmountFault::Missing { kind: offered.kind.to_owned(), property: property() }
                }
            });
        };
        match Amount::parse(text.trim()) {
            Ok(amount) if amount < Amount(0) => Err(AmountFault::Negative(property())),
            Ok(_) => Ok(()),
            Err(why) => Err(AmountFault::Invalid { property: property(), why }),
        }
    }
}

/// Whether a property that is no scalar is there at all: an object or an array.
fn is_there(properties: &str, name: &str) -> bool {
    let parsed: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(properties).ok();
    parsed.and_then(|map| map.get(name).map(|value| !value.is_null())).unwrap_or(false)
}
