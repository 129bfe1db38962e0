//! The store keeps every event for good. Beside the events it keeps the ledger (what each batch has added to the
//! counters), the rollups (the ledger by minute) and what alerts have to remember. All of it is in PostgreSQL
//! ([`postgres`]) or, for a single node that was given none, in SQLite ([`sqlite`]).
//!
//! No caller needs all of this, so the store is split into traits by what callers need, and [`open`] gives each
//! part by itself in [`Stores`]:
//!
//! | trait | what it does | who calls it |
//! | --- | --- | --- |
//! | [`BatchStore`] | writes a batch, once | the store's lane writers |
//! | [`Ledger`] | reads what was counted | the live side, when it starts or is rebuilt |
//! | [`Rollups`] | folds the ledger into minutes, and reads them | [`RollupActor`](rollup_actor::RollupActor), charts, baselines, the backtest of alerts |
//! | [`AlertLog`](alerts::AlertLog) | remembers firings and notices | the alert actor and the notifier |
//! | [`MarkLog`](marks::MarkLog) | keeps marks | the routes of marks, the webhooks of GitHub and GitLab, every node's copy |
//! | [`DeadLetters`](letters::DeadLetters) | groups what was refused, and remembers what was sent again | the route and the command for dead letters |
//! | [`Breakdowns`](breakdowns::Breakdowns) | reads the breakdowns that are kept | the route for breakdowns |
//! | [`OrderBooks`](books::OrderBooks) | keeps orders as the shop has them, and compares them with events | the route for the books, `floodmark orders` |
//! | [`Schemas`](schemas::Schemas) | reads what was learnt of the properties of events | the route for schemas, the alert on their drift |
//! | [`DayReader`] | reads all sums of a day | `floodmark verify` |
//! | [`ChainStore`] | reads the chain of hashes | `floodmark verify --chain`, retention |
//! | [`EventReader`](events::EventReader) | reads events of a span of time | the search for causes |
//! | [`Retention`](retention::Retention) | lets go of what is too old, and knows what has gone | the server in the background, `floodmark retention`, whoever reads events |
//! | [`ArchiveStore`](archive::ArchiveStore) | gives rows to the archive, and keeps the list of its files | the archive |
//! | [`Forget`](forget::Forget) | forgets a person | `floodmark forget` |
//! | [`AccessStore`](access::AccessStore) | keeps who has access, and the audit of that | every node's copy of the book, commands |
//! | [`Sketches`] | says how many different values there were | routes that read |
//! | [`NodeList`](nodes::NodeList) | knows which nodes there are | every node, `floodmark nodes`, `floodmark retire` |
//! | [`ImportedIds`] | knows which events were imported | the route for imports |
//! | [`Lease`] | lets one node lead | the alert actor, where there is no Redis |
//! | [`StoreInfo`] | says what it is and how it is | commands, tests |
//!
//! A second store that takes only the rows, ClickHouse say, would implement [`BatchStore`] (and [`StoreInfo`], for
//! `floodmark check` to count its rows). Its `write` sends the rows first, with the batch's id as the token by which
//! that server drops a repetition. Then it has the `BatchStore` of Postgres write the same batch without rows, which
//! leaves the guard, the dead letters and the ledger row. The other traits stay with Postgres, and [`open`] puts
//! both into one [`Stores`].

pub mod access;
pub mod alerts;
pub mod archive;
pub mod books;
pub mod breakdowns;
pub mod chain;
pub mod events;
pub mod forget;
mod heads;
pub mod imported;
pub mod kept_minutes;
pub mod later;
mod ledger;
pub mod letters;
pub mod marks;
pub mod nodes;
mod opening;
pub mod orders;
pub mod poison;
pub mod postgres;
pub mod retention;
pub mod rollup;
pub mod rollup_actor;
pub mod schemas;
pub mod sketches;
pub mod sqlite;
pub mod store_target;
mod totals;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    domain::{
        batch::{Batch, BatchId, NodeId, RunId},
        delta::{Delta, Series},
        time::Millis,
    },
    sink::{Installation, Lease, Looked, SinkError},
    store::{
        access::AccessStore,
        alerts::AlertLog,
        archive::{ArchiveStore, Archived},
        books::OrderBooks,
        breakdowns::Breakdowns,
        chain::ChainStore,
        events::EventReader,
        forget::Forget,
        imported::ImportedIds,
        later::Migrated,
        letters::DeadLetters,
        marks::MarkLog,
        nodes::NodeList,
        retention::Retention,
        rollup::{
            FoldLimits, Folded, Known, SpanTotals, Summed, remake::Remake, verify::DayReader,
        },
        schemas::Schemas,
        sketches::Sketches,
    },
};

pub use self::{
    heads::{LaneHead, LaneHeads, LedgerHeads, LedgerSpan, Missing},
    opening::{open, open_as},
    totals::StoreTotals,
};

