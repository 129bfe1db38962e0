//! What operators see: logs ([`log`]), Prometheus metrics ([`prometheus`], and [`queue`] for what waits for
//! each part) and the state of each part for `/readyz` ([`health`]).

pub mod health;
pub mod log;
pub mod prometheus;
pub mod queue;
