//! The open batch: rows that wait to be sealed, and what they add up to.

use bytes::Bytes;

use crate::domain::{
    aggregate::Aggregator,
    batch::{Batch, BatchId, DeadLetter},
    delta::DeltaSum,
    row::{Row, rows},
    time::Millis,
};

/// Rows in two parts: `chunks` are framed for the disk, `pending` are not yet.
#[derive(Debug, Default)]
pub struct OpenBatch {
    chunks: Vec<Bytes>,
    pending: Vec<u8>,
    pending_events: u32,
    pending_ids: Vec<String>,
    /// When the newest pending row was received, Unix ms.
    pending_received_at: Millis,
    events: u64,
    bytes: usize,
    dead_letters: Vec<DeadLetter>,
    /// Dead letters that are framed; the rest are not yet.
    framed_dead_letters: usize,
    sum: DeltaSum,
}

/// What can be framed now.
#[derive(Debug, Default)]
pub struct Pending<'a> {
    /// Rows.
    pub events: u32,
    /// Their bytes.
    pub rows: Bytes,
    /// When they were received, Unix ms.
    pub received_at: Millis,
    /// The ids that clients gave them.
    pub ids: Vec<String>,
    /// Refused events.
    pub dead_letters: &'a [DeadLetter],
}

impl OpenBatch {
    /// The batch as it is on disk, unsealed: what a crash or a failed write leaves.
    pub fn recovered(
        aggregator: &mut Aggregator,
        chunks: Vec<Bytes>,
        dead_letters: Vec<DeadLetter>,
    ) -> OpenBatch {
        let mut open = OpenBatch {
            framed_dead_letters: dead_letters.len(),
            dead_letters,
            ..OpenBatch::default()
        };
        for chunk in &chunks {
            // Rows that passed a checksum are well-formed; the encoder is ours.
            for row in rows(chunk).flatten() {
                aggregator.add(&mut open.sum, &row);
                open.events += 1;
            }
            open.bytes += chunk.len();
        }
        open.chunks = chunks;
        open
    }

    /// Adds a row: `encoded` is the same row in bytes, `client_id` its id where the client
    /// gave one.
    pub fn push(
        &mut self,
        aggregator: &mut Aggregator,
        row: &Row<'_>,
        encoded: &[u8],
        client_id: Option<&str>,
    ) {
        aggregator.add(&mut self.sum, row);
        self.pending.extend_from_slice(encoded);
        self.pending_events += 1;
        self.pending_ids.extend(client_id.map(str::to_owned));
        self.pending_received_at = row.received_at;
        self.events += 1;
        self.bytes += encoded.len();
    }

    /// Adds refused events.
    pub fn refuse(&mut self, dead_letters: Vec<DeadLetter>) {
        self.bytes += dead_letters.iter().map(|letter| letter.raw.len() + 64).sum::<usize>();
        self.dead_letters.extend(dead_letters);
    }

    /// Events in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of its rows and dead letters.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Neither rows nor dead letters.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.dead_letters.is_empty()
    }

    /// Takes what has not been framed.
    pub fn frame(&mut self) -> Pending<'_> {
        let rows = Bytes::from(std::mem::take(&mut self.pending));
        if !rows.is_empty() {
            self.chunks.push(rows.clone());
        }
        let letters = std::mem::replace(&mut self.framed_dead_letters, self.dead_letters.len());
        Pending {
            events: std::mem::take(&mut self.pending_events),
            rows,
            received_at: self.pending_received_at,
            ids: std::mem::take(&mut self.pending_ids),
            dead_letters: &self.dead_letters[letters..],
        }
    }

    /// A copy of what is framed: what will be on disk, unsealed, once the group is.
    pub fn framed(&self) -> (Vec<Bytes>, Vec<DeadLetter>) {
        (self.chunks.clone(), self.dead_letters[..self.framed_dead_letters].to_vec())
    }

    /// Closes the batch (all of it framed) and leaves an empty one.
    pub fn seal(&mut self, id: BatchId, sealed_at: Millis) -> Batch {
        debug_assert!(self.pending.is_empty(), "framed before it is sealed");
        let mut open = std::mem::take(self);
        Batch {
            id,
            sealed_at,
            events: open.events,
            rows: open.chunks,
            dead_letters: open.dead_letters,
            delta: open.sum.finish().into(),
        }
    }
}
