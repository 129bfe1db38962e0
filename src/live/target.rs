//! The live side as a sink: what it means for the live side that a batch is written.

use std::sync::Arc;

use actix::Recipient;
use async_trait::async_trait;

use super::{Applied, LiveStore, Touch};
use crate::{
    domain::{
        batch::{Batch, BatchId, LANES},
        delta::Delta,
        time::Millis,
    },
    failpoint::kill_point,
    sink::{BatchReader, Sink, SinkError, SinkErrorKind, Target},
    store::Ledger,
};

/// Counts batches on the live side. Where the live side has lost earlier batches, these are counted
/// again first, from the spool or the ledger.
pub struct LiveTarget {
    /// Where the counters are.
    pub live: Arc<dyn LiveStore>,
    /// The counter actor, which notes visitors.
    pub visitors: Recipient<Touch>,
    /// Reads batches that the live side has lost and that are still in the spool.
    pub reader: BatchReader,
    /// Has the deltas of batches that have left the spool.
    pub ledger: Arc<dyn Ledger>,
}

#[async_trait]
impl Target for LiveTarget {
    fn sink(&self) -> Sink {
        Sink::Live
    }

    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError> {
        self.count(batch).await?;
        kill_point!("live-counted");
        Ok(())
    }

    async fn look(&self, last: BatchId) {
        // The error is ignored: the next look asks again, and a batch would report it.
        let Ok(head) = self.live.head(last.run, last.lane()).await else { return };
        if head < last.seq {
            let next = BatchId { seq: last.seq + LANES, ..last };
            if let Err(e) = self.catch_up(next, head).await {
                tracing::debug!(error = %e, "could not count lost batches again while the lane rests");
            }
        }
    }
}

impl LiveTarget {
    /// Counts a batch, and before it those that the live side lacks.
    async fn count(&self, batch: &Batch) -> Result<(), SinkError> {
        // Visitors are noted first. To note them twice changes nothing, but once the batch is
        // counted, a crash in between would leave them out for good: it is not written again.
        self.touch(&batch.delta).await?;
        loop {
            match self.live.apply(batch.id, batch.sealed_at, &batch.delta).await? {
                Applied::Counted => {
                    metrics::counter!("floodmark_events_counted_total").increment(batch.events);
                    return Ok(());
                }
                Applied::AlreadyCounted => return Ok(()),
                Applied::Gap { last } => self.catch_up(batch.id, last).await?,
            }
        }
    }

    /// Counts the batches of the lane between `last` and `id`, without these two.
    async fn catch_up(&self, id: BatchId, last: u64) -> Result<(), SinkError> {
        let first = if last == 0 { first_of_lane(id.lane()) } else { last + LANES };
        tracing::info!(
            node = %id.run, first, before = id.seq,
            "the live side lacks batches: counting them again"
        );
        for seq in (first..id.seq).step_by(LANES as usize) {
            let (sealed_at, delta) = self.lost(BatchId { seq, ..id }).await?;
            self.touch(&delta).await?;
            self.live.apply(BatchId { seq, ..id }, sealed_at, &delta).await?;
        }
        Ok(())
    }

    /// Finds a batch that had been counted once: when it was sealed (Unix ms), and its delta. The
    /// spool is asked first, then the ledger, for which this function gives 0 as the time. A batch
    /// that neither of them has any more has left both for good, and counts nothing.
    async fn lost(&self, id: BatchId) -> Result<(Millis, Arc<Delta>), SinkError> {
        if self.reader.may_have(id.seq) {
            let batch = self.reader.read(id.seq).await;
            return Ok((batch.sealed_at, batch.delta.clone()));
        }
        let delta = self.ledger.delta(id).await.map_err(|e| {
            let message = format!("can't read the ledger to count batch {} again: {e}", id.seq);
            // For the live side this is an outage, whatever the store has answered.
            SinkError::new(SinkErrorKind::Unavailable, message)
        })?;
        Ok((0, Arc::new(delta.unwrap_or_default())))
    }

    /// Has the counter actor note visitors and distinct values.
    async fn touch(&self, delta: &Arc<Delta>) -> Result<(), SinkError> {
        let sent = self.visitors.send(Touch(delta.clone())).await;
        sent.unwrap_or_else(|e| {
            let message = format!("the counter actor did not answer: {e}");
            Err(SinkError::new(SinkErrorKind::Unavailable, message))
        })
    }
}

/// The first batch of a lane. Sequence numbers begin at 1, so the first batch of lane 0 is number
/// [`LANES`].
fn first_of_lane(lane: u64) -> u64 {
    if lane == 0 { LANES } else { lane }
}
