//! Which nodes share a store. Each says again and again that it lives ([`NodeList::sign`]), and in its last
//! word, how it ended. So others know who is there, and `floodmark retire` what a node that is gone has left.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{batch::NodeId, time::Millis},
    sink::SinkError,
    store::Missing,
};

/// For how long (ms) a node counts as alive after it has said so.
pub const ALIVE_MS: Millis = 15_000;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOfLife {
    /// The machine's name and the address on which the node listens: `web-1 (0.0.0.0:8080)`.
    pub place: String,
    /// How many events wait in its data dir for the sink that is further behind.
    pub waiting: u64,
    /// Whether this is its last word: it stopped in order, and takes nothing more.
    pub stopped: bool,
}

/// A node that has said so, now or some time ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// The identity of its data dir.
    pub node: NodeId,
    /// The last that it said.
    pub said: SignOfLife,
    /// When that was, by the store's clock (Unix ms).
    pub at: Millis,
    /// Whether it is there now: it said so within [`ALIVE_MS`], and not that it stops.
    pub alive: bool,
}

impl KnownNode {
    /// Whether its data dir has nothing that is not in the store and in the counters. A node that did
    /// not stop in order may have taken events after the last that it said.
    pub fn has_left_nothing(&self) -> bool {
        self.said.stopped && self.said.waiting == 0
    }
}

/// The nodes that share a store.
#[async_trait]
pub trait NodeList: Send + Sync + 'static {
    /// Says that a node lives, or its last word.
    async fn sign(&self, node: NodeId, said: &SignOfLife) -> Result<(), SinkError>;

    /// All nodes that have ever said so and were not forgotten, those seen last first.
    async fn nodes(&self) -> Result<Vec<KnownNode>, SinkError>;

    /// Forgets a node: that it was there, and which of its batches are missing; these are returned. The
    /// guards of its runs stay, since a copy of its data dir may be started one day: by them, no batch of it
    /// is stored twice.
    async fn forget(&self, node: NodeId) -> Result<Vec<Missing>, SinkError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_stopped_with_nothing_waiting_has_left_nothing() {
        let node = |waiting, stopped| {
            let said = SignOfLife { place: "web-1".to_owned(), waiting, stopped };
            KnownNode { node: NodeId::nil(), said, at: 0, alive: false }
        };
        assert!(node(0, true).has_left_nothing());
        assert!(!node(3, true).has_left_nothing());
        assert!(!node(0, false).has_left_nothing(), "it may have taken more since");
    }
}
