//! PostgreSQL: `events` partitioned by day and filled by binary COPY, the ledger beside it.
//!
//! A batch is one transaction:
//!
//! ```text
//!  BEGIN ─> ledger_heads ─> COPY events ─> dead_letters ─> ledger ─> COMMIT
//!           the guard       its rows       what was        delta,
//!           of the lane                    refused         visitors
//! ```
//!
//! The guard comes first, because it also makes two writers of the same batch wait for each
//! other. When the answer to COMMIT is lost, nobody knows whether the batch is stored; the caller
//! writes it again, and the guard shows whether there is anything left to do.
//!
//! A row that Postgres refuses goes to the dead letters, and its batch goes on without it.
//! The batch's delta is kept as it was sealed: the live counters have counted that row
//! already, and ledger and live counters always agree. The column `poisoned` of the ledger says
//! by how many rows both are above `events`.

mod access;
mod alerts;
mod archive;
mod archive_files;
mod breakdowns;
mod chain;
mod check;
mod copy;
mod due;
mod errors;
mod event_search;
mod events;
mod export;
mod forget;
mod guard;
mod imported;
mod installation;
mod leases;
mod letters;
mod marks;
mod nodes;
mod orders;
mod partitions;
mod password;
mod remake;
mod replica;
mod retention;
mod rights;
mod rollups;
mod schema;
mod schemas;
mod session;
mod sketches;
mod span_totals;
mod steady;
mod swap;
mod tls;
mod verify;
mod visitors;
mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

pub use partitions::{PARTITION_DAYS_AHEAD, PARTITION_DAYS_BACK};

use crate::{
    config::{self, PostgresAddress},
    domain::{
        batch::{BatchId, LANES},
        delta::{Delta, Series},
        time::Millis,
    },
    sink::{Installation, Looked, SinkError, SinkErrorKind},
    store::{
        Ledger, LedgerHeads, LedgerSpan, Rollups, StoreInfo, StoreTotals,
        later::Migrated,
        ledger::{Summing, not_taken},
        postgres::{
            errors::Failure,
            partitions::Partitions,
            replica::Replica,
            rollups::RollupSessions,
            session::{Parameter, PostgresSessions, Session},
        },
        rollup::{FoldLimits, Folded, Known, Summed},
    },
};

/// Connections for reads: one for a rebuild of the live counters, one for `floodmark check`, and
/// one to spare, so that neither waits for the other.
const READERS: usize = 3;
/// Connections for exports. Each is used for a slice of some megabytes at a time.
const EXPORTS: usize = 2;
/// Connections for removing rows: one for the copy of a day beside the one that makes its table.
const REMOVALS: usize = 2;

/// A store in Postgres. Connections are made when they are needed. Each kind of work has a pool
/// of its own, so that none waits for another's connections.
pub struct PostgresStore {
    /// Host, port and database, for messages.
    place: String,
    /// Whose database it has to be.
    installation: Arc<Installation>,
    /// One connection for each lane.
    writers: PostgresSessions,
    readers: PostgresSessions,
    rollups: RollupSessions,
    /// Where charts are read while it keeps up.
    replica: Option<Replica>,
    alerts: PostgresSessions,
    removals: PostgresSessions,
    exports: PostgresSessions,
    partitions: Partitions,
    /// Whether batches go to the chain of hashes.
    chain: bool,
    /// Whether the schema is known to be up to date, and the database to be ours. The lock is held
    /// while it is being brought there, so that one task migrates and the others wait for it.
    migrated: tokio::sync::Mutex<bool>,
}

