//! `difference`: the sum of some metrics less the sum of others. It writes nothing: the sums
//! are there anyway.

use std::convert::Infallible;

use super::{MetricKind, common_unit, places};
use crate::domain::metric::{
    metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
    plan::Wanted,
    spec::MetricSpec,
    value::Unit,
};

/// The places of the metrics that are added, and of those that are taken away.
#[derive(Clone, Debug)]
pub(in super::super) struct Difference {
    of: Vec<usize>,
    minus: Vec<usize>,
}

impl Difference {
    /// The places of all metrics that it is made of.
    pub fn operands(&self) -> impl Iterator<Item = usize> {
        self.of.iter().chain(&self.minus).copied()
    }
}

impl MetricKind for Difference {
    const NEEDS: &'static [&'static str] = &["of", "minus"];
    const MAY_HAVE: &'static [&'static str] = &[];
    type Step = Infallible;

    fn compile(spec: &MetricSpec, earlier: &[Metric]) -> Result<(Difference, Unit), String> {
        let name = &spec.name;
        let of = places(name, &spec.of, earlier)?;
        let minus = places(name, &spec.minus, earlier)?;
        let unit = common_unit(name, &of, earlier)?;
        if unit != common_unit(name, &minus, earlier)? {
            return Err(format!("{name:?} takes money from numbers or the reverse"));
        }
        Ok((Difference { of, minus }, unit))
    }

    fn step(&self, _: &MetricSpec, _: &mut Wanted) -> Option<Infallible> {
        None
    }

    fn units(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        Some(metric_set.sum(&self.of, sums)? - metric_set.sum(&self.minus, sums)?)
    }

    fn left_out(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> i64 {
        metric_set.left_out_of(&self.of, sums) + metric_set.left_out_of(&self.minus, sums)
    }

    /// A difference of two counts may be small while both are large, so its own size says
    /// nothing of how far chance moves it.
    fn is_counted(&self, _: &MetricSet) -> bool {
        false
    }

    fn is_by_day_only(&self, metric_set: &MetricSet) -> bool {
        metric_set.any_by_day_only(&self.of) || metric_set.any_by_day_only(&self.minus)
    }

    fn add_parts(&self, metric_set: &MetricSet, parts: &mut MetricSeries) {
        metric_set.add_parts(&self.of, parts);
        metric_set.add_parts(&self.minus, parts);
    }
}
