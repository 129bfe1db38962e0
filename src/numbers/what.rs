//! What a time series is of, and what a bucket says of it.

use crate::{
    domain::{
        aggregate::OVERFLOW,
        delta::Series,
        metric::{MetricSeries, MetricSet, SeriesSums, Value},
        sketch::Estimate,
    },
    numbers::current::OTHER,
};

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Events of one type; of [`OTHER`] with those of all types without counters of their own, and of
    /// [`OVERFLOW`] only these.
    Type(String),
    /// A metric, by its name.
    Metric(String),
    /// Visitors who were seen in the bucket.
    ActiveUsers,
}

/// What a bucket says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BucketValue {
    /// What was counted.
    pub value: Value,
    /// How many events the metric leaves out.
    pub left_out: u64,
    /// The standard error of the value; 0 where it is exact.
    pub error: f64,
    /// Nothing was counted under the type's name, but something was whose type had no counter. Of which type
    /// that was is not known; so the value is unknown, unless the type had a counter on that day.
    pub may_overflow: bool,
}

impl BucketValue {
    /// Nothing is known of the bucket.
    pub const UNKNOWN: BucketValue =
        BucketValue { value: Value::Unknown, left_out: 0, error: 0.0, may_overflow: false };

    /// A number of visitors.
    pub fn visitors(estimate: Estimate) -> BucketValue {
        let value = Value::Count(estimate.count as i64);
        BucketValue { value, error: estimate.error, ..BucketValue::UNKNOWN }
    }

    fn count(events: i64) -> BucketValue {
        BucketValue { value: Value::Count(events), ..BucketValue::UNKNOWN }
    }

    /// The standard error as it is shown; `None` where the value is exact.
    pub fn rounded_error(&self) -> Option<f64> {
        // Three digits say enough of how far off a number may be.
        let digits = 10_f64.powf(self.error.log10().floor() - 2.0);
        (self.error > 0.0).then(|| match self.value {
            Value::Count(_) => self.error.ceil(),
            _ => (self.error / digits).round() * digits,
        })
    }

    /// Whether something was counted.
    pub fn has_some(&self) -> bool {
        matches!(self.value, Value::Count(events) if events > 0)
    }
}

impl What {
    /// The series whose sums it is computed from.
    pub(super) fn parts(&self, metric_set: &MetricSet) -> MetricSeries {
        match self {
            What::Type(kind) => {
                let mut series = vec![Series::Count(kind.clone())];
                if kind != OVERFLOW && (kind == OTHER || metric_set.own_plan(kind).is_none()) {
                    series.push(Series::Count(OVERFLOW.to_owned()));
                }
                MetricSeries { series, ..MetricSeries::default() }
            }
            What::Metric(name) => metric_set.parts(name),
            What::ActiveUsers => MetricSeries::default(),
        }
    }

    /// What it is over the span of time that `sums` adds up.
    pub(super) fn told(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> BucketValue {
        let kind = match self {
            What::Metric(name) => {
                return metric_set.metric(name).map_or(BucketValue::UNKNOWN, |metric| {
                    BucketValue {
                        value: metric_set.value(metric, sums),
                        left_out: metric_set.left_out(metric, sums),
                        ..BucketValue::UNKNOWN
                    }
                });
            }
            // Who was there is no sum: see `numbers/different`.
            What::ActiveUsers => return BucketValue::UNKNOWN,
            What::Type(kind) => kind,
        };
        let events = |kind: &str| sums.series(&Series::Count(kind.to_owned()));
        let named = events(kind);
        match kind.as_str() {
            OVERFLOW => BucketValue::count(named),
            OTHER => BucketValue::count(named.saturating_add(events(OVERFLOW))),
            // A type that a rule names has its counter always.
            _ if named > 0 || metric_set.own_plan(kind).is_some() || events(OVERFLOW) == 0 => {
                BucketValue::count(named)
            }
            _ => BucketValue { may_overflow: true, ..BucketValue::UNKNOWN },
        }
    }
}
