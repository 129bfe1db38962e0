//! A batch that the store has in another form. Each start has a run of its own, so this happens where
//! one run went on twice:
//!
//! - A data dir was copied while its process ran. The open batch that both copies hold is sealed twice,
//!   by the process that went on and by the start of the copy. One has a prefix of the other's rows.
//! - A virtual machine was put back together with its memory.
//!
//! What is ours alone is written under a run whose id follows from the batch's own, so that a replay
//! finds itself. The live side has counted the whole batch, or not at all; it is rebuilt from the
//! ledger afterwards.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::StoreTarget;
use crate::{
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, RunId},
        delta::{Delta, DeltaSum},
        metric::MetricSet,
        row::rows,
    },
    sink::{SinkError, SinkErrorKind},
    store::Written,
};

/// Takes batches apart.
pub(super) struct Remainder {
    aggregator: Mutex<Aggregator>,
}

impl Remainder {
    /// `metric_set` says what rows count.
    pub fn new(metric_set: Arc<MetricSet>, max_event_types: usize) -> Remainder {
        Remainder { aggregator: Mutex::new(Aggregator::new(metric_set, max_event_types)) }
    }

    /// What some rows add to the counters.
    fn delta(&self, encoded: &[u8]) -> Delta {
        let mut sum = DeltaSum::default();
        let mut aggregator = self.aggregator.lock();
        // Our own encoder wrote these rows, so each of them decodes.
        for row in rows(encoded).flatten() {
            aggregator.add(&mut sum, &row);
        }
        sum.finish()
    }

    /// The part of a batch that a store lacks which has `events` events under its number that count
    /// `delta`: the rows behind these where they are the first of the batch, else the whole batch.
    pub fn of(&self, batch: &Batch, events: u64, delta: &[u8]) -> Batch {
        let all: Vec<u8> = batch.rows.concat();
        let mut walk = rows(&all);
        let known = usize::try_from(events).unwrap_or(usize::MAX);
        let walked = walk.by_ref().take(known).filter(Result::is_ok).count();
        let at = walk.position();
        let is_prefix = walked == known && self.delta(&all[..at]).encode_cells() == delta;
        let (rest, events) = match is_prefix {
            true => (&all[at..], batch.events.saturating_sub(events)),
            false => (&all[..], batch.events),
        };
        Batch {
            after: None,
            node: batch.node,
            sealed_at: batch.sealed_at,
            events,
            rows: vec![Bytes::copy_from_slice(rest)],
            dead_letters: batch.dead_letters.clone(),
            delta: self.delta(rest).into(),
            ..Batch::void(BatchId { run: run_of(batch.id, &all), seq: batch.id.seq })
        }
    }
}

/// The run under which the rest of a batch is written. It follows from the batch's identity and all of
/// its rows, so it is the same at each try, and no other batch has it.
fn run_of(id: BatchId, rows: &[u8]) -> RunId {
    let mut hasher = Sha256::new();
    hasher.update(id.run);
    hasher.update(id.seq.to_le_bytes());
    hasher.update(rows);
    let hash: [u8; 32] = hasher.finalize().into();
    let bytes = *hash.first_chunk().expect("16 of 32 bytes");
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl StoreTarget {
    /// Writes what the store lacks of a batch of which it has another form.
    pub(super) async fn write_rest(
        &self,
        batch: &Batch,
        events: u64,
        delta: &[u8],
    ) -> Result<(), SinkError> {
        metrics::counter!("floodmark_identity_conflicts_total").increment(1);
        let BatchId { run, seq } = batch.id;
        if batch.events <= events && self.is_sealed_tail(batch.id) {
            tracing::warn!(
                %run, seq, ours = batch.events, stored = events,
                "the store has more of this batch, which another process went on with"
            );
            // The live side may have our shorter form, if that process never came to count its own.
            self.miscounted.notify_one();
            return Ok(());
        }
        let rest = self.remainder.of(batch, events, delta);
        tracing::error!(
            %run, seq, ours = batch.events, stored = events, written = rest.events,
            "another process uses the identity of this one, from a copy of its data dir or of its \
             memory: what the store lacks is written under a new one"
        );
        match self.batches.write(&rest).await? {
            Written::Stored { events, .. } => {
                metrics::counter!("floodmark_events_stored_total").increment(events);
            }
            Written::AlreadyStored => {}
            other => {
                let message = format!("the rest of batch {seq} was not written: {other:?}");
                return Err(SinkError::new(SinkErrorKind::Other, message));
            }
        }
        self.miscounted.notify_one();
        Ok(())
    }

    /// Whether a batch is the last one of a run that is over. That is the batch that a start seals
    /// from what its predecessor left open.
    fn is_sealed_tail(&self, id: BatchId) -> bool {
        let next = self.reader.spool.batch_id(id.seq + 1);
        next.is_some_and(|next| next.run != id.run)
    }
}
