//! The metrics and breakdowns in force, and how a metric is read.

use hashbrown::HashMap;

use super::{
    breakdown::Breakdown,
    hidden::MoneyProperties,
    kind::Definition,
    plan::Plan,
    value::{Unit, Value},
};
use crate::domain::{
    currency::{CODES, Rates},
    delta::Series,
    money::UNITS_PER_WHOLE,
};

/// All metrics and breakdowns, ready for use.
#[derive(Clone, Debug, Default)]
pub struct MetricSet {
    pub(super) metrics: Vec<Metric>,
    pub(super) breakdowns: Vec<Breakdown>,
    /// Of event types that a rule names.
    pub(super) plans: HashMap<String, Plan>,
    /// Of all other event types.
    pub(super) any: Plan,
    pub(super) rates: Rates,
    pub(super) money: MoneyProperties,
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name, `checkout_error_rate`.
    pub name: String,
    /// What its value is.
    pub unit: Unit,
    /// Whether it shows money: see [`MetricSet::shows`].
    pub shows_money: bool,
    /// The types of the events that it is made of; `*` stands for all.
    pub events: Vec<String>,
    /// The properties that it is made of: those that it adds up, tells apart or asks for.
    pub properties: Vec<String>,
    pub(super) definition: Definition,
}

/// The sums of some span of time.
pub trait SeriesSums {
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
pub struct MetricSeries {
    /// Each once.
    pub series: Vec<Series>,
    /// Whether the number of all events is one of them.
    pub all_events: bool,
    /// The names of the distinct metrics whose numbers of different values are among them, each once.
    pub distinct: Vec<String>,
}

impl MetricSet {
    /// Every metric, in the order of the configuration.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Every breakdown, in the order of the configuration.
    pub fn breakdowns(&self) -> &[Breakdown] {
        &self.breakdowns
    }

    /// The names of the distinct metrics.
    pub fn distinct(&self) -> impl Iterator<Item = &str> {
        let is_distinct = |metric: &&Metric| matches!(metric.definition, Definition::Distinct(_));
        self.metrics.iter().filter(is_distinct).map(|metric| metric.name.as_str())
    }

    /// The base currency and the rates.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// A metric by its name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// What an event of this type adds to the counters.
    pub fn plan(&self, kind: &str) -> &Plan {
        self.plans.get(kind).unwrap_or(&self.any)
    }

    /// The plan of an event type that a rule names; `None` for all others.
    pub fn own_plan(&self, kind: &str) -> Option<&Plan> {
        self.plans.get(kind)
    }

    /// The plan of the event types that no rule names.
    pub fn plan_of_others(&self) -> &Plan {
        &self.any
    }

    /// The value of a metric over the span of time that `sums` adds up.
    pub fn value(&self, metric: &Metric, sums: &impl SeriesSums) -> Value {
        metric.definition.value(metric.unit, self, sums)
    }

    /// What a ratio divides by, as a float: its volume. Of another metric, the value itself.
    pub fn volume(&self, metric: &Metric, sums: &impl SeriesSums) -> Option<f64> {
        let units = metric.definition.volume(self, sums)?;
        Some(units as f64 / UNITS_PER_WHOLE as f64)
    }

    /// What a ratio divides, as a float. Of another metric, the value itself.
    pub fn dividend(&self, metric: &Metric, sums: &impl SeriesSums) -> Option<f64> {
        let units = metric.definition.dividend(self, sums)?;
        Some(units as f64 / UNITS_PER_WHOLE as f64)
    }

    /// How many events a metric leaves out over the span of time that `sums` adds up, since one of its sums
    /// can't add them: their currency has no rate, or the property is no number. A ratio leaves them out on
    /// both sides.
    pub fn left_out(&self, metric: &Metric, sums: &impl SeriesSums) -> u64 {
        metric.definition.left_out(self, sums).max(0) as u64
    }

    /// Whether a metric is a number of events, or a quotient of such numbers: only of these it
    /// is known how far chance alone moves them.
    pub fn is_counted(&self, metric: &Metric) -> bool {
        metric.definition.is_counted(self)
    }

    /// Whether a metric divides.
    pub fn is_ratio(&self, metric: &Metric) -> bool {
        metric.definition.divides()
    }

    /// Whether a metric is known by business day only, or for any span of time.
    pub fn is_by_day_only(&self, metric: &Metric) -> bool {
        metric.definition.is_by_day_only(self)
    }

    /// The sums that the metric of this name is made of; none where there is no such metric.
    pub fn parts(&self, name: &str) -> MetricSeries {
        let mut parts = MetricSeries::default();
        if let Some(metric) = self.metric(name) {
            metric.definition.add_parts(self, &mut parts);
        }
        parts.series.sort();
        parts.series.dedup();
        parts.distinct.sort();
        parts.distinct.dedup();
        parts
    }

    /// How many series the events of a node can make at most, where `max_types` event types that
    /// no rule names have counters of their own.
    pub fn most_series(&self, max_types: usize) -> usize {
        let mut parts = MetricSeries::default();
        self.metrics.iter().for_each(|metric| metric.definition.add_parts(self, &mut parts));
        parts.series.sort();
        parts.series.dedup();
        let is_money = |metric: &&Metric| {
            metric.unit == Unit::Money && matches!(metric.definition, Definition::Sum(_))
        };
        let money = self.metrics.iter().filter(is_money).count();
        // One more stands for the events of all further types.
        max_types + 1 + self.plans.len() + parts.series.len() + money * CODES
    }

    /// The sum of some metrics, in 1/10,000; `None` where one of them is not known. Metrics mean
    /// others by their place in the list, and only earlier ones, so no circle is possible.
    pub(super) fn sum(&self, metrics: &[usize], sums: &impl SeriesSums) -> Option<i128> {
        metrics.iter().map(|index| self.metrics[*index].definition.units(self, sums)).sum()
    }

    /// How many events some metrics leave out.
    pub(super) fn left_out_of(&self, metrics: &[usize], sums: &impl SeriesSums) -> i64 {
        metrics.iter().map(|index| self.metrics[*index].definition.left_out(self, sums)).sum()
    }

    /// Whether each of some metrics is a number of events.
    pub(super) fn all_counted(&self, metrics: &[usize]) -> bool {
        metrics.iter().all(|index| self.is_counted(&self.metrics[*index]))
    }

    /// Whether any of some metrics is known by business day only.
    pub(super) fn any_by_day_only(&self, metrics: &[usize]) -> bool {
        metrics.iter().any(|index| self.is_by_day_only(&self.metrics[*index]))
    }

    /// Adds the sums that some metrics are made of.
    pub(super) fn add_parts(&self, metrics: &[usize], parts: &mut MetricSeries) {
        for index in metrics {
            self.metrics[*index].definition.add_parts(self, parts);
        }
    }
}