impl PostgresStore {
    /// Reads the configuration and connects to nothing yet: the server may be down.
    ///
    /// # Errors
    /// The configuration makes no sense. Trying again does not help.
    pub fn open(
        config: &config::PostgresConfig,
        installation: Arc<Installation>,
    ) -> Result<PostgresStore, SinkError> {
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let address = PostgresAddress::parse(&config.url, connect_timeout)
            .map_err(|words| SinkError::new(SinkErrorKind::Other, words))?;
        // The same settings with a shorter timeout, for alerts.
        let mut impatient = config.clone();
        impatient.statement_timeout_ms = config.statement_timeout_ms.min(alerts::TIMEOUT_MS);
        Ok(PostgresStore {
            place: address.name.clone(),
            replica: Replica::of(config, &installation)?,
            installation,
            writers: PostgresSessions::new(config, &address, ("writers", LANES as usize))?,
            readers: PostgresSessions::new(config, &address, ("readers", READERS))?,
            rollups: RollupSessions::new(config, &address)?,
            alerts: PostgresSessions::new(&impatient, &address, ("alerts", alerts::CONNECTIONS))?,
            removals: PostgresSessions::new(config, &address, ("removals", REMOVALS))?,
            exports: PostgresSessions::new(config, &address, ("exports", EXPORTS))?,
            partitions: Partitions::default(),
            chain: false,
            migrated: tokio::sync::Mutex::new(false),
        })
    }

    /// The same store, which writes batches to the chain of hashes or not (`ledger.chain`).
    pub fn with_chain(self, chain: bool) -> PostgresStore {
        PostgresStore { chain, ..self }
    }

    /// Makes sure that the schema is up to date and the database ours. Every way into the store
    /// begins here, since the server may have been away when the process started.
    async fn ready(&self) -> Result<(), Failure> {
        let mut migrated = self.migrated.lock().await;
        if !*migrated {
            let session = self.writers.get().await?;
            self.take_up(&session).await?;
            session.done();
            *migrated = true;
        }
        Ok(())
    }

    /// A session for reading. A server that takes no writes can't be migrated, but it can be read,
    /// provided that its schema is there.
    async fn reader(&self) -> Result<Session, Failure> {
        match self.ready().await {
            Err(failure) if failure.kind != SinkErrorKind::ReadOnly => Err(failure),
            _ => self.readers.get().await,
        }
    }

