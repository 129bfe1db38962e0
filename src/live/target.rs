//! The live side as a sink: what it means for the live side that a batch is written.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Applied, LiveStore, NotesVisitors, tails::Tails};
use crate::{
    domain::{
        batch::{Batch, BatchId, LANES, RunId},
        delta::Delta,
        time::Millis,
    },
    failpoint::kill_point,
    sink::{
        BatchReader, HasHeads, Sink, SinkError, SinkErrorKind, Target, last_of_lane,
        newest_of_lane, next_of_lane,
    },
    store::Ledger,
};

/// Counts batches on the live side. Where the live side has lost earlier batches, these are counted
/// again first, from the spool or the ledger.
pub struct LiveTarget {
    /// Where the counters are.
    pub live: Arc<dyn LiveStore>,
    /// Who notes visitors: the counter actor.
    pub visitors: Arc<dyn NotesVisitors>,
    /// Reads batches that the live side has lost and that are still in the spool.
    pub reader: BatchReader,
    /// Has the deltas of batches that have left the spool.
    pub ledger: Arc<dyn Ledger>,
    /// Batches of which another process may have sealed a longer form.
    pub tails: Tails,
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

    async fn look(&self, lane: u64) {
        let settled = self.reader.spool.settled(Sink::Live);
        let Some(last) = last_of_lane(lane, settled) else { return };
        if let Err(e) = self.catch_up(lane, last + LANES).await {
            // The next look asks again, and a batch would report it.
            tracing::debug!(error = %e, "could not look whether the live side has all batches");
        }
        if let Err(e) = self.tails.look(lane).await {
            tracing::debug!(error = %e, "could not ask the store about the tails of earlier runs");
        }
    }
}

#[async_trait]
impl HasHeads for LiveTarget {
    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError> {
        self.live.head(run, lane).await
    }
}

impl LiveTarget {
    /// Counts a batch, and before it those that the live side lacks.
    async fn count(&self, batch: &Batch) -> Result<(), SinkError> {
        // Visitors are noted first. To note them twice changes nothing, but once the batch is
        // counted, a crash in between would leave them out for good: it is not written again.
        self.touch(&batch.delta).await?;
        let mut has_caught_up = false;
        loop {
            match self.apply(batch.id, batch.after, batch.sealed_at, &batch.delta).await? {
                Applied::Counted => {
                    metrics::counter!("floodmark_events_counted_total").increment(batch.events);
                    return Ok(());
                }
                Applied::AlreadyCounted => return Ok(()),
                Applied::Gap { .. } if !has_caught_up => {
                    self.catch_up(batch.id.lane(), batch.id.seq).await?;
                    has_caught_up = true;
                }
                Applied::Gap { .. } => {
                    let message = format!("it lacks the batches before {} again", batch.id.seq);
                    return Err(SinkError::new(SinkErrorKind::Other, message));
                }
            }
        }
    }

    async fn apply(
        &self,
        id: BatchId,
        after: Option<BatchId>,
        sealed_at: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError> {
        let applied = self.live.apply(id, after, sealed_at, delta).await?;
        if applied == Applied::Counted {
            self.tails.counted(id);
        }
        Ok(applied)
    }

    /// Counts the batches of a lane that the live side lacks, up to batch `before` and without it.
    async fn catch_up(&self, lane: u64, before: u64) -> Result<(), SinkError> {
        let last = newest_of_lane(&self.reader.spool, lane, self).await?;
        let first = next_of_lane(lane, last);
        if first >= before {
            return Ok(());
        }
        tracing::info!(lane, first, before, "the live side lacks batches: counting them again");
        for seq in (first..before).step_by(LANES as usize) {
            // A batch that is older than the oldest run that is known has left everything.
            let Some(id) = self.reader.spool.batch_id(seq) else { continue };
            let (sealed_at, delta) = self.lost(id).await?;
            self.touch(&delta).await?;
            self.apply(id, self.reader.spool.before(seq), sealed_at, &delta).await?;
        }
        Ok(())
    }

    /// Finds a batch that had been counted once: when it was sealed (Unix ms), and its delta. The
    /// spool is asked first, then the ledger, for which this function gives 0 as the time. A batch
    /// that neither of them has any more has left both for good, and counts nothing.
    async fn lost(&self, id: BatchId) -> Result<(Millis, Arc<Delta>), SinkError> {
        if let Some(batch) = self.reader.find(id.seq).await {
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
        self.visitors.note(delta).await
    }
}
