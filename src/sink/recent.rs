//! The batches that were sealed last, which are still in memory.

use std::{collections::VecDeque, sync::Arc};

use crate::domain::batch::Batch;

/// The last sealed batches. They are kept so that a sink that keeps up never reads the disk.
#[derive(Debug)]
pub struct RecentBatches {
    /// Each with the bytes that it takes.
    batches: VecDeque<(Arc<Batch>, usize)>,
    bytes: usize,
    /// The most bytes that are kept. The newest batch is kept whatever its size.
    max_bytes: usize,
}

impl RecentBatches {
    /// None yet; up to `max_bytes` of them are kept.
    pub fn within(max_bytes: usize) -> RecentBatches {
        RecentBatches { batches: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// Adds the newest batch.
    pub fn push(&mut self, batch: Arc<Batch>) {
        let bytes = batch.held_bytes();
        self.bytes += bytes;
        self.batches.push_back((batch, bytes));
        // A batch that is dropped here is still on disk: a sink that is so far behind reads it
        // from the spool.
        while self.bytes > self.max_bytes && self.batches.len() > 1 {
            self.pop();
        }
    }

    /// Drops the batches before `seq`: both sinks have passed them.
    pub fn forget_before(&mut self, seq: u64) {
        while self.batches.front().is_some_and(|(batch, _)| batch.id.seq < seq) {
            self.pop();
        }
    }

    /// Drops the oldest batch.
    fn pop(&mut self) {
        if let Some((_, bytes)) = self.batches.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Batch `seq`, where it is still here.
    pub(super) fn get(&self, seq: u64) -> Option<Arc<Batch>> {
        // The numbers in here have no gap, so the place of a batch follows from the first one.
        let first = self.batches.front()?.0.id.seq;
        let place = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.batches.get(place).map(|(batch, _)| batch.clone())
    }
}