    async fn try_read_ledger(
        &self,
        asked: LedgerSpan,
        parts: &mpsc::Sender<(u64, Delta)>,
    ) -> Result<LedgerHeads, Failure> {
        let LedgerSpan { since, visitors_since, lane } = asked;
        let lane = lane.map(|lane| lane as i64);
        let session = self.reader().await?;
        // Both statements read one snapshot, so that heads and rows are of the same moment: the
        // live side takes the heads for its guards and the rows for its counters.
        session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut sum = Summing::default();
        let client = session.client();
        let heads = session.query("SELECT node, lane, seq FROM ledger_heads", &[]);
        for row in heads.await? {
            sum.head(
                row.try_get::<_, Uuid>(0)?,
                row.try_get::<_, i16>(1)?.into(),
                row.try_get(2)?,
            )?;
        }
        // The rows are streamed, and the driver takes them from the socket no faster than this
        // loop reads them, so a large ledger never lies in memory.
        let rows = client.query_typed_raw(
            "SELECT lane,
                    CASE WHEN last_second >= $1 THEN delta END,
                    CASE WHEN sealed_at >= $2 THEN visitors END
             FROM ledger
             WHERE (last_second >= $1 OR sealed_at >= $2) AND ($3 IS NULL OR lane = $3)",
            [(Some(since), Type::INT8), (Some(visitors_since), Type::INT8), (lane, Type::INT8)],
        );
        let mut rows = std::pin::pin!(session.answer(rows).await?);
        while let Some(row) = session.answer(rows.try_next()).await? {
            let lane: i16 = row.try_get(0)?;
            if let Some(part) = sum.add(lane.into(), row.try_get(1)?, row.try_get(2)?)? {
                parts.send(part).await.map_err(not_taken)?;
            }
        }
        if lane.is_none_or(|lane| lane == 0) {
            self.add_dropped(&session, &mut sum, since).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        let (heads, last) = sum.finish();
        for part in last {
            parts.send(part).await.map_err(not_taken)?;
        }
        Ok(heads)
    }

    /// Adds what ledger rows have counted since then that were dropped, in the transaction of the sum.
    async fn add_dropped(
        &self,
        session: &Session,
        sum: &mut Summing,
        since: Millis,
    ) -> Result<(), Failure> {
        let asked = "SELECT count(*) FROM fold_heads WHERE dropped_to >= $1";
        let lanes: i64 = session.query(asked, &[(&since, Type::INT8)]).await?[0].try_get(0)?;
        if lanes == 0 {
            return Ok(());
        }
        let rows = session
            .query(
                "SELECT series, minute, value FROM rollups WHERE minute >= $1",
                &[(&since, Type::INT8)],
            )
            .await?;
        for row in rows {
            sum.rolled_up(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        }
        let client = session.client();
        let rows = client.query_typed_raw(
            "SELECT l.delta FROM ledger l JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
             WHERE l.last_second >= $1 AND l.seq <= f.seq",
            [(since, Type::INT8)],
        );
        let mut rows = std::pin::pin!(session.answer(rows).await?);
        while let Some(row) = session.answer(rows.try_next()).await? {
            sum.is_there(row.try_get(0)?, since)?;
        }
        Ok(())
    }

    /// Reads by one statement, in a transaction of its own.
    async fn read(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        let rows = session.query(sql, parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(rows)
    }

    async fn try_ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, Failure> {
        let rows = self
            .read(
                "SELECT delta, visitors FROM ledger WHERE node = $1 AND lane = $2 AND seq = $3",
                &[
                    (&id.run, Type::UUID),
                    (&(id.lane() as i16), Type::INT2),
                    (&(id.seq as i64), Type::INT8),
                ],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let delta = Delta::decode(row.try_get(0)?, Some(row.try_get(1)?));
        Ok(Some(delta.map_err(SinkError::from)?))
    }

    /// A failure as callers get it, with the place in its message.
    fn told(&self, failure: Failure) -> SinkError {
        failure.at(&self.place)
    }
}

#[async_trait]
impl Ledger for PostgresStore {
    async fn read(
        &self,
        asked: LedgerSpan,
        parts: mpsc::Sender<(u64, Delta)>,
    ) -> Result<LedgerHeads, SinkError> {
        let heads = self.try_read_ledger(asked, &parts).await;
        heads.map_err(|e| self.told(e))
    }

    async fn delta(&self, id: BatchId) -> Result<Option<Delta>, SinkError> {
        self.try_ledger_delta(id).await.map_err(|e| self.told(e))
    }
}

#[async_trait]
impl Rollups for PostgresStore {
    async fn fold(&self, limits: FoldLimits) -> Result<Folded, SinkError> {
        self.try_fold(limits).await.map_err(|e| self.told(e))
    }

    async fn drop_folded(
        &self,
        before: Millis,
        keep: Millis,
        limit: u64,
    ) -> Result<u64, SinkError> {
        self.try_drop(before, keep, limit).await.map_err(|e| self.told(e))
    }

    async fn known(&self) -> Result<Known, SinkError> {
        self.try_rollup_known().await.map_err(|e| self.told(e))
    }

    async fn minutes(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, SinkError> {
        self.try_rollup(from, to, series).await.map_err(|e| self.told(e))
    }

    async fn sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, SinkError> {
        self.try_rollup_sums(stretches, summed).await.map_err(|e| self.told(e))
    }
}

#[async_trait]
impl StoreInfo for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn totals(&self) -> Result<StoreTotals, SinkError> {
        self.try_totals().await.map_err(|e| self.told(e))
    }

    async fn check(&self) -> Result<Looked, SinkError> {
        self.try_check().await.map_err(|e| self.told(e))
    }

    async fn migrate(&self) -> Result<Migrated, SinkError> {
        let migrate = async {
            let session = self.writers.get().await?;
            let migrated = schema::migrate(&session).await?;
            session.done();
            Ok(migrated)
        };
        migrate.await.map_err(|e: Failure| self.told(e))
    }

    async fn clock(&self) -> Result<Option<Millis>, SinkError> {
        self.try_clock().await.map(Some).map_err(|e| self.told(e))
    }

    async fn replica_trouble(&self) -> Option<String> {
        match &self.replica {
            Some(replica) => replica.trouble().await,
            None => None,
        }
    }

    async fn claim(&self) -> Result<(), SinkError> {
        self.ready().await.map_err(|e| self.told(e))
    }

    async fn change_terms(&self) -> Result<(), SinkError> {
        self.try_change_terms().await.map_err(|e| self.told(e))
    }
}
