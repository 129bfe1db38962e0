//! Batches that are missing in the store for good: they are named in the log, in a metric and in
//! `/readyz`, for as long as the store says so.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::StoreTarget;
use crate::{
    domain::batch::{BatchId, LANES, NodeId},
    sink::SinkError,
    store::{BatchStore, Missing},
    telemetry::health::Health,
};

/// The part of the health that names them.
const PART: &str = "missing";

/// What is missing of this node.
pub(super) struct MissingNoted {
    health: Health,
    node: NodeId,
    noted: Mutex<Vec<Missing>>,
    /// Whether the store was asked what was noted before this start.
    is_loaded: AtomicBool,
}

impl MissingNoted {
    /// Nothing is known yet.
    pub fn new(health: Health, node: NodeId) -> MissingNoted {
        metrics::gauge!("floodmark_store_missing_batches").set(0);
        metrics::gauge!("floodmark_store_missing_events").set(0);
        MissingNoted { health, node, noted: Mutex::default(), is_loaded: AtomicBool::new(false) }
    }

    /// Asks the store once what was noted before.
    pub async fn load(&self, batches: &dyn BatchStore) -> Result<(), SinkError> {
        if self.is_loaded.load(Ordering::Relaxed) {
            return Ok(());
        }
        let known = batches.missing(self.node).await?;
        if !self.is_loaded.swap(true, Ordering::Relaxed) {
            for missing in known {
                self.add(missing);
            }
        }
        Ok(())
    }

    /// Adds one stretch, and says so.
    pub fn add(&self, missing: Missing) {
        let mut noted = self.noted.lock();
        if noted.contains(&missing) {
            return;
        }
        noted.push(missing);
        let batches: u64 = noted.iter().map(Missing::batches).sum();
        let events: Option<u64> = noted.iter().map(|missing| missing.events).sum();
        metrics::gauge!("floodmark_store_missing_batches").set(batches as f64);
        metrics::gauge!("floodmark_store_missing_events").set(events.unwrap_or(0) as f64);
        let first = noted.iter().map(|missing| missing.first.seq).min().unwrap_or(0);
        let last = noted.iter().map(|missing| missing.last.seq).max().unwrap_or(0);
        let events = match events {
            Some(events) => format!("{events} events"),
            None => "an unknown number of events".to_owned(),
        };
        let named = format!(
            "batches {first} to {last} of this node are missing in the store: {batches} batches with \
             {events}, which the node does not have any more (table missing_batches)"
        );
        tracing::error!("{named}");
        self.health.standing(PART, named);
    }
}

impl StoreTarget {
    /// Names the batches of a lane from `first` on as missing, and lets batch `next` follow.
    pub(super) async fn skip(&self, first: u64, next: u64) -> Result<(), SinkError> {
        let spool = &self.reader.spool;
        let last = next - LANES;
        // Of what is older than the oldest run that is known nobody knows the run.
        let id = |seq| spool.batch_id(seq).unwrap_or(BatchId { run: spool.node(), seq });
        let before = first.saturating_sub(LANES);
        let missing = Missing {
            node: spool.node(),
            first: id(first),
            last: id(last),
            events: spool.events_of_lane(before, next),
        };
        self.batches.skip(&missing, spool.before(first), 0).await?;
        self.missing.add(missing);
        Ok(())
    }

    /// Names the end of batch `seq` as missing, of which the store has `stored` events and the node had
    /// `ours`, and lets the next batch follow.
    pub(super) async fn skip_rest(
        &self,
        seq: u64,
        stored: u64,
        ours: u64,
    ) -> Result<(), SinkError> {
        let spool = &self.reader.spool;
        let Some(id) = spool.batch_id(seq) else { return Ok(()) };
        let events = Some(ours - stored);
        let missing = Missing { node: spool.node(), first: id, last: id, events };
        self.batches.skip(&missing, None, ours).await?;
        self.missing.add(missing);
        Ok(())
    }
}
