//! PostgreSQL: `events` partitioned by day and filled by binary COPY, the ledger beside it.
//!
//! A batch is one transaction: the guard in `ledger_heads` first, which also makes two
//! writers of the same batch wait for each other, then the rows, the dead letters and the
//! ledger row. When the answer to COMMIT is lost, the caller writes the batch again, and
//! the guard tells what became of it.
//!
//! A row that Postgres refuses goes to the dead letters, and its batch goes on without it.
//! The batch's delta is kept as it was sealed: the live counters have counted that row
//! already, and ledger and live counters always agree. `ledger.poisoned` says by how many
//! rows both are above `events`.

mod address;
mod alerts;
mod copy;
mod errors;
mod partitions;
mod password;
mod rollups;
mod schema;
mod session;
mod tls;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub use partitions::{PARTITION_DAYS_AHEAD, PARTITION_DAYS_BACK};

use crate::{
    config,
    domain::{
        batch::{Batch, BatchId, DeadLetter, LANES},
        delta::{Delta, Series},
        time::Millis,
    },
    store::{
        LedgerSum, Store, StoreError, StoreErrorKind, StoreTotals, Written,
        ledger::{Entry, Summing},
        postgres::{
            address::Address,
            copy::Chunk,
            errors::Failure,
            partitions::Partitions,
            rollups::Rollups,
            session::{Session, Sessions},
        },
        rollup::{FoldLimits, Folded, Known, Summed},
    },
};

/// Connections for reads: rebuilding, `check`, one more.
const READERS: usize = 3;

/// A store in Postgres. Connections are made when they are needed.
pub struct PostgresStore {
    /// For messages: host, port, database.
    place: String,
    writers: Sessions,
    readers: Sessions,
    rollups: Rollups,
    alerts: Sessions,
    partitions: Partitions,
    /// Whether the schema is known to be up to date; held while it is brought there.
    migrated: tokio::sync::Mutex<bool>,
}

impl PostgresStore {
    /// Reads the configuration and connects to nothing yet: the server may be down. An
    /// error is one of the configuration, and stays.
    pub fn open(config: &config::Postgres) -> Result<PostgresStore, StoreError> {
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let address = Address::parse(&config.url, connect_timeout)?;
        let mut impatient = config.clone();
        impatient.statement_timeout_ms = config.statement_timeout_ms.min(alerts::TIMEOUT_MS);
        Ok(PostgresStore {
            place: address.name.clone(),
            writers: Sessions::new(config, &address, LANES as usize)?,
            readers: Sessions::new(config, &address, READERS)?,
            rollups: Rollups::new(config, &address)?,
            alerts: Sessions::new(&impatient, &address, alerts::CONNECTIONS)?,
            partitions: Partitions::default(),
            migrated: tokio::sync::Mutex::new(false),
        })
    }

