//! What only one of all nodes may do.

use std::time::Duration;

use async_trait::async_trait;

use super::SinkError;

/// A lease that one holder has at a time, kept where all nodes see it: in Redis, else in
/// Postgres. Where no other node shares the place (SQLite, counters in this process), whoever
/// asks has it.
#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Takes the lease for `ttl`, or renews it; whether `holder` has it now.
    async fn lead(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError>;

    /// Lets go of the lease, if `holder` has it.
    async fn resign(&self, holder: &str) -> Result<(), SinkError>;
}
