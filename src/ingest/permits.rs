//! How many requests may wait for the ingest actor: `ingest.queue_requests`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The limit for the requests of all workers. A clone is the same limit.
#[derive(Clone, Debug)]
pub struct QueueLimit {
    waiting: Arc<AtomicUsize>,
    max: usize,
}

impl QueueLimit {
    /// Lets `max` requests wait; none waits yet.
    pub fn new(max: usize) -> QueueLimit {
        QueueLimit { waiting: Arc::default(), max }
    }

    /// No permit yet, for a message that is empty.
    pub(super) fn none(&self) -> QueuePermits {
        QueuePermits { limit: self.clone(), taken: 0 }
    }

    /// Requests that hold a permit.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Permits of the requests in one message; given back when dropped.
#[derive(Debug)]
pub struct QueuePermits {
    limit: QueueLimit,
    taken: usize,
}

impl QueuePermits {
    /// Takes one more; false where the limit is reached.
    pub(super) fn take(&mut self) -> bool {
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
