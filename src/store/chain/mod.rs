//! The chain of hashes ([`crate::domain::chain`]) in the store: a row of the table `chain` for each batch, written
//! in the transaction of the batch, and how all of it is held against the rows of `events`.
//!
//! ```text
//!  chain  ──places, keys, digests──> expected ─┐
//!  events ──canonical form, digest──> found ───┼─> the same · changed · missing · added
//!  removed_rows ──how many went, and why──> ───┘
//!
//!  lane of run A:  8 <── 12 <── 16            the hash of each batch has that of the one before in it
//!  ledger_heads:                  └ the last  so a batch that is gone, or new, or changed is noticed
//! ```
//!
//! Batches that were stored while `ledger.chain` was off leave a gap: the next one in the chain says that it does
//! not follow on the batch before it. A row that no batch of the chain has is "added", unless it was received
//! within such a gap ([`ChainLinks::outside`]).

mod account;
mod gone;
mod links;
mod reading;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

pub use account::{ChainAccount, ChainDayVerdict};
pub(crate) use gone::GoneRows;
pub use links::{ChainBreak, ChainLinks};
pub(crate) use links::{HeadInChain, LinkReading};
pub(crate) use reading::ChainReading;
pub use reading::{ChainDay, ChainFinding, ChainReceipt, FoundAs};

use crate::{
    domain::{
        batch::BatchId,
        chain::{ChainLink, ChainSeed, ChainWriter, ChainedBatch},
        time::{HOUR, Millis},
    },
    sink::SinkError,
    store::{ledger::Entry, retention::UtcDay, rollup::remake::ArchivedRows},
};

/// A batch whose rows are removed for their age keeps its keys and places for so long after it was written: until
/// then, rows of it may come and go.
pub(crate) const THINNED_AFTER: Millis = 48 * HOUR;
/// Batches that one step thins out.
pub(crate) const THIN_BATCHES: u64 = 200;

/// A stretch of time `[from, to)` (Unix ms) in which rows were received that the chain may not have.
pub type OutsideChain = (Millis, Millis);

/// Which rows are held against the chain.
#[derive(Clone)]
pub struct ChainAsked {
    /// From this event time on, Unix ms.
    pub from: Millis,
    /// Up to before this one.
    pub to: Millis,
    /// When rows were received that the chain may not have.
    pub outside: Arc<[OutsideChain]>,
    /// Where the rows are that the store has no more; `None` for nowhere.
    pub archived: Option<Arc<dyn ArchivedRows>>,
}

/// Reads the chain, and lets go of what it says of rows that are gone.
#[async_trait]
pub trait ChainStore: Send + Sync + 'static {
    /// Follows the chain from batch to batch: all of it, or only the batches with rows in `span` (Unix ms). The
    /// last batch of each lane is looked at in any case.
    ///
    /// # Errors
    /// The store can't be read.
    async fn chain_links(&self, span: Option<(Millis, Millis)>) -> Result<ChainLinks, SinkError>;

    /// Holds rows against the chain, in one view of the store.
    ///
    /// # Errors
    /// The store or the archive can't be read.
    async fn chain_rows(&self, asked: &ChainAsked) -> Result<ChainDay, SinkError>;

    /// The days (UTC) of which the chain has rows.
    async fn chain_days(&self) -> Result<BTreeSet<UtcDay>, SinkError>;

    /// Drops keys and places of some batches all of whose rows are before `before` (Unix ms), and so were removed,
    /// and none of which is in the archive. Returns of how many: 0 where none is left.
    async fn thin_chain(&self, before: Millis) -> Result<u64, SinkError>;
}

/// What the guard says of the chain before a batch.
pub(crate) type Turn = Option<ChainLink>;

/// Takes up the rows of a batch for the chain, with a seed of its own.
pub(crate) fn chain_writer() -> ChainWriter {
    ChainWriter::new(rand::random::<ChainSeed>())
}

/// The batch as the chain has it, once all rows were taken up.
pub(crate) fn chained(writer: ChainWriter, entry: &Entry, before: Turn) -> ChainedBatch {
    writer.finish(entry.id, before, entry.after, entry.sealed_or_now())
}

/// A batch in words, as messages name it.
pub fn batch_name(id: BatchId) -> String {
    format!("batch {} of run {}", id.seq, id.run)
}
