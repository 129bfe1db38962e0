//! What operators see: logs ([`log`]), Prometheus metrics ([`prometheus`]) and the state of
//! each part for `/readyz` ([`health`]).

pub mod health;
pub mod log;
pub mod prometheus;
