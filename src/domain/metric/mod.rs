//! Business metrics: what the configuration declares ([`spec`]), checked and compiled once at
//! start ([`compile`]).
//!
//! A metric is *written* as series ([`crate::domain::delta::Series`]) when a batch is sealed:
//! the steps of an event type's [`Plan`] say what an event of that type adds. It is *read*
//! from the sums of any span of time ([`SeriesSums`]). Ratios and differences are only read; a ratio
//! notes no more than which events it leaves out ([`left_out`]).
//!
//! What is special about a kind of metric stands in its own file under [`kind`], which also
//! has the recipe for a new one. The rest is common to all of them: which events a metric
//! takes ([`filter`]), what its values are ([`value`]), the list of metrics in force
//! ([`metric_set`]). Breakdowns ([`breakdown`]) are counted by the same plans.

mod breakdown;
mod compile;
mod filter;
mod hidden;
mod kind;
mod left_out;
mod metric_set;
mod plan;
mod spec;
mod unstored;
mod value;

pub use self::{
    breakdown::{Breakdown, MISSING, Tallied},
    filter::{Comparison, Test},
    hidden::REVENUE,
    kind::{AmountFault, DistinctNoted, Kind, currency_sent},
    metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
    plan::{Plan, Tally},
    spec::{BreakdownSpec, MetricSpec, Names},
    unstored::unstored,
    value::{Unit, Value},
};

#[cfg(test)]
mod tests;
