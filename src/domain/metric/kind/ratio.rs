//! `ratio`: the sum of some metrics divided by the sum of others. It writes nothing: a quotient
//! can't be added up, so it is taken of the sums of the span that is asked for.

use std::convert::Infallible;

use super::{MetricKind, common_unit, places};
use crate::domain::{
    metric::{
        metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
        plan::Wanted,
        spec::MetricSpec,
        value::{Unit, Value},
    },
    money::{Amount, UNITS_PER_WHOLE},
};

/// The places of the metrics that are added up above and below the line.
#[derive(Clone, Debug)]
pub(in super::super) struct Ratio {
    of: Vec<usize>,
    per: Vec<usize>,
}

impl MetricKind for Ratio {
    const NEEDS: &'static [&'static str] = &["of", "per"];
    const MAY_HAVE: &'static [&'static str] = &[];
    const DIVIDES: bool = true;
    type Step = Infallible;

    fn compile(spec: &MetricSpec, earlier: &[Metric]) -> Result<(Ratio, Unit), String> {
        let (name, of, per) = (
            &spec.name,
            places(&spec.name, &spec.of, earlier)?,
            places(&spec.name, &spec.per, earlier)?,
        );
        let unit = match (common_unit(name, &of, earlier)?, common_unit(name, &per, earlier)?) {
            // Money for each order is money.
            (Unit::Money, Unit::Count | Unit::Number) => Unit::Money,
            _ => Unit::Ratio,
        };
        Ok((Ratio { of, per }, unit))
    }

    fn step(&self, _: &MetricSpec, _: &mut Wanted) -> Option<Infallible> {
        None
    }

    fn units(&self, _: &MetricSet, _: &impl SeriesSums) -> Option<i128> {
        None
    }

    fn value(&self, unit: Unit, metric_set: &MetricSet, sums: &impl SeriesSums) -> Value {
        let (Some(of), Some(per)) =
            (metric_set.sum(&self.of, sums), metric_set.sum(&self.per, sums))
        else {
            return Value::Unknown;
        };
        if per == 0 {
            return Value::Unknown;
        }
        let quotient = of as f64 / per as f64;
        match unit {
            Unit::Money => {
                Value::Amount(Amount((quotient * UNITS_PER_WHOLE as f64).round() as i64))
            }
            _ => Value::Ratio(quotient),
        }
    }

    fn volume(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        metric_set.sum(&self.per, sums)
    }

    fn dividend(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        metric_set.sum(&self.of, sums)
    }

    fn is_counted(&self, metric_set: &MetricSet) -> bool {
        metric_set.all_counted(&self.of) && metric_set.all_counted(&self.per)
    }

    fn is_by_day_only(&self, metric_set: &MetricSet) -> bool {
        metric_set.any_by_day_only(&self.of) || metric_set.any_by_day_only(&self.per)
    }

    fn add_parts(&self, metric_set: &MetricSet, parts: &mut MetricSeries) {
        metric_set.add_parts(&self.of, parts);
        metric_set.add_parts(&self.per, parts);
    }
}
