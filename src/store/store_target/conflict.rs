//! A batch that the store has in another form. Each start has a run of its own, so this happens where
//! one run went on twice:
//!
//! - A data dir was copied while its process ran. The open batch that both copies hold is sealed twice,
//!   by the process that went on and by the start of the copy. One has a prefix of the other's rows.
//! - A virtual machine was put back together with its memory.
//!
//! What is ours alone is written under a run whose id follows from the batch's own. Copies of one data
//! dir have beginnings of the same rows, so how many of them the store has says all:
//!
//! ```text
//!  ours, as the process went on      r1 r2 r3 r4 r5 r6 r7 r8
//!  the start of a copy sealed        r1 r2 r3                   ledger row of the batch: events 3
//!  the start of another copy         r1 r2 r3 r4 r5             rest r4 r5: whole_events 5
//!  the store then lacks                             r6 r7 r8    rest r6 to r8: whole_events 8
//! ```
//!
//! `whole_events` stands in the ledger row of the batch and changes in the transaction of the rest. It
//! goes back with the store, so a store that has lost the rest says so itself: a lane that looks, and the
//! guard before the next batch, compare it with what the spool has. The live side has counted one form
//! or another; it is rebuilt from the ledger afterwards.
//!
//! Of a batch with other rows (the second case above) the whole is written. A store that is put back
//! afterwards to a state between both is not recognised by its number of events alone, so such a batch
//! is written again only where it is replayed.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::StoreTarget;
use crate::{
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, RestOf, RunId},
        delta::{Delta, DeltaSum},
        metric::MetricSet,
        row::rows,
    },
    sink::{SinkError, SinkErrorKind},
    store::Written,
};

/// Takes batches apart.
pub(super) struct Remainder {
    metric_set: Arc<MetricSet>,
}

impl Remainder {
    /// `metric_set` says what rows count.
    pub fn new(metric_set: Arc<MetricSet>) -> Remainder {
        Remainder { metric_set }
    }

    /// What some rows of a batch add to the counters, as if they were counted with it.
    fn delta(&self, batch: &Batch, encoded: &[u8]) -> Delta {
        let mut sum = DeltaSum::default();
        // Both forms come from copies of one data dir, which says which types have counters, so the batch's
        // own delta says it as well. What the aggregator remembers of distinct values must not be that of
        // another look at the same rows: a start that seals them has not seen any before, either.
        let mut aggregator = Aggregator::of_sealed(self.metric_set.clone(), &batch.delta);
        // Our own encoder wrote these rows, so each of them decodes.
        for row in rows(encoded).flatten() {
            aggregator.add(&mut sum, &row);
        }
        sum.finish()
    }

    /// The part of a batch that a store lacks which has another form of it. `None` where it lacks
    /// nothing.
    ///
    /// Where the store has the beginning, these are the rows behind those that it has. They are known
    /// from what the store itself says, so this is right whatever state it was put back to. Where it
    /// has other rows, the whole batch is written.
    fn of(&self, batch: &Batch, stored: &Stored<'_>) -> Option<Batch> {
        let all: Vec<u8> = batch.rows.concat();
        let is_beginning = self
            .position(&all, stored.events)
            .is_some_and(|at| self.delta(batch, &all[..at]).encode_cells() == stored.delta);
        let (at, known) = match is_beginning {
            true if stored.whole_events >= batch.events => return None,
            true => (self.position(&all, stored.whole_events)?, stored.whole_events),
            false => (0, 0),
        };
        let rest = &all[at..];
        Some(Batch {
            after: None,
            rest_of: is_beginning.then_some(RestOf { id: batch.id, known }),
            node: batch.node,
            sealed_at: batch.sealed_at,
            events: batch.events - known,
            rows: vec![Bytes::copy_from_slice(rest)],
            dead_letters: batch.dead_letters.clone(),
            delta: self.delta(batch, rest).into(),
            ..Batch::void(BatchId { run: run_of(batch.id, &all), seq: batch.id.seq })
        })
    }

    /// Where the row after the first `n` begins; `None` where there are fewer rows.
    fn position(&self, encoded: &[u8], n: u64) -> Option<usize> {
        let n = usize::try_from(n).ok()?;
        let mut walk = rows(encoded);
        let walked = walk.by_ref().take(n).filter(Result::is_ok).count();
        (walked == n).then(|| walk.position())
    }
}

