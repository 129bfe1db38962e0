//! The counters of accepted events, by source and by dialect.

use std::sync::Arc;

use metrics::Counter;

use crate::http::{
    auth::WriteKeys,
    dialect::{Dialect, ForEach, for_each},
};

/// `floodmark_events_accepted_total` and `floodmark_dialect_events_accepted_total`. Each counter is
/// looked up once, since the lock and the hash of the registry cost a request of one event more than its
/// JSON does. A clone has the same counters.
#[derive(Clone)]
pub(super) struct AcceptedCounts {
    /// One for each sender, in the order of [`WriteKeys`].
    senders: Arc<[Counter]>,
    /// Those who send to a server without keys.
    anybody: Counter,
    /// One for each dialect, in the order of [`for_each`]: the native one is found first.
    dialects: Arc<[(&'static str, Counter)]>,
}

impl AcceptedCounts {
    /// Counters at 0 of all senders and dialects.
    pub(super) fn new(keys: &WriteKeys) -> AcceptedCounts {
        let mut dialects = ByDialect(Vec::new());
        for_each(&mut dialects);
        let senders = (0..keys.senders()).map(|at| keys.sender(Some(at as u32)));
        AcceptedCounts {
            senders: senders.map(|sender| of_source(&sender.source)).collect(),
            anybody: of_source(&keys.sender(None).source),
            dialects: dialects.0.into(),
        }
    }

    /// Counts events of a sender, by its place, in a dialect, by its name.
    pub(super) fn add(&self, events: u64, (sender, dialect): (Option<u32>, &'static str)) {
        let by_sender = sender.and_then(|at| self.senders.get(at as usize));
        by_sender.unwrap_or(&self.anybody).increment(events);
        if let Some((_, counter)) = self.dialects.iter().find(|(name, _)| *name == dialect) {
            counter.increment(events);
        }
    }
}

fn of_source(name: &str) -> Counter {
    metrics::counter!("floodmark_events_accepted_total", "source" => name.to_owned())
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
