//! What operators see: logs ([`log`]), Prometheus metrics ([`prometheus`], and [`queue`] for what waits for
//! each part), the state of each part for `/readyz` ([`health`]), and
//! metrics and traces for a collector of OpenTelemetry ([`otlp`]).

pub mod exposition;
pub mod health;
pub mod log;
pub mod otlp;
pub mod prometheus;
pub mod queue;
