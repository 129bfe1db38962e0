//! Stores: where every event is kept for good, with the ledger beside it. PostgreSQL
//! ([`postgres`]) or SQLite ([`sqlite`]), behind one interface. [`fold`] turns the ledger
//! into minutes that stay ([`rollup`]).

pub mod alerts;
pub mod fold;
mod ledger;
pub mod poison;
pub mod postgres;
pub mod rollup;
pub mod sqlite;
pub mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use hashbrown::HashMap;

use crate::{
    config::Config,
    domain::{
        batch::{Batch, BatchId, LANES, NodeId},
        delta::{Delta, Series},
        time::Millis,
    },
    store::rollup::{FoldLimits, Folded, Known, Summed},
};

/// Opens the store that the configuration names: Postgres where `postgres.url` is set,
/// else SQLite under `data_dir`. A Postgres that can't be reached right now is no error:
/// its schema is brought up to date before the first write or read.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    if !config.postgres.url.is_empty() {
        let store = postgres::PostgresStore::open(&config.postgres)?;
        return Ok(Arc::new(store));
    }
    let dir = config.data_dir.clone();
    match tokio::task::spawn_blocking(move || sqlite::SqliteStore::open(&dir)).await {
        Ok(store) => Ok(Arc::new(store?)),
        Err(e) => Err(StoreError {
            kind: StoreErrorKind::Other,
            message: format!("SQLite: the blocking task ended early: {e}"),
        }),
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Its rows, its dead letters and its ledger row were committed together.
    Stored {
        /// Rows that are now in `events`.
        events: u64,
        /// Rows that the store refused and that went to the dead letters instead.
        poisoned: u64,
    },
    /// The ledger had it already: a replay, nothing was written.
    AlreadyStored,
}

/// Why a store could not do what it was asked. All of these are retried by the caller.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct StoreError {
    /// The class, as the metric `floodmark_sink_errors_total{kind}` names it.
    pub kind: StoreErrorKind,
    /// What failed, on what, and what to do.
    pub message: String,
}

/// The class of a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Not reachable, restarting, connection lost.
    Unavailable,
    /// It takes no writes (a standby after a failover, a read-only file).
    ReadOnly,
    /// It refused our credentials.
    Denied,
    /// Its disk is full.
    Full,
    /// The schema is missing or of another version.
    Schema,
    /// Anything else it answered.
    Other,
}

impl std::fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StoreErrorKind::Unavailable => "unavailable",
            StoreErrorKind::ReadOnly => "read_only",
            StoreErrorKind::Denied => "denied",
            StoreErrorKind::Full => "full",
            StoreErrorKind::Schema => "schema",
            StoreErrorKind::Other => "other",
        })
    }
}

/// The ledger summed up by lane: what the live counters must be.
#[derive(Clone, Debug, Default)]
pub struct LedgerSum {
    /// Indexed by lane.
    pub lanes: [LaneSum; LANES as usize],
}

/// One lane of a [`LedgerSum`].
#[derive(Clone, Debug, Default)]
pub struct LaneSum {
    /// Sum of the deltas of the batches that touch the asked time.
    pub delta: Delta,
    /// For each node the last batch of this lane that the ledger has, whatever its time.
    pub last: HashMap<NodeId, u64>,
}

/// What a store holds, counted: for `floodmark check` and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Rows in `events`.
    pub events: u64,
    /// Rows in `dead_letters`.
    pub dead_letters: u64,
    /// Events of all batches that the ledger has or had, as sealed: `events`, and the rows
    /// that the store refused. What was dropped with its ledger row is still counted.
    pub ledger_events: u64,
}

/// Where batches go.
#[async_trait]
pub trait BatchStore: Send + Sync + 'static {
    /// Writes a batch exactly once: rows, dead letters and ledger row in one transaction,
    /// or nothing. Batches of one lane come in order.
    async fn write(&self, batch: &Batch) -> Result<Written, StoreError>;
}

/// A place that keeps events for good.
#[async_trait]
pub trait Store: BatchStore + alerts::AlertLog {
    /// `"postgres"` or `"sqlite"`.
    fn name(&self) -> &'static str;

    /// Sums the ledger, in one consistent read: cells of batches whose span reaches
    /// `since` or later, visitors of batches sealed at `visitors_since` or later (Unix ms).
    async fn ledger_sum(
        &self,
        since: Millis,
        visitors_since: Millis,
    ) -> Result<LedgerSum, StoreError>;

    /// The delta of one batch, with its visitors; `None` where the ledger has no such row.
    async fn ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, StoreError>;

    /// Folds some ledger rows that are not in the rollups yet, in one transaction, within
    /// `limits`. Any number of nodes may call it at once.
    async fn fold(&self, limits: FoldLimits) -> Result<Folded, StoreError>;

    /// Drops at most `limit` ledger rows that are folded, and were sealed and have their last
    /// second before `before` (Unix ms). Returns how many: fewer than `limit` where no more
    /// are there, or another node drops them.
    async fn drop_folded(&self, before: Millis, limit: u64) -> Result<u64, StoreError>;

    /// Which stretch of time the rollups tell the whole truth about.
    async fn rollup_known(&self) -> Result<Known, StoreError>;

    /// Minutes that start in `[from, to)` (Unix ms) and have something of `series` (`None`:
    /// of any), in the order of time. An error where it would be too much for one read.
    async fn rollup(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, StoreError>;

    /// The sum of the minutes that start in each stretch `[from, to)` (Unix ms); `None` where
    /// no minute has anything.
    async fn rollup_sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, StoreError>;

    /// Counts what it holds. Reads every row: not for a hot path.
    async fn totals(&self) -> Result<StoreTotals, StoreError>;

    /// Whether it answers and would take a write.
    async fn check(&self) -> Result<(), StoreError>;
}
