//! How far a store has come in each lane, and what it will never have.

use hashbrown::HashMap;

use crate::domain::{
    batch::{BatchId, LANES, NodeId},
    time::Millis,
};

/// What of the ledger is to be read.
#[derive(Clone, Copy, Debug)]
pub struct LedgerSpan {
    /// The cells of batches whose span reaches this time (Unix ms) or later.
    pub since: Millis,
    /// The visitors of batches that were sealed at this time (Unix ms) or later.
    pub visitors_since: Millis,
    /// Of this lane only.
    pub lane: Option<u64>,
}

/// For each lane and node the last batch that the ledger has, whatever its time.
pub type LedgerHeads = [HashMap<NodeId, u64>; LANES as usize];

/// The newest batch of a lane that a store has of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneHead {
    /// Its number; 0 for none.
    pub seq: u64,
    /// How many events the store has of it; `None` where its ledger row was dropped.
    pub events: Option<u64>,
}

impl LaneHead {
    /// Whether the store has fewer than `events` events of its newest batch.
    pub fn is_shorter(self, events: Option<u64>) -> bool {
        self.events.zip(events).is_some_and(|(stored, ours)| stored < ours)
    }
}

/// The newest batch of each lane that a store has of one run, by lane.
pub type LaneHeads = [LaneHead; LANES as usize];

/// Batches that are missing in the store for good: it does not have them, or only the beginning of the
/// last one, and the node has no copy any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The node that took their events in.
    pub node: NodeId,
    /// The first of them.
    pub first: BatchId,
    /// The last of them. They are of one lane, so every [`LANES`]th number is missing.
    pub last: BatchId,
    /// How many events they had; `None` where nobody knows.
    pub events: Option<u64>,
}

impl Missing {
    /// How many batches are missing.
    pub fn batches(&self) -> u64 {
        (self.last.seq - self.first.seq) / LANES + 1
    }
}
