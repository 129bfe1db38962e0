//! The open batch: the rows that wait to be sealed, and the sums of what they count.

use bytes::Bytes;

use crate::{
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, DeadLetter},
        delta::DeltaSum,
        row::{Row, rows},
        time::Millis,
    },
    telemetry::otlp::spans::{self, BatchOpening, SpanIds},
};

/// The batch that takes rows in until it is sealed. It has two parts, which move together:
///
/// ```text
///           not framed yet                     framed
///  push ──> pending          ──frame──> chunks                 ──seal──> Batch
///  refuse ─> dead_letters[n..]          dead_letters[..n]      n = framed_dead_letters
/// ```
///
/// What is framed has become a record of some group, and is on disk once that group is. The rest is
/// only in memory.
#[derive(Debug, Default)]
pub struct OpenBatch {
    /// Rows that are framed, a chunk for each time.
    chunks: Vec<Bytes>,
    /// Rows that are not framed yet, one after the other.
    pending: Vec<u8>,
    /// How many rows are in `pending`.
    pending_events: u32,
    /// The ids that clients gave to rows in `pending`.
    pending_ids: Vec<String>,
    /// When the newest pending row was received, Unix ms.
    pending_received_at: Millis,
    /// How many rows are in both parts.
    events: u64,
    /// How many bytes rows and dead letters have.
    bytes: usize,
    dead_letters: Vec<DeadLetter>,
    /// How many of the dead letters are framed; they are the first ones.
    framed_dead_letters: usize,
    /// What all rows add up to.
    sum: DeltaSum,
    /// Since when it is open, and for which requests; where spans are taken.
    opening: Option<BatchOpening>,
}

/// What has come since the last time that the batch was framed.
#[derive(Debug, Default)]
pub struct Pending<'a> {
    /// How many rows.
    pub events: u32,
    /// The rows, encoded, one after the other.
    pub rows: Bytes,
    /// When the newest of them was received, Unix ms.
    pub received_at: Millis,
    /// The ids that clients gave them.
    pub ids: Vec<String>,
    /// Refused events.
    pub dead_letters: &'a [DeadLetter],
}

impl OpenBatch {
    /// The open batch as it is on disk, unsealed. A crash or a failed write leaves that much of it.
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
            // Our own encoder wrote these rows, and their checksum was right, so none is
            // malformed.
            for row in rows(chunk).flatten() {
                aggregator.add(&mut open.sum, &row);
                open.events += 1;
            }
            open.bytes += chunk.len();
        }
        open.chunks = chunks;
        open
    }

    /// Adds a row. `encoded` is the same row in bytes, and `client_id` is its id where the client
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

    /// Notes that events of a request go into it, whose span this is, if it is traced.
    pub fn joined(&mut self, request: Option<SpanIds>) {
        spans::joins(&mut self.opening, request);
    }

    /// Since when it is open. The next batch begins anew.
    pub fn take_opening(&mut self) -> Option<BatchOpening> {
        self.opening.take()
    }

    /// Adds refused events.
    pub fn refuse(&mut self, dead_letters: Vec<DeadLetter>) {
        // 64 stands for what a letter has beside its text.
        self.bytes += dead_letters.iter().map(|letter| letter.raw.len() + 64).sum::<usize>();
        self.dead_letters.extend(dead_letters);
    }

    /// How many events it has.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many bytes it has: its rows and dead letters, and what the rows add to the counters. That is
    /// little, unless each of them has values that no other has.
    pub fn bytes(&self) -> usize {
        self.bytes + self.sum.bytes()
    }

    /// Whether it has neither rows nor dead letters.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.dead_letters.is_empty()
    }

    /// Hands out what is not framed yet, to be made into records. It counts as framed from then on.
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

    /// A copy of what is framed. That is what will be on disk, unsealed, once the group is there.
    pub fn framed(&self) -> (Vec<Bytes>, Vec<DeadLetter>) {
        (self.chunks.clone(), self.dead_letters[..self.framed_dead_letters].to_vec())
    }

    /// Closes the batch, all of which has to be framed, and leaves an empty one.
    pub fn seal(&mut self, id: BatchId, sealed_at: Millis) -> Batch {
        debug_assert!(self.pending.is_empty(), "framed before it is sealed");
        let mut open = std::mem::take(self);
        Batch {
            sealed_at,
            events: open.events,
            rows: open.chunks,
            dead_letters: open.dead_letters,
            delta: open.sum.finish().into(),
            ..Batch::void(id)
        }
    }
}