/// The parts of the store, each for those who need it. A clone is the same store.
#[derive(Clone)]
pub struct Stores {
    /// Where batches are written.
    pub batches: Arc<dyn BatchStore>,
    /// What each batch has counted.
    pub ledger: Arc<dyn Ledger>,
    /// The ledger by minute.
    pub rollups: Arc<dyn Rollups>,
    /// The log of firings and the outbox of notices.
    pub alerts: Arc<dyn AlertLog>,
    /// What somebody did that the numbers may show.
    pub marks: Arc<dyn MarkLog>,
    /// The most frequent values of properties.
    pub breakdowns: Arc<dyn Breakdowns>,
    /// Orders as the shop has them, beside their events.
    pub books: Arc<dyn OrderBooks>,
    /// How many different values there were.
    pub sketches: Arc<dyn Sketches>,
    /// Makes the rollups of a day anew.
    pub remake: Arc<dyn Remake>,
    /// Reads all sums of a day.
    pub days: Arc<dyn DayReader>,
    /// The chain of hashes.
    pub chain: Arc<dyn ChainStore>,
    /// What was refused.
    pub letters: Arc<dyn DeadLetters>,
    /// What was learnt of the properties of events.
    pub schemas: Arc<dyn Schemas>,
    /// Every event.
    pub events: Arc<dyn EventReader>,
    /// Forgets a person.
    pub forget: Arc<dyn Forget>,
    /// Knows what was imported.
    pub imported: Arc<dyn ImportedIds>,
    /// Gives rows to the archive, and knows its files.
    pub archive: Arc<dyn ArchiveStore>,
    /// The archive itself; `None` where nobody has attached it.
    pub archived: Option<Arc<dyn Archived>>,
    /// Lets go of what is too old.
    pub retention: Arc<dyn Retention>,
    /// Who has access.
    pub access: Arc<dyn AccessStore>,
    /// Lets one node lead, where there is no Redis.
    pub lease: Arc<dyn Lease>,
    /// Which nodes share the store; `None` where none can.
    pub nodes: Option<Arc<dyn NodeList>>,
    /// Says what the store is and how it is.
    pub info: Arc<dyn StoreInfo>,
    /// Which installation the store has to belong to.
    pub installation: Arc<Installation>,
}

impl Stores {
    /// All parts, from one store that has them all.
    pub fn all_in<S>(store: Arc<S>, installation: Arc<Installation>) -> Stores
    where
        S: BatchStore
            + Ledger
            + Rollups
            + Breakdowns
            + OrderBooks
            + Sketches
            + Remake
            + DayReader
            + ChainStore
            + AlertLog
            + MarkLog
            + DeadLetters
            + Schemas
            + EventReader
            + AccessStore
            + Forget
            + ImportedIds
            + Retention
            + ArchiveStore
            + Lease
            + StoreInfo,
    {
        Stores {
            batches: store.clone(),
            ledger: store.clone(),
            rollups: store.clone(),
            alerts: store.clone(),
            marks: store.clone(),
            breakdowns: store.clone(),
            books: store.clone(),
            sketches: store.clone(),
            remake: store.clone(),
            days: store.clone(),
            chain: store.clone(),
            letters: store.clone(),
            schemas: store.clone(),
            events: store.clone(),
            forget: store.clone(),
            imported: store.clone(),
            retention: store.clone(),
            archive: store.clone(),
            archived: None,
            access: store.clone(),
            lease: store.clone(),
            nodes: None,
            info: store,
            installation,
        }
    }
}

/// What became of a batch that was to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Its rows, its dead letters and its ledger row were committed together.
    Stored {
        /// Rows that are now in `events`.
        events: u64,
        /// Rows that the store refused and that went to the dead letters instead.
        poisoned: u64,
    },
    /// The ledger had it before: this was a replay, and nothing was written.
    AlreadyStored,
    /// The store lacks the batch that this one follows on, as after it was put back to an older
    /// state. Nothing was written. The caller has to bring the earlier batches first.
    Gap,
    /// The ledger has another form of this batch: somebody else went on with the same run. Nothing
    /// was written.
    Differs {
        /// How many events were written under the batch's own identity.
        events: u64,
        /// These, and those of its end that were written later ([`Batch::rest_of`]).
        whole_events: u64,
        /// What the former add to the counters, encoded ([`Delta::encode_cells`]).
        delta: Vec<u8>,
    },
}

