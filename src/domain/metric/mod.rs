//! Business metrics: what the configuration declares ([`spec`]), compiled once at start.
//!
//! A metric is *written* as series ([`crate::domain::delta::Series`]) when a batch is
//! sealed, by the steps of its event type's [`Plan`]; it is *read* from the sums of any
//! span of time ([`Source`]). Ratios and differences are only read.

mod compile;
mod condition;
mod plan;
mod spec;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    condition::{Comparison, Test},
    plan::{AmountFault, Plan, Who, all},
    spec::{BreakdownSpec, Kind, MetricSpec, Names},
};
use crate::domain::{currency::Rates, delta::Series, money::Amount};

/// All metrics and breakdowns, ready for use.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    metrics: Vec<Metric>,
    breakdowns: Vec<Breakdown>,
    plans: HashMap<String, Plan>,
    /// Of event types that no rule names.
    any: Plan,
    rates: Rates,
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name, `checkout_error_rate`.
    pub name: String,
    /// What its value is.
    pub unit: Unit,
    read: Read,
}

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

/// How a metric is read. Others are meant by their index, all of them earlier ones.
#[derive(Clone, Debug)]
enum Read {
    /// Events of these types.
    Types(Vec<Series>),
    /// Events of all types.
    AllEvents,
    /// One series: of matching events, or a sum.
    Series(Series),
    /// What is seen by business day.
    Distinct,
    Ratio {
        of: Vec<usize>,
        per: Vec<usize>,
    },
    Difference {
        of: Vec<usize>,
        minus: Vec<usize>,
    },
}

/// One breakdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// `EVENT/PROPERTY`; a type holds no slash.
    pub name: String,
    /// Of events of this type.
    pub event: String,
    /// By this property.
    pub property: String,
    /// How many values are shown.
    pub top: usize,
}

/// The sums of some span of time.
pub trait Source {
    /// The sum of one series.
    fn series(&self, series: &Series) -> i64;
    /// Events of all types.
    fn all_events(&self) -> i64;
    /// How many different values a distinct metric saw; `None` where that is not known for
    /// this span.
    fn distinct(&self, metric: &str) -> Option<i64>;
}

/// The sums that a metric is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Each once.
    pub series: Vec<Series>,
    /// Events of all types, too.
    pub all_events: bool,
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
    /// As a float, for comparison with a threshold.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Value::Count(n) => Some(n as f64),
            Value::Amount(amount) => Some(amount.0 as f64 / 10_000.0),
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

impl Measures {
    /// Every metric, in the order of the configuration.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Every breakdown.
    pub fn breakdowns(&self) -> &[Breakdown] {
        &self.breakdowns
    }

    /// The names of the distinct metrics.
    pub fn distinct(&self) -> impl Iterator<Item = &str> {
        let distinct = self.metrics.iter().filter(|metric| matches!(metric.read, Read::Distinct));
        distinct.map(|metric| metric.name.as_str())
    }

    /// The base currency and the rates.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// A metric by its name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// What an event of this type is counted as.
    pub fn plan(&self, kind: &str) -> &Plan {
        self.plans.get(kind).unwrap_or(&self.any)
    }

    /// The plan of an event type that a rule names.
    pub fn own_plan(&self, kind: &str) -> Option<&Plan> {
        self.plans.get(kind)
    }

    /// The plan of all other event types.
    pub fn plan_of_others(&self) -> &Plan {
        &self.any
    }

