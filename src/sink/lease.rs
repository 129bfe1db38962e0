//! A lease, for work that only one of all nodes may do at a time.

use std::time::Duration;

use async_trait::async_trait;

use super::SinkError;

/// A lease that one holder has at a time. It is kept where all nodes see it: in Redis, or without
/// Redis in Postgres. Where no other node shares the place (SQLite, counters in this process),
/// whoever asks has the lease.
#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Takes the lease for `ttl`, or renews it. Answers whether `holder` has it now.
    async fn lead(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError>;

    /// Lets go of the lease, if `holder` has it, so that another need not wait for its end.
    async fn resign(&self, holder: &str) -> Result<(), SinkError>;
}
