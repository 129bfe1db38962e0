//! Writes a batch, in the one transaction that [`super`] draws.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{
    PostgresStore, chain,
    copy::{self, CopyChunk},
    errors::Failure,
    guard, orders,
    session::Session,
};
use crate::{
    domain::{
        batch::{Batch, BatchId, DeadLetter, NodeId, RunId},
        imported::keys_in,
        time::Millis,
    },
    sink::{SinkError, SinkErrorKind},
    store::{
        BatchStore, LaneHeads, Missing, Written,
        chain::{chain_writer, chained},
        ledger::Entry,
        orders::orders_of,
    },
};

#[async_trait]
impl BatchStore for PostgresStore {
    async fn heads(&self, run: RunId) -> Result<LaneHeads, SinkError> {
        self.try_heads(run).await.map_err(|e| self.told(e))
    }

    async fn events_of(&self, id: BatchId) -> Result<Option<u64>, SinkError> {
        self.try_events_of(id).await.map_err(|e| self.told(e))
    }

    async fn skip(
        &self,
        missing: &Missing,
        before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), SinkError> {
        self.try_skip(missing, before, whole_events).await.map_err(|e| self.told(e))
    }

    async fn missing(&self, node: NodeId) -> Result<Vec<Missing>, SinkError> {
        self.try_missing(node).await.map_err(|e| self.told(e))
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        match self.try_write(batch).await {
            Ok(written) => Ok(written),
            Err(failure) => {
                if matches!(failure.kind, SinkErrorKind::Schema | SinkErrorKind::Foreign) {
                    // The database was restored from a backup, or there is another one behind the
                    // same name. The next attempt looks at it again, before anything else is done
                    // there.
                    *self.migrated.lock().await = false;
                    self.partitions.forget();
                }
                Err(self.told(failure))
            }
        }
    }
}

impl PostgresStore {
    /// Writes the batch whole. Only where a row is refused does it begin again, to find that
    /// row: almost no batch has one, and the search takes a savepoint for each part.
    async fn try_write(&self, batch: &Batch) -> Result<Written, Failure> {
        self.ready().await?;
        match self.write_batch(batch, false).await {
            // The failed transaction was rolled back with its connection, so this one begins
            // with the guard again.
            Err(failure) if failure.is_of_a_row() => {
                tracing::warn!(
                    "Postgres refuses a row of batch {} of node {}, looking for it: {}",
                    batch.id.seq,
                    batch.id.run,
                    failure.message
                );
                self.write_batch(batch, true).await
            }
            written => written,
        }
    }

    /// Runs the transaction. With `apart`, a part of the batch that COPY refuses is halved until
    /// each bad row stands alone and goes to the dead letters; without, a bad row fails the
    /// whole batch.
    async fn write_batch(&self, batch: &Batch, apart: bool) -> Result<Written, Failure> {
        let entry = Entry::of(batch);
        let session = self.writers.get().await?;
        self.partitions.ensure(&session, &batch.delta).await?;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        if let Some(of) = batch.rest_of
            && !self.lengthen(&session, of, batch.events).await?
        {
            session.run("ROLLBACK").await?;
            session.done();
            return Ok(Written::Gap);
        }
        // Both are sent together, which saves a round trip. To prepare the COPY changes nothing,
        // whatever the guard says.
        let (taken, statement) =
            tokio::join!(self.take_turn(&session, batch), copy::prepare(&session));
        // The guard's error is reported first. It aborts the transaction, so that of the other
        // statement only follows from it.
        let (taken, statement) = (taken?, statement?);
        let Some(turn) = taken else {
            drop(statement);
            if batch.rest_of.is_some() {
                // An earlier version wrote this rest, and did not note it at the beginning's row.
                session.run("COMMIT").await?;
                session.done();
                return Ok(Written::AlreadyStored);
            }
            session.run("ROLLBACK").await?;
            self.still_ours(&session).await?;
            let judged = guard::why_not(&session, &entry).await?;
            session.done();
            return Ok(judged);
        };
        let mut letters = Vec::new();
        let mut chain = self.chain.then(chain_writer);
        let stored = if batch.events == 0 {
            0
        } else if apart {
            copy::copy_apart(&session, &statement, batch, (&mut letters, &mut chain)).await?
        } else {
            let chunks = batch.rows.iter().map(copy::of_today).map(CopyChunk::Shared);
            if let Some(chain) = &mut chain {
                batch.iter().flatten().for_each(|row| chain.add(&row));
            }
            copy::copy(&session, &statement, chunks).await?
        };
        drop(statement);
        // Each row is now stored or in the dead letters. Any other count means that rows were
        // dropped without a word, by a trigger say: then nothing may be committed.
        let poisoned = match batch.events.checked_sub(stored) {
            Some(0) => 0,
            Some(poisoned) if !letters.is_empty() => poisoned,
            _ => return Err(copy::miscounted(batch, batch.events, stored)),
        };
        letters.extend(batch.dead_letters.iter().cloned());
        if !letters.is_empty() {
            insert_letters(&session, batch, &letters).await?;
        }
        orders::insert(&session, &orders_of(&batch.rows)).await?;
        orders::insert_events(&session, &entry.order_events).await?;
        self.insert_imported(&session, &keys_in(&batch.rows)).await?;
        insert_entry(&session, &entry, poisoned).await?;
        if let Some(chain) = chain {
            chain::insert(&session, &chained(chain, &entry, turn)).await?;
        }
        crate::failpoint::kill_point!("store-copied");
        session.run("COMMIT").await?;
        session.done();
        Ok(Written::Stored { events: stored, poisoned })
    }
}