/// Writes batches.
#[async_trait]
pub trait BatchStore: Send + Sync + 'static {
    /// Writes a batch exactly once: its rows, dead letters and ledger row in one transaction, or
    /// nothing. It is written only right after [`Batch::after`]: the guard judges as that of the live
    /// side does (`judge` in `src/live/mod.rs`), and compares a replay with its ledger row. Of the batch
    /// before it the store also has to have [`Batch::after_events`] events, or it answers
    /// [`Written::Gap`].
    ///
    /// The end of a batch ([`Batch::rest_of`]) is written only where the store has exactly the events
    /// before it; else the answer is [`Written::Gap`] too. The ledger row of that batch then says how
    /// many events the store has of it, in the same transaction.
    ///
    /// # Errors
    /// The batch is not known to be written. To call again with the same batch is safe.
    async fn write(&self, batch: &Batch) -> Result<Written, SinkError>;

    /// The last batch of each lane that the store has of a run.
    async fn heads(&self, run: RunId) -> Result<LaneHeads, SinkError>;

    /// How many events the store has of a batch, those of its end that were written later included;
    /// `None` where it has no ledger row of it.
    async fn events_of(&self, id: BatchId) -> Result<Option<u64>, SinkError>;

    /// Notes that batches are missing, and lets the batch after them follow, in one transaction. Where
    /// only the end of the last one is missing, `whole_events` is how many events the node gave it;
    /// else it is 0. `before` is the batch before the first one in its lane, where it is known: the chain of
    /// hashes goes on from its run.
    async fn skip(
        &self,
        missing: &Missing,
        before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), SinkError>;

    /// What was noted as missing of a node.
    async fn missing(&self, node: NodeId) -> Result<Vec<Missing>, SinkError>;
}

/// The ledger: what each batch has added to the counters. Live counters are rebuilt from it.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Reads the ledger in one consistent read; where rows were dropped, the rollups say what they
    /// counted by minute. What it adds is sent to `parts`: a lane, and the sum of some of its rows.
    /// It is never in memory as a whole, since it may have more than there is room for.
    async fn read(
        &self,
        asked: LedgerSpan,
        parts: mpsc::Sender<(u64, Delta)>,
    ) -> Result<LedgerHeads, SinkError>;

    /// The delta of one batch, with its visitors; `None` where the ledger has no such row.
    async fn delta(&self, id: BatchId) -> Result<Option<Delta>, SinkError>;
}

/// The rollups: the ledger by minute, kept for good.
#[async_trait]
pub trait Rollups: SpanTotals + Send + Sync + 'static {
    /// Folds some ledger rows that are not in the rollups yet, in one transaction, within
    /// `limits`. Any number of nodes may call it at once.
    async fn fold(&self, limits: FoldLimits) -> Result<Folded, SinkError>;

    /// Drops at most `limit` ledger rows that are folded, were sealed before `before` (Unix ms, by the
    /// caller's clock), and count nothing at or after it. A row is also kept for `keep` ms after it
    /// was written, by the store's own clock, so that a caller whose clock is ahead drops nothing
    /// that is young. Returns how many: fewer than `limit` where there are no more, or where another
    /// node is dropping them.
    async fn drop_folded(&self, before: Millis, keep: Millis, limit: u64)
    -> Result<u64, SinkError>;

    /// The stretch of time of which the rollups are complete.
    async fn known(&self) -> Result<Known, SinkError>;

    /// The values of `series` (`None`: of every series) in the minutes that start in `[from, to)`
    /// (Unix ms), in the order of time. Minutes without a value are left out.
    ///
    /// # Errors
    /// They would be too many for one read, or the store can't be read.
    async fn minutes(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, SinkError>;

    /// The sum of the minutes that start in each stretch `[from, to)` (Unix ms); `None` where
    /// no minute has anything.
    async fn sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, SinkError>;
}

/// Says what a store is and how it is.
#[async_trait]
pub trait StoreInfo: Send + Sync + 'static {
    /// `"postgres"` or `"sqlite"`.
    fn name(&self) -> &'static str;

    /// The clock of its server, Unix ms; `None` where that is this process's own.
    async fn clock(&self) -> Result<Option<Millis>, SinkError> {
        Ok(None)
    }

    /// Why the read replica can't be used; `None` where it can, or there is none.
    async fn replica_trouble(&self) -> Option<String> {
        None
    }

    /// Counts what it holds. This reads every row, so it is for commands and tests only.
    async fn totals(&self) -> Result<StoreTotals, SinkError>;

    /// Whether it answers and lets this user write all that a server writes. Nothing is changed.
    async fn check(&self) -> Result<Looked, SinkError>;

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// The store can't be reached or written to, or its schema is one of a later version that this one
    /// can't work beside.
    async fn migrate(&self) -> Result<Migrated, SinkError>;

    /// Makes sure that the store belongs to this node's installation and that its numbers were made
    /// by this node's settings ([`crate::sink::Terms`]). A store that belongs to nobody is taken.
    ///
    /// # Errors
    /// `Foreign` or `Settings` ([`crate::sink::SinkErrorKind`]), or it can't be reached.
    async fn claim(&self) -> Result<(), SinkError>;

    /// Puts all that was written into the store's own files, for whoever copies them after the server
    /// has stopped. Nothing is lost where it is not called.
    async fn settle(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Puts this node's time zone and Redis prefix in the place of those that the store keeps.
    ///
    /// # Errors
    /// It is another installation's, its currency differs, or it can't be written to.
    async fn change_terms(&self) -> Result<(), SinkError>;
}
