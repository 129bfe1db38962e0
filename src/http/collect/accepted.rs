//! The counters of accepted events by dialect. Those by source are with each sender.

use std::sync::Arc;

use metrics::Counter;

use crate::http::dialect::{Dialect, ForEach, for_each};

/// `floodmark_dialect_events_accepted_total`. Each counter is looked up once, since the lock and the hash
/// of the registry cost a request of one event more than its JSON does. A clone has the same counters.
#[derive(Clone)]
pub(super) struct AcceptedCounts {
    /// One for each dialect, in the order of [`for_each`]: the native one is found first.
    dialects: Arc<[(&'static str, Counter)]>,
}

impl AcceptedCounts {
    /// Counters at 0 of all dialects.
    pub(super) fn new() -> AcceptedCounts {
        let mut dialects = ByDialect(Vec::new());
        for_each(&mut dialects);
        AcceptedCounts { dialects: dialects.0.into() }
    }

    /// Counts events in a dialect, by its name.
    pub(super) fn add(&self, events: u64, dialect: &'static str) {
        if let Some((_, counter)) = self.dialects.iter().find(|(name, _)| *name == dialect) {
            counter.increment(events);
        }
    }
}

struct ByDialect(Vec<(&'static str, Counter)>);

impl ForEach for ByDialect {
    fn dialect<D: Dialect>(&mut self) {
        let name = D::NAME;
        let counter =
            metrics::counter!("floodmark_dialect_events_accepted_total", "dialect" => name);
        self.0.push((name, counter));
    }
}