/// What a store has of a batch of which it has another form ([`Written::Differs`]).
pub(super) struct Stored<'a> {
    /// Events under the batch's own identity.
    pub events: u64,
    /// These, and those of its end that came later.
    pub whole_events: u64,
    /// What the former count, encoded.
    pub delta: &'a [u8],
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
        stored: Stored<'_>,
    ) -> Result<(), SinkError> {
        metrics::counter!("floodmark_identity_conflicts_total").increment(1);
        let BatchId { run, seq } = batch.id;
        // The live side may have the shorter form, if its writer never came to count the longer one.
        let miscounted = &self.miscounted;
        let is_beginning = batch.events <= stored.events && self.is_sealed_tail(batch.id);
        let rest = if is_beginning { None } else { self.remainder.of(batch, &stored) };
        let Some(rest) = rest else {
            tracing::warn!(
                %run, seq, ours = batch.events, stored = stored.whole_events,
                "two processes have sealed this batch, from copies of one data dir; the store has all \
                 of ours"
            );
            miscounted.notify_one();
            return Ok(());
        };
        tracing::error!(
            %run, seq, ours = batch.events, stored = stored.whole_events, written = rest.events,
            "another process uses the identity of this one, from a copy of its data dir or of its \
             memory: what the store lacks is written under a new one"
        );
        match self.batches.write(&rest).await? {
            Written::Stored { events, .. } => {
                metrics::counter!("floodmark_events_stored_total").increment(events);
            }
            Written::AlreadyStored => {}
            // Somebody else has written a part of it meanwhile. The next try asks the store again.
            other => {
                let message = format!("the rest of batch {seq} was not written: {other:?}");
                return Err(SinkError::new(SinkErrorKind::Other, message));
            }
        }
        miscounted.notify_one();
        Ok(())
    }

    /// Whether a batch is the last one of a run that is over. That is the batch that a start seals
    /// from what its predecessor left open.
    fn is_sealed_tail(&self, id: BatchId) -> bool {
        let next = self.reader.spool.batch_id(id.seq + 1);
        next.is_some_and(|next| next.run != id.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        domain::{
            aggregate::{CountedTypes, OwnTypes},
            row::Row,
        },
    };

    const ROWS: [(&str, &str); 5] =
        [("quiz", "s1"), ("poll", "s1"), ("page_view", "s2"), ("poll", "s2"), ("quiz", "s3")];

    /// Seals the first `n` rows, in a process that knows these types.
    fn sealed(metric_set: &Arc<MetricSet>, types: &[u8], n: usize) -> Batch {
        let mut aggregator = Aggregator::new(metric_set.clone(), 1)
            .going_on(OwnTypes::read(types).unwrap(), Arc::new(CountedTypes::default));
        let (mut sum, mut bytes) = (DeltaSum::default(), Vec::new());
        for (place, (kind, session)) in ROWS[..n].iter().enumerate() {
            let id = place.to_string();
            let session_id = Some(*session);
            let row = Row { id: &id, kind, session_id, properties: "{}", ..Row::default() };
            aggregator.add(&mut sum, &row);
            row.encode(&mut bytes);
        }
        let mut batch = Batch::void(BatchId { run: RunId::from_u128(1), seq: 1 });
        (batch.events, batch.rows) = (n as u64, vec![bytes.into()]);
        batch.delta = sum.finish().into();
        batch
    }

    /// The only place for a type is taken by `poll`, so `quiz`, which comes first, is in the overflow.
    #[test]
    fn a_beginning_is_known_whatever_types_have_counters_and_at_each_look() {
        let metric_set = Config::default().rules.metric_set;
        let types = br#"{"seen":{"poll":5},"day":0,"overflows":false}"#;
        let (whole, copy) = (sealed(&metric_set, types, 5), sealed(&metric_set, types, 3));
        let delta = copy.delta.encode_cells();
        let stored = Stored { events: 3, whole_events: 3, delta: &delta };
        let remainder = Remainder::new(metric_set.clone());
        for _ in 0..2 {
            let rest = remainder.of(&whole, &stored).unwrap();
            assert_eq!((rest.events, rest.rest_of.map(|of| of.known)), (2, Some(3)));
            let mut sum = DeltaSum::default();
            [&copy, &rest].iter().for_each(|batch| sum.merge(&batch.delta));
            assert_eq!(sum.finish().encode_cells(), whole.delta.encode_cells());
        }
        let all = Stored { events: 3, whole_events: 5, delta: &delta };
        assert!(remainder.of(&whole, &all).is_none());
    }
}
