//! `count`: the number of events of some types, perhaps only of those that pass filters.

use super::{MetricKind, StepOf, whole};
use crate::domain::{
    delta::Series,
    metric::{
        metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
        plan::{Seen, Tally, Wanted},
        spec::{ANY, MetricSpec},
        value::Unit,
    },
};

/// Which counters a count is the sum of.
#[derive(Clone, Debug)]
pub(in super::super) enum Count {
    /// Those of some event types. Each type has its counter anyway, so nothing more is written.
    Types(Vec<Series>),
    /// Those of all event types.
    All,
    /// One of its own: of the events that pass the filters.
    Matching(Series),
}

/// Counts an event that passed the filters.
#[derive(Clone, Debug)]
pub(in super::super) struct CountOne(pub(in super::super) Series);

impl MetricKind for Count {
    const NEEDS: &'static [&'static str] = &["event"];
    const MAY_HAVE: &'static [&'static str] = &["where"];
    type Step = CountOne;

    fn compile(spec: &MetricSpec, _: &[Metric]) -> Result<(Count, Unit), String> {
        let count = if !spec.filter.is_empty() {
            Count::Matching(Series::Matching(spec.name.clone()))
        } else if spec.event.0 == [ANY] {
            Count::All
        } else {
            Count::Types(spec.event.0.iter().cloned().map(Series::Count).collect())
        };
        Ok((count, Unit::Count))
    }

    fn step(&self, _: &MetricSpec, _: &mut Wanted) -> Option<CountOne> {
        match self {
            Count::Matching(series) => Some(CountOne(series.clone())),
            Count::Types(_) | Count::All => None,
        }
    }

    fn units(&self, _: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        Some(whole(match self {
            Count::Types(types) => types.iter().map(|series| sums.series(series)).sum(),
            Count::All => sums.all_events(),
            Count::Matching(series) => sums.series(series),
        }))
    }

    fn is_counted(&self, _: &MetricSet) -> bool {
        true
    }

    fn is_by_day_only(&self, _: &MetricSet) -> bool {
        false
    }

    fn add_parts(&self, _: &MetricSet, parts: &mut MetricSeries) {
        match self {
            Count::Types(types) => parts.series.extend(types.iter().cloned()),
            Count::All => parts.all_events = true,
            Count::Matching(series) => parts.series.push(series.clone()),
        }
    }
}

impl StepOf for CountOne {
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
        tally.sum.sum(&self.0, seen.row.time, 1);
    }
}
