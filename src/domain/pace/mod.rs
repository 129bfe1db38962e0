//! Pace: how a metric is doing against what it is to come to, and where it will end.

pub mod forecast;
pub mod target;
#[cfg(test)]
mod tests;

pub use self::target::{Curve, MetricTarget, TargetSpan, TargetSpec, Targets};
