//! The limit on how many requests may wait for the ingest actor (`ingest.queue_requests`). A
//! request that waits holds a permit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::telemetry::queue;

/// The limit, which all workers share. A clone is the same limit.
#[derive(Clone, Debug)]
pub struct QueueLimit {
    waiting: Arc<AtomicUsize>,
    max: usize,
}

impl QueueLimit {
    /// A limit of `max` requests. None waits yet. How many do is shown to operators.
    pub fn new(max: usize) -> QueueLimit {
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = Arc::downgrade(&waiting);
        queue::watch("ingest", move || Some(seen.upgrade()?.load(Ordering::Relaxed)));
        QueueLimit { waiting, max }
    }

    /// No permits yet, for a message that has no requests.
    pub(super) fn none(&self) -> QueuePermits {
        QueuePermits { limit: self.clone(), taken: 0 }
    }

    /// Requests that hold a permit.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// The permits of the requests in one message. They are given back when this is dropped.
#[derive(Debug)]
pub struct QueuePermits {
    limit: QueueLimit,
    taken: usize,
}

impl QueuePermits {
    /// Takes one more permit; `false` where the limit is reached.
    pub(super) fn take(&mut self) -> bool {
        // Added first and taken back where it was too much: of two workers that look at the same
        // time, both can't find the last place free.
        let free = self.limit.waiting.fetch_add(1, Ordering::Relaxed) < self.limit.max;
        match free {
            true => self.taken += 1,
            false => drop(self.limit.waiting.fetch_sub(1, Ordering::Relaxed)),
        }
        free
    }
}

impl Drop for QueuePermits {
    fn drop(&mut self) {
        self.limit.waiting.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
