//! `ratio`: the sum of some metrics divided by the sum of others. It writes nothing: a quotient
//! can't be added up, so it is taken of the sums of the span that is asked for. Both sides are of the same
//! events, which is what [`left_out`](crate::domain::metric::left_out) is about.

use super::{MetricKind, common_unit, places};
use crate::domain::{
    metric::{
        left_out::{LeaveOut, LeftOut, Without},
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
    /// Where the events are noted that it leaves out; `None` where it has no sum, and leaves none out.
    left_out: Option<LeftOut>,
}

impl Ratio {
    /// The places of all metrics that it is made of.
    pub fn operands(&self) -> impl Iterator<Item = usize> {
        self.of.iter().chain(&self.per).copied()
    }

    /// Where the events are noted that it leaves out.
    pub fn leaves_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }
}

impl MetricKind for Ratio {
    const NEEDS: &'static [&'static str] = &["of", "per"];
    const MAY_HAVE: &'static [&'static str] = &[];
    const DIVIDES: bool = true;
    type Step = LeaveOut;

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
        let left_out = LeftOut::of(name, &[of.as_slice(), &per].concat(), earlier);
        Ok((Ratio { of, per, left_out }, unit))
    }

    /// The step looks at what its operands do, so the plan makes it, which knows them.
    fn step(&self, _: &MetricSpec, _: &mut Wanted) -> Option<LeaveOut> {
        None
    }

    fn units(&self, _: &MetricSet, _: &impl SeriesSums) -> Option<i128> {
        None
    }

    fn value(&self, unit: Unit, metric_set: &MetricSet, sums: &impl SeriesSums) -> Value {
        let (Some(of), Some(per)) =
            (self.dividend(metric_set, sums), self.volume(metric_set, sums))
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
        metric_set.sum(&self.per, &Without::new(self.leaves_out(), sums))
    }

    fn left_out(&self, _: &MetricSet, sums: &impl SeriesSums) -> i64 {
        self.left_out.as_ref().map_or(0, |left_out| left_out.events(sums))
    }

    fn dividend(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        metric_set.sum(&self.of, &Without::new(self.leaves_out(), sums))
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
        if let Some(left_out) = &self.left_out {
            left_out.add_parts(parts);
        }
    }
}
