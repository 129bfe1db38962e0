//! The interface between the lane writers and a sink.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Sink, SinkError};
use crate::domain::batch::Batch;

/// A place that batches are written to. All writers of a sink share one.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Which sink this is: the label of its metrics, its part of `/readyz`, and the cursor of
    /// the spool that its batches move.
    fn sink(&self) -> Sink;

    /// Writes a batch. However often this is called for the same batch, it is written exactly once.
    /// Batches of one lane come one after the other, in order.
    ///
    /// # Errors
    /// The batch is not known to be written; the writer calls again with the same batch.
    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError>;

    /// Looks whether the sink still has the batches of a lane that are settled, and writes again
    /// what the sink has lost. This is called at the start, and now and then while the lane has
    /// nothing to write, since no next batch would show the loss. What fails here is tried again at
    /// the next look.
    async fn look(&self, _lane: u64) {}
}