/// Writes the ledger row of the batch.
async fn insert_entry(session: &Session, entry: &Entry, poisoned: u64) -> Result<(), Failure> {
    let (first, last) = entry.span.unzip();
    session
        .query(
            "INSERT INTO ledger (node, lane, seq, sealed_at, events, poisoned, first_second,
                             last_second, delta, visitors, shape)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                (&entry.id.run, Type::UUID),
                (&(entry.id.lane() as i16), Type::INT2),
                (&(entry.id.seq as i64), Type::INT8),
                (&entry.sealed_at, Type::INT8),
                (&(entry.events as i64), Type::INT8),
                (&(poisoned as i64), Type::INT8),
                (&first, Type::INT8),
                (&last, Type::INT8),
                (&entry.delta, Type::BYTEA),
                (&entry.visitors, Type::BYTEA),
                (&entry.shape, Type::BYTEA),
            ],
        )
        .await?;
    Ok(())
}

/// Writes dead letters. One that is there already, by its digest, is left as it is.
async fn insert_letters(
    session: &Session,
    batch: &Batch,
    letters: &[DeadLetter],
) -> Result<(), Failure> {
    let received: Vec<Millis> = letters.iter().map(|letter| letter.received_at).collect();
    let texts = |of: fn(&DeadLetter) -> &str| -> Vec<String> {
        // NUL is the one character that Postgres can't hold in `text`.
        letters.iter().map(|it| of(it).replace('\0', "\\u0000")).collect()
    };
    let codes = texts(|letter| &letter.code);
    let messages = texts(|letter| &letter.message);
    let raws = texts(|letter| &letter.raw);
    let (sources, keys) = (texts(|letter| &letter.source), texts(|letter| &letter.key));
    let (dialects, events) = (texts(|letter| &letter.dialect), texts(|letter| &letter.event));
    let cuts: Vec<bool> = letters.iter().map(|letter| letter.cut).collect();
    let times: Vec<Option<Millis>> = letters.iter().map(|letter| letter.time).collect();
    let digest = |letter: &DeadLetter| letter.digest.map(Vec::from);
    let digests: Vec<Option<Vec<u8>>> = letters.iter().map(digest).collect();
    session
        .query(
            // They are inserted in the order of their digests: two lanes that insert the same
            // letters then wait for each other in one direction only, and can't deadlock.
            "INSERT INTO dead_letters (node, seq, received_at, code, message, raw, digest, cut, source,
                                   write_key, dialect, event, event_time)
         SELECT $1, $2, timestamptz 'epoch' + received * interval '1 ms', code, message, raw, digest,
                cut, source, write_key, dialect, event, event_time
         FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             AS letters (received, code, message, raw, digest, cut, source, write_key, dialect,
                         event, event_time)
         ORDER BY digest ON CONFLICT DO NOTHING",
            &[
                (&batch.node, Type::UUID),
                (&(batch.id.seq as i64), Type::INT8),
                (&received, Type::INT8_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&raws, Type::TEXT_ARRAY),
                (&digests, Type::BYTEA_ARRAY),
                (&cuts, Type::BOOL_ARRAY),
                (&sources, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&dialects, Type::TEXT_ARRAY),
                (&events, Type::TEXT_ARRAY),
                (&times, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(())
}