    /// The value of a metric over the span of time that `source` sums.
    pub fn value(&self, metric: &Metric, source: &impl Source) -> Value {
        match &metric.read {
            Read::Ratio { of, per } => {
                let (Some(of), Some(per)) = (self.sum(of, source), self.sum(per, source)) else {
                    return Value::Unknown;
                };
                if per == 0 {
                    return Value::Unknown;
                }
                match metric.unit {
                    Unit::Money => {
                        let units = of as f64 / per as f64 * 10_000.0;
                        Value::Amount(Amount(units.round() as i64))
                    }
                    _ => Value::Ratio(of as f64 / per as f64),
                }
            }
            _ => match (self.units(metric, source), metric.unit) {
                (None, _) => Value::Unknown,
                (Some(units), Unit::Count) => Value::Count((units / 10_000) as i64),
                (Some(units), _) => Value::Amount(Amount(i64::try_from(units).unwrap_or(i64::MAX))),
            },
        }
    }

    /// What a ratio divides by, as a float: its volume. Of another metric, the value itself.
    pub fn volume(&self, metric: &Metric, source: &impl Source) -> Option<f64> {
        let units = match &metric.read {
            Read::Ratio { per, .. } => self.sum(per, source),
            _ => self.units(metric, source),
        };
        units.map(|units| units as f64 / 10_000.0)
    }

    /// Whether a metric is a number of events, or a quotient of such numbers: what can be
    /// told apart from chance.
    pub fn is_counted(&self, metric: &Metric) -> bool {
        let all =
            |indices: &[usize]| indices.iter().all(|index| self.is_counted(&self.metrics[*index]));
        match &metric.read {
            Read::Types(_) | Read::AllEvents | Read::Series(Series::Matching(_)) => true,
            Read::Ratio { of, per } => all(of) && all(per),
            Read::Series(_) | Read::Distinct | Read::Difference { .. } => false,
        }
    }

    /// Whether a metric divides.
    pub fn is_ratio(&self, metric: &Metric) -> bool {
        matches!(metric.read, Read::Ratio { .. })
    }

    /// Whether a metric can be read for any span of time, or only by business day.
    pub fn is_by_day_only(&self, metric: &Metric) -> bool {
        let any = |indices: &[usize]| {
            indices.iter().any(|index| self.is_by_day_only(&self.metrics[*index]))
        };
        match &metric.read {
            Read::Distinct => true,
            Read::Ratio { of, per } => any(of) || any(per),
            Read::Difference { of, minus } => any(of) || any(minus),
            Read::Types(_) | Read::AllEvents | Read::Series(_) => false,
        }
    }

    /// The sums that the metric of this name is made of.
    pub fn parts(&self, name: &str) -> Parts {
        let mut parts = Parts::default();
        if let Some(metric) = self.metric(name) {
            self.add_parts(metric, &mut parts);
        }
        parts
    }

    fn add_parts(&self, metric: &Metric, parts: &mut Parts) {
        match &metric.read {
            Read::Types(types) => parts.series.extend(types.iter().cloned()),
            Read::Series(series) => parts.series.push(series.clone()),
            Read::AllEvents => parts.all_events = true,
            Read::Distinct => {}
            Read::Ratio { of, per: others } | Read::Difference { of, minus: others } => {
                for index in of.iter().chain(others) {
                    self.add_parts(&self.metrics[*index], parts);
                }
            }
        }
        parts.series.sort();
        parts.series.dedup();
    }

    fn sum(&self, indices: &[usize], source: &impl Source) -> Option<i128> {
        indices.iter().map(|index| self.units(&self.metrics[*index], source)).sum()
    }

    /// In 1/10,000, whatever the unit; a ratio has none.
    fn units(&self, metric: &Metric, source: &impl Source) -> Option<i128> {
        let counted = |n: i64| Some(i128::from(n) * 10_000);
        match &metric.read {
            Read::Types(types) => counted(types.iter().map(|series| source.series(series)).sum()),
            Read::AllEvents => counted(source.all_events()),
            Read::Series(series @ Series::Sum(_)) => Some(i128::from(source.series(series))),
            Read::Series(series) => counted(source.series(series)),
            Read::Distinct => counted(source.distinct(&metric.name)?),
            Read::Difference { of, minus } => {
                Some(self.sum(of, source)? - self.sum(minus, source)?)
            }
            Read::Ratio { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
