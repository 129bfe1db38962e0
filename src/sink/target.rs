//! What a sink is to its writers.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Sink, SinkError};
use crate::domain::batch::{Batch, BatchId};

/// A place that batches are written to. All writers of a sink share one.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Which sink this is: the label of its metrics, its part of `/readyz`, and the cursor of
    /// the spool that its batches move.
    fn sink(&self) -> Sink;

    /// Writes a batch exactly once, however often it is called for the same batch. Batches of
    /// one lane come one after the other, in order.
    ///
    /// # Errors
    /// The batch is not known to be written; the writer calls again with the same batch.
    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError>;

    /// Looks whether the sink still has what it was given, up to `last`, and brings it what it
    /// has lost. Called now and then while a lane rests: no next batch would show the loss. What
    /// fails here is tried again at the next look.
    async fn look(&self, _last: BatchId) {}
}
