//! A batch: the unit that is sealed on disk once and then written, exactly once, to the
//! store and to the live side.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::domain::dead_letter::DeadLetter;
use crate::domain::{
    delta::Delta,
    row::{self, Row, RowError},
    time::Millis,
};

/// How many lanes there are, and so how many writers each sink has. Batch `seq` is written by
/// lane `seq % LANES`, in order within its lane. This is a constant and no setting, because the
/// guards that make a replay harmless are kept by node and lane, and outlive any configuration.
pub const LANES: u64 = 4;

/// A node's identity, made once and kept in its data dir.
pub type NodeId = Uuid;

/// The identity of a run, which is one life of a node's process. It is random and made anew at
/// each start, so that whoever goes on from a copy of a data dir (a backup that was put back, a
/// clone, a second process) never gives a number that was used already to other events.
pub type RunId = Uuid;

/// The identity of a batch, under which both sinks know it. After a restart the same (run, seq) has
/// the same contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    /// The run that took the events in. (The ledger's column is called `node`, since before there
    /// were runs a node had one identity for all its life.)
    pub run: RunId,
    /// 1, 2, 3 … without a gap, over all runs of a data dir.
    pub seq: u64,
}

impl BatchId {
    /// The lane that writes this batch.
    pub fn lane(self) -> u64 {
        self.seq % LANES
    }
}

/// A sealed batch, whole, as a writer gets it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its identity.
    pub id: BatchId,
    /// The batch before it in its lane, perhaps of an earlier run. A sink takes a batch only after
    /// this one. `None` for the first batch of a lane.
    pub after: Option<BatchId>,
    /// How many events the batch before it has in this data dir; 0 where that is not known. A store
    /// that has fewer of them has a shorter form of that batch, and has to get its end first.
    pub after_events: u64,
    /// Set where this is no batch of the spool, but the end of one.
    pub rest_of: Option<RestOf>,
    /// The node whose data dir it is from.
    pub node: NodeId,
    /// When it was sealed, Unix ms.
    pub sealed_at: Millis,
    /// Events in `rows`.
    pub events: u64,
    /// Encoded rows ([`crate::domain::row`]) in the order of arrival; a row never spans
    /// two chunks.
    pub rows: Vec<Bytes>,
    /// Refused events that arrived with them.
    pub dead_letters: Vec<DeadLetter>,
    /// What the rows add to the counters.
    pub delta: Arc<Delta>,
}

/// Of which batch another one is the end: a store has the beginning of that batch, as where a data dir
/// was copied while it was open (`src/store/store_target/conflict.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestOf {
    /// The batch.
    pub id: BatchId,
    /// How many events the store has of it, from the first on.
    pub known: u64,
}

impl Batch {
    /// The rows one by one.
    pub fn iter(&self) -> impl Iterator<Item = Result<Row<'_>, RowError>> {
        self.rows.iter().flat_map(|chunk| row::rows(chunk))
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(Bytes::len).sum()
    }

    /// The bytes that it takes in memory: the rows, what they add to the counters, and the refused events.
    pub fn held_bytes(&self) -> usize {
        let refused = |letter: &DeadLetter| letter.raw.len() + letter.event.len();
        let refused: usize = self.dead_letters.iter().map(refused).sum();
        self.bytes() + self.delta.bytes() + refused
    }

    /// An empty batch that stands in for one whose bytes a damaged disk has lost. Both sinks
    /// take a batch only after its predecessor, so a gap in the sequence would stop them. It
    /// follows on a batch of the same run, and its node is nil.
    pub fn void(id: BatchId) -> Batch {
        let before = id.seq.checked_sub(LANES).filter(|&seq| seq > 0);
        Batch {
            id,
            after: before.map(|seq| BatchId { seq, ..id }),
            after_events: 0,
            rest_of: None,
            node: NodeId::nil(),
            sealed_at: 0,
            events: 0,
            rows: Vec::new(),
            dead_letters: Vec::new(),
            delta: Arc::default(),
        }
    }
}