    /// Brings the schema up to date, once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.ready().await.map_err(|e| e.at(&self.place))
    }

    async fn ready(&self) -> Result<(), Failure> {
        let mut migrated = self.migrated.lock().await;
        if !*migrated {
            let session = self.writers.get().await?;
            schema::migrate(&session).await?;
            session.done();
            *migrated = true;
        }
        Ok(())
    }

    /// A session for reading. A server that takes no writes may still be read, where the
    /// schema is there.
    async fn reader(&self) -> Result<Session, Failure> {
        match self.ready().await {
            Err(failure) if failure.kind != StoreErrorKind::ReadOnly => Err(failure),
            _ => self.readers.get().await,
        }
    }

    async fn try_write(&self, batch: &Batch) -> Result<Written, Failure> {
        self.ready().await?;
        match self.write_batch(batch, false).await {
            // The connection went with the failed transaction, so this begins anew.
            Err(failure) if failure.is_of_a_row() => {
                tracing::warn!(
                    "Postgres refuses a row of batch {} of node {}, looking for it: {}",
                    batch.id.seq,
                    batch.id.node,
                    failure.message
                );
                self.write_batch(batch, true).await
            }
            written => written,
        }
    }

    /// The transaction. `apart`: row by row where need be, poisoned rows to the dead
    /// letters; else any bad row fails the whole.
    async fn write_batch(&self, batch: &Batch, apart: bool) -> Result<Written, Failure> {
        let entry = Entry::of(batch);
        let session = self.writers.get().await?;
        self.partitions.ensure(&session, &batch.delta).await?;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        // Sent together: preparing has no effect of its own, whatever the guard says.
        let (taken, statement) =
            tokio::join!(take_turn(&session, batch.id), copy::prepare(&session));
        // The guard's error first: the other only follows from it.
        let (taken, statement) = (taken?, statement?);
        if !taken {
            drop(statement);
            session.run("ROLLBACK").await?;
            session.done();
            return Ok(Written::AlreadyStored);
        }
        let mut letters = Vec::new();
        let stored = if batch.events == 0 {
            0
        } else if apart {
            copy::copy_apart(&session, &statement, batch, &mut letters).await?
        } else {
            let chunks = batch.rows.iter().cloned().map(Chunk::Shared);
            copy::copy(&session, &statement, chunks).await?
        };
        drop(statement);
        let poisoned = match batch.events.checked_sub(stored) {
            Some(0) => 0,
            Some(poisoned) if !letters.is_empty() => poisoned,
            _ => return Err(copy::miscounted(batch, batch.events, stored)),
        };
        letters.extend(batch.dead_letters.iter().cloned());
        if !letters.is_empty() {
            insert_letters(&session, batch.id, &letters).await?;
        }
        insert_entry(&session, &entry, poisoned).await?;
        crate::failpoint::kill_point!("store-copied");
        session.run("COMMIT").await?;
        session.done();
        Ok(Written::Stored { events: stored, poisoned })
    }

    async fn try_ledger_sum(
        &self,
        since: Millis,
        visitors_since: Millis,
    ) -> Result<LedgerSum, Failure> {
        let session = self.reader().await?;
        // One snapshot, so that heads and rows are of the same moment.
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
        // Row by row: the driver takes from the socket no faster than this loop reads.
        let rows = client.query_typed_raw(
            "SELECT lane,
                    CASE WHEN last_second >= $1 THEN delta END,
                    CASE WHEN sealed_at >= $2 THEN visitors END
             FROM ledger WHERE last_second >= $1 OR sealed_at >= $2",
            [(since, Type::INT8), (visitors_since, Type::INT8)],
        );
        let mut rows = std::pin::pin!(session.answer(rows).await?);
        while let Some(row) = session.answer(rows.try_next()).await? {
            let lane: i16 = row.try_get(0)?;
            sum.add(lane.into(), row.try_get(1)?, row.try_get(2)?)?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(sum.finish())
    }

    async fn try_ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, Failure> {
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        let rows = session
            .query(
                "SELECT delta, visitors FROM ledger WHERE node = $1 AND lane = $2 AND seq = $3",
                &[
                    (&id.node, Type::UUID),
                    (&(id.lane() as i16), Type::INT2),
                    (&(id.seq as i64), Type::INT8),
                ],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let delta = Delta::decode(row.try_get(0)?, Some(row.try_get(1)?));
        Ok(Some(delta.map_err(StoreError::from)?))
    }

    async fn try_totals(&self) -> Result<StoreTotals, Failure> {
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        let rows = session
            .rows(
                "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dead_letters),
                        (SELECT coalesce(sum(events), 0) FROM ledger)
                            + (SELECT coalesce(sum(dropped), 0) FROM fold_heads)",
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        let count = |i: usize| rows[0][i].as_deref().and_then(|text| text.parse().ok());
        Ok(StoreTotals {
            events: count(0).unwrap_or_default(),
            dead_letters: count(1).unwrap_or_default(),
            ledger_events: count(2).unwrap_or_default(),
        })
    }

    async fn try_check(&self) -> Result<(), Failure> {
        let session = self.readers.get().await?;
        session.begin("").await?;
        let rows = session
            .rows("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
            .await?;
        session.run("ROLLBACK").await?;
        let told = |i: usize| rows[0][i].as_deref().unwrap_or_default();
        let why = match (told(0), told(1)) {
            ("t", _) => "it is a standby, and takes no writes",
            (_, "on") => "default_transaction_read_only is on, it takes no writes",
            _ => {
                session.done();
                return Ok(());
            }
        };
        Err(Failure::new(StoreErrorKind::ReadOnly, why))
    }

    fn told(&self, failure: Failure) -> StoreError {
        failure.at(&self.place)
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
        match self.try_write(batch).await {
            Ok(written) => Ok(written),
            Err(failure) => {
                if failure.kind == StoreErrorKind::Schema {
                    // Restored from a backup, or another database behind the same name:
                    // the next attempt looks again.
                    *self.migrated.lock().await = false;
                    self.partitions.forget();
                }
                Err(self.told(failure))
            }
        }
    }

    async fn ledger_sum(
        &self,
        since: Millis,
        visitors_since: Millis,
    ) -> Result<LedgerSum, StoreError> {
        let sum = self.try_ledger_sum(since, visitors_since).await;
        sum.map_err(|e| self.told(e))
    }

    async fn ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, StoreError> {
        self.try_ledger_delta(id).await.map_err(|e| self.told(e))
    }

    async fn fold(&self, limits: FoldLimits) -> Result<Folded, StoreError> {
        self.try_fold(limits).await.map_err(|e| self.told(e))
    }

    async fn drop_folded(&self, before: Millis, limit: u64) -> Result<u64, StoreError> {
        self.try_drop(before, limit).await.map_err(|e| self.told(e))
    }

    async fn rollup_known(&self) -> Result<Known, StoreError> {
        self.try_rollup_known().await.map_err(|e| self.told(e))
    }

    async fn rollup(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, StoreError> {
        self.try_rollup(from, to, series).await.map_err(|e| self.told(e))
    }

    async fn rollup_sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        self.try_rollup_sums(stretches, summed).await.map_err(|e| self.told(e))
    }

    async fn totals(&self) -> Result<StoreTotals, StoreError> {
        self.try_totals().await.map_err(|e| self.told(e))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.try_check().await.map_err(|e| self.told(e))
    }
}

/// The guard: moves the lane's head on to this batch; `false` where it was there already.
/// A writer of the same lane waits here until the other's transaction has ended.
async fn take_turn(session: &Session, id: BatchId) -> Result<bool, Failure> {
    let BatchId { node, seq } = id;
    let lane = id.lane();
    let rows = session
        .rows(&format!(
            "INSERT INTO ledger_heads (node, lane, seq) VALUES ('{node}', {lane}, {seq})
             ON CONFLICT (node, lane) DO UPDATE SET seq = excluded.seq
             WHERE ledger_heads.seq < excluded.seq RETURNING seq"
        ))
        .await?;
    Ok(!rows.is_empty())
}

async fn insert_entry(session: &Session, entry: &Entry, poisoned: u64) -> Result<(), Failure> {
    let (first, last) = entry.span.unzip();
    session
        .query(
            "INSERT INTO ledger (node, lane, seq, sealed_at, events, poisoned, first_second,
                             last_second, delta, visitors)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                (&entry.id.node, Type::UUID),
                (&(entry.id.lane() as i16), Type::INT2),
                (&(entry.id.seq as i64), Type::INT8),
                (&entry.sealed_at, Type::INT8),
                (&(entry.events as i64), Type::INT8),
                (&(poisoned as i64), Type::INT8),
                (&first, Type::INT8),
                (&last, Type::INT8),
                (&entry.delta, Type::BYTEA),
                (&entry.visitors, Type::BYTEA),
            ],
        )
        .await?;
    Ok(())
}

async fn insert_letters(
    session: &Session,
    id: BatchId,
    letters: &[DeadLetter],
) -> Result<(), Failure> {
    let received: Vec<Millis> = letters.iter().map(|letter| letter.received_at).collect();
    let texts = |of: fn(&DeadLetter) -> &str| -> Vec<String> {
        // The one character that text can't hold.
        letters.iter().map(|it| of(it).replace('\0', "\\u0000")).collect()
    };
    let codes = texts(|letter| &letter.code);
    let messages = texts(|letter| &letter.message);
    let raws = texts(|letter| &letter.raw);
    session
        .query(
            "INSERT INTO dead_letters (node, seq, received_at, code, message, raw)
         SELECT $1, $2, timestamptz 'epoch' + received * interval '1 ms', code, message, raw
         FROM unnest($3, $4, $5, $6) AS letters (received, code, message, raw)",
            &[
                (&id.node, Type::UUID),
                (&(id.seq as i64), Type::INT8),
                (&received, Type::INT8_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&raws, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}
