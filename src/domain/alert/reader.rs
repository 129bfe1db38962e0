//! How alerts read the numbers that they are compared with.

use crate::domain::{
    alert::spec::Against,
    metric::{Metric, MetricSet, SeriesSums},
    time::Millis,
    top::Top,
};

/// What a metric is made of in some span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operands {
    /// The dividend of a ratio; the value of any other metric.
    pub of: f64,
    /// The divisor of a ratio; `None` for any other metric.
    pub per: Option<f64>,
}

impl Operands {
    /// Reads them from the sums of a span; `None` where they are not known.
    pub fn read(
        metric_set: &MetricSet,
        metric: &Metric,
        sums: &impl SeriesSums,
    ) -> Option<Operands> {
        let volume = metric_set.volume(metric, sums)?;
        if !metric_set.is_ratio(metric) {
            return Some(Operands { of: volume, per: None });
        }
        let value = metric_set.value(metric, sums).as_f64().unwrap_or(0.0);
        Some(Operands { of: value * volume, per: Some(volume) })
    }

    /// The metric's value; `None` for a quotient of nothing.
    pub(super) fn value(self) -> Option<f64> {
        match self.per {
            None => Some(self.of),
            Some(per) => (per > 0.0).then(|| self.of / per),
        }
    }

    /// How much the value rests on: what a ratio divides by, or the value itself.
    pub(super) fn volume(self) -> f64 {
        self.per.unwrap_or(self.of)
    }
}

/// Reads the numbers that alerts ask for. A running server reads its mirror of the counters, and
/// the test of rules on the past (`floodmark alerts test`) reads the rollups.
pub trait MetricReader {
    /// The latest moment up to `at` (Unix ms) that a span may begin or end at: a full second of
    /// the mirror, a full minute of the rollups.
    fn floor(&self, at: Millis) -> Millis;
    /// How late nearly all events of a metric arrive at most, in ms: a window that ends later than so
    /// long ago lacks some that are on their way.
    fn late_by(&self, metric: &Metric) -> Millis;
    /// A metric in `[from, to)` (Unix ms); `None` where it is not known.
    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Operands>;
    /// How much of `[from, to)` lies in minutes with any event, in ms. Minutes without events are
    /// not taken as quiet ones, since they may be minutes of which nothing is known.
    fn covered(&self, from: Millis, to: Millis) -> Millis;
    /// A metric in the minutes of `[from, to)` a day or a week before; `None` where it is not
    /// known.
    fn past(&self, metric: &Metric, against: Against, from: Millis, to: Millis)
    -> Option<Operands>;
    /// The most frequent values of a breakdown in the minutes of `[from, to)`.
    fn values(&self, breakdown: &str, from: Millis, to: Millis) -> Top;
    /// Events of one type in `[from, to)`.
    fn events(&self, kind: &str, from: Millis, to: Millis) -> i64;
}
