//! The chain of hashes in Postgres.

use std::{collections::BTreeSet, pin::pin};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
    swap::LONG,
};
use crate::{
    domain::{
        batch::BatchId,
        chain::{self, BatchHash, ChainLink, ChainedBatch, RestOfBatch},
        row,
        time::{DAY, Millis, now_ms},
    },
    sink::SinkError,
    store::{
        chain::{
            ChainAsked, ChainDay, ChainLinks, ChainReading, ChainStore, GoneRows, HeadInChain,
            LinkReading, THIN_BATCHES, THINNED_AFTER,
        },
        retention::UtcDay,
    },
};

/// What a batch is read from. `c` is its row.
const BATCH: &str =
    "c.node, c.seq, c.before_node, c.before_seq, c.before_hash, c.follows, c.sealed_at,
    c.first_time, c.last_time, c.hash, c.digests";

fn id(node: Uuid, seq: i64) -> BatchId {
    BatchId { run: node, seq: seq as u64 }
}

/// A hash of the table. One of another length is none that was ever written.
fn hash(bytes: &[u8]) -> BatchHash {
    bytes.try_into().unwrap_or_default()
}

/// A batch, from the columns [`BATCH`], and its keys and places from the two behind them.
fn batch(row: &Row, with_places: bool) -> Result<ChainedBatch, Failure> {
    let (node, seq): (Option<Uuid>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
    let before = match (node, seq, row.try_get::<_, Option<&[u8]>>(4)?) {
        (Some(node), Some(seq), Some(of)) => Some(ChainLink { id: id(node, seq), hash: hash(of) }),
        _ => None,
    };
    let (first, last): (Option<Millis>, Option<Millis>) = (row.try_get(7)?, row.try_get(8)?);
    let (mut keys, mut places) = (None, None);
    if with_places {
        (keys, places) = (row.try_get(11)?, row.try_get(12)?);
    }
    Ok(ChainedBatch {
        id: id(row.try_get(0)?, row.try_get(1)?),
        before,
        follows: row.try_get(5)?,
        sealed_at: row.try_get(6)?,
        times: first.zip(last),
        digests: row.try_get(10)?,
        keys,
        places,
        hash: hash(row.try_get(9)?),
    })
}

/// Writes a batch of the chain, and makes it the last one of its lane.
pub(super) async fn insert(session: &Session, batch: &ChainedBatch) -> Result<(), Failure> {
    let (before, times) = (batch.before, batch.times.unzip());
    let before_hash = before.map(|it| it.hash.to_vec());
    session
        .query(
            "WITH put AS (
                 INSERT INTO chain (node, lane, seq, before_node, before_seq, before_hash, follows, sealed_at,
                                    first_time, last_time, hash, digests, keys, places)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ) UPDATE ledger_heads SET chain_node = $1, chain_seq = $3, chain_hash = $11
               WHERE node = $1 AND lane = $2",
            &[
                (&batch.id.run, Type::UUID),
                (&(batch.id.lane() as i16), Type::INT2),
                (&(batch.id.seq as i64), Type::INT8),
                (&before.map(|it| it.id.run), Type::UUID),
                (&before.map(|it| it.id.seq as i64), Type::INT8),
                (&before_hash, Type::BYTEA),
                (&batch.follows, Type::BOOL),
                (&batch.sealed_at, Type::INT8),
                (&times.0, Type::INT8),
                (&times.1, Type::INT8),
                (&batch.hash.as_slice(), Type::BYTEA),
                (&batch.digests, Type::BYTEA),
                (&batch.keys, Type::BYTEA),
                (&batch.places, Type::BYTEA),
            ],
        )
        .await?;
    Ok(())
}

/// What [`PostgresStore::take_turn`] gives of the chain, as text.
pub(super) const TURN: &str = "chain_node::text, chain_seq::text, encode(chain_hash, 'hex')";

/// The last batch of a lane's chain, from the columns [`TURN`].
pub(super) fn turn(row: &[Option<String>]) -> Option<ChainLink> {
    let [Some(node), Some(seq), Some(hex)] = row else { return None };
    let byte = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
    let mut hash = BatchHash::default();
    for (at, to) in hash.iter_mut().enumerate() {
        *to = byte(at)?;
    }
    Some(ChainLink { id: BatchId { run: node.parse().ok()?, seq: seq.parse().ok()? }, hash })
}

/// Takes these rows off the chain, in the transaction that deletes them: first those whose digest says so, then by
/// place. Answers whether there were any.
pub(super) async fn forget(session: &Session, mut gone: GoneRows) -> Result<bool, Failure> {
    let exactly = forget_as(session, &mut gone, true).await?;
    Ok(forget_as(session, &mut gone, false).await? || exactly)
}

/// See [`GoneRows::take`].
async fn forget_as(session: &Session, gone: &mut GoneRows, exact: bool) -> Result<bool, Failure> {
    let Some((first, last)) = gone.span() else { return Ok(false) };
    let within: [Parameter<'_>; 2] = [(&first, Type::INT8), (&last, Type::INT8)];
    let sql = "SELECT node, lane, seq, first_time, last_time FROM chain
               WHERE last_time >= $1 AND first_time <= $2 AND places IS NOT NULL";
    let mut forgotten = false;
    for row in session.query_within(LONG, sql, &within).await? {
        let (node, lane, seq): (Uuid, i16, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (from, until): (Millis, Millis) = (row.try_get(3)?, row.try_get(4)?);
        if !gone.has_any_within(from, until) {
            continue;
        }
        let key: [Parameter<'_>; 3] =
            [(&node, Type::UUID), (&lane, Type::INT2), (&seq, Type::INT8)];
        let sql =
            "SELECT keys, places, digests FROM chain WHERE node = $1 AND lane = $2 AND seq = $3";
        let read = session.query(sql, &key).await?;
        let Some(read) = read.first() else { continue };
        let (keys, places, digests) = (read.try_get(0)?, read.try_get(1)?, read.try_get(2)?);
        let rest = chain::forget(keys, places, digests, |row| gone.take(row, exact));
        let Some(RestOfBatch { keys, places, times: (first, last) }) = rest else { continue };
        let sql = "UPDATE chain SET keys = $4, places = $5, first_time = $6, last_time = $7
                   WHERE node = $1 AND lane = $2 AND seq = $3";
        let change: [Parameter<'_>; 7] = [
            (&node, Type::UUID),
            (&lane, Type::INT2),
            (&seq, Type::INT8),
            (&keys, Type::BYTEA),
            (&places, Type::BYTEA),
            (&first, Type::INT8),
            (&last, Type::INT8),
        ];
        session.query(sql, &change).await?;
        forgotten = true;
    }
    Ok(forgotten)
}

impl PostgresStore {
    async fn try_chain_links(&self, span: Option<(Millis, Millis)>) -> Result<ChainLinks, Failure> {
        let session = self.steady().await?;
        let mut reading = LinkReading::new(now_ms());
        let (from, to) = span.unwrap_or_default();
        let is_all = span.is_none();
        let sql = format!(
            "SELECT {BATCH}, p.hash, p.sealed_at,
                        CASE WHEN c.before_hash IS NOT NULL AND p.hash IS NULL THEN
                            (SELECT max(q.sealed_at) FROM chain q
                             WHERE q.node = c.node AND q.lane = c.lane AND q.seq < c.seq) END,
                        $1 OR (c.last_time >= $2 AND c.first_time < $3)
                 FROM chain c LEFT JOIN chain p
                      ON p.node = c.before_node AND p.lane = c.lane AND p.seq = c.before_seq
                 WHERE $1 OR NOT c.follows OR (c.last_time >= $2 AND c.first_time < $3)"
        );
        let asked: [Parameter<'_>; 3] =
            [(&is_all, Type::BOOL), (&from, Type::INT8), (&to, Type::INT8)];
        let rows = session.client().query_typed_raw(&sql, asked);
        let mut rows = pin!(session.answer(rows).await?);
        while let Some(row) = session.answer(rows.try_next()).await? {
            let before: Option<Vec<u8>> = row.try_get(11)?;
            let before = before.map(|it| hash(&it)).zip(row.try_get(12)?);
            let asked = row.try_get::<_, Option<bool>>(14)?.unwrap_or(false);
            reading.batch(&batch(&row, false)?, before, row.try_get(13)?, asked);
        }
        let heads = "SELECT h.node, h.seq, h.sealed_at, h.chain_node, h.chain_seq, h.chain_hash,
                            c.hash, c.sealed_at,
                            (SELECT max(q.seq) FROM chain q WHERE q.node = h.node AND q.lane = h.lane)
            FROM ledger_heads h LEFT JOIN chain c
                 ON c.node = h.chain_node AND c.lane = h.lane AND c.seq = h.chain_seq";
        for row in session.query(heads, &[]).await? {
            let (node, seq): (Option<Uuid>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
            let last = node.zip(seq).zip(row.try_get::<_, Option<&[u8]>>(5)?);
            let known = row.try_get::<_, Option<&[u8]>>(6)?.map(hash).zip(row.try_get(7)?);
            reading.head(&HeadInChain {
                head: id(row.try_get(0)?, row.try_get(1)?),
                sealed_at: row.try_get(2)?,
                last: last.map(|((node, seq), of)| ChainLink { id: id(node, seq), hash: hash(of) }),
                known,
                highest: row.try_get::<_, Option<i64>>(8)?.map(|seq| seq as u64),
            });
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(reading.finish())
    }

    async fn try_chain_rows(&self, asked: &ChainAsked) -> Result<ChainDay, Failure> {
        let (session, is_moving) = self.steady_rows((asked.from, asked.to)).await?;
        let mut reading = ChainReading::new(asked, is_moving);
        let span = [(asked.from, Type::INT8), (asked.to, Type::INT8)];
        let span: Vec<Parameter<'_>> = span.iter().map(|(at, of)| (at as _, of.clone())).collect();
        let sql = "SELECT coalesce(sum(octet_length(digests)) / 16, 0)::bigint FROM chain
                   WHERE last_time >= $1 AND first_time < $2";
        let rows: i64 = session.query(sql, &span).await?[0].try_get(0)?;
        for slice in reading.slices(rows as u64) {
            reading.begin(slice);
            read_slice(&session, slice, &mut reading).await?;
            if let Some(archived) = &asked.archived {
                let mut given = archived.rows(slice.0, slice.1);
                while let Some(rows) = given.recv().await {
                    reading.encoded(&rows?)?;
                }
            }
            reading.end();
        }
        let sql = "SELECT day, type, reason, rows FROM removed_rows";
        for row in session.query(sql, &[]).await? {
            let rows: i64 = row.try_get(3)?;
            reading.receipt(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, rows as u64);
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(reading.finish())
    }

    async fn try_chain_days(&self) -> Result<BTreeSet<UtcDay>, Failure> {
        let session = self.steady().await?;
        let sql = "SELECT DISTINCT day FROM chain,
                       generate_series(first_time / $1, last_time / $1) AS day";
        let rows = session.query(sql, &[(&DAY, Type::INT8)]).await?;
        session.run("COMMIT").await?;
        session.done();
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn try_thin_chain(&self, before: Millis) -> Result<u64, Failure> {
        const TO_THIN: &str = "SELECT node, lane, seq FROM chain c
             WHERE last_time < $1 AND places IS NOT NULL
                   AND written_at < (extract(epoch FROM now()) * 1000)::bigint - $2
                   AND NOT EXISTS (SELECT FROM archive_files f
                                   WHERE f.last_time >= c.first_time AND f.first_time <= c.last_time)
             LIMIT $3";
        let limit = THIN_BATCHES as i64;
        let parameters: [Parameter<'_>; 3] =
            [(&before, Type::INT8), (&THINNED_AFTER, Type::INT8), (&limit, Type::INT8)];
        // Batches of rows in the archive stay for as long as these do, so each round looks at them anew: that is done
        // without a transaction that writes.
        if self.read(TO_THIN, &parameters).await?.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "WITH thinned AS (UPDATE chain SET keys = NULL, places = NULL
                              WHERE (node, lane, seq) IN ({TO_THIN}) RETURNING 1)
             SELECT count(*) FROM thinned"
        );
        let session = self.removal("").await?;
        let thinned: i64 = session.query(&sql, &parameters).await?[0].try_get(0)?;
        session.run("COMMIT").await?;
        session.done();
        Ok(thinned as u64)
    }
}

/// What is read of events, for [`with_row`].
pub(super) fn event_columns() -> String {
    // Microseconds, so that a part of a millisecond is seen.
    let micros = |column: &str| {
        format!(
            "CASE WHEN isfinite({column}) THEN (extract(epoch FROM {column}) * 1000000)::bigint ELSE 1 END"
        )
    };
    let (time, received) = (micros("time"), micros("received_at"));
    format!("{time}, {received}, id, type, user_id, session_id, properties::text, source, dialect")
}

/// Does something with a row whose columns are [`event_columns`], and says whether it has nothing that no batch
/// writes, such as a part of a millisecond.
pub(super) fn with_row(row: &Row, work: impl FnOnce(&row::Row<'_>, bool)) -> Result<(), Failure> {
    let (time, received): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let is_whole = time % 1_000 == 0 && received % 1_000 == 0;
    let read = row::Row {
        time: time.div_euclid(1_000),
        received_at: received.div_euclid(1_000),
        id: row.try_get(2)?,
        kind: row.try_get(3)?,
        user_id: row.try_get(4)?,
        session_id: row.try_get(5)?,
        properties: row.try_get(6)?,
        source: row.try_get(7)?,
        dialect: row.try_get(8)?,
    };
    work(&read, is_whole);
    Ok(())
}

/// Reads the batches of a slice, then its rows.
async fn read_slice(
    session: &Session,
    slice: (Millis, Millis),
    reading: &mut ChainReading,
) -> Result<(), Failure> {
    let sql = format!(
        "SELECT {BATCH}, c.keys, c.places FROM chain c WHERE c.last_time >= $1 AND c.first_time < $2"
    );
    let of_slice = [(slice.0, Type::INT8), (slice.1, Type::INT8)];
    let batches = session.client().query_typed_raw(&sql, of_slice);
    let mut batches = pin!(session.answer(batches).await?);
    while let Some(row) = session.answer(batches.try_next()).await? {
        reading.batch(&batch(&row, true)?);
    }
    let sql = format!(
        "SELECT {} FROM events WHERE time >= to_timestamp($1) AND time < to_timestamp($2)",
        event_columns()
    );
    let seconds = |at: Millis| (at as f64 / 1_000.0, Type::FLOAT8);
    let rows = session.client().query_typed_raw(&sql, [seconds(slice.0), seconds(slice.1)]);
    let mut rows = pin!(session.answer(rows).await?);
    while let Some(row) = session.answer(rows.try_next()).await? {
        with_row(&row, |row, is_whole| reading.row(row, is_whole))?;
    }
    Ok(())
}

#[async_trait]
impl ChainStore for PostgresStore {
    async fn chain_links(&self, span: Option<(Millis, Millis)>) -> Result<ChainLinks, SinkError> {
        self.try_chain_links(span).await.map_err(|e| self.told(e))
    }

    async fn chain_rows(&self, asked: &ChainAsked) -> Result<ChainDay, SinkError> {
        self.try_chain_rows(asked).await.map_err(|e| self.told(e))
    }

    async fn chain_days(&self) -> Result<BTreeSet<UtcDay>, SinkError> {
        self.try_chain_days().await.map_err(|e| self.told(e))
    }

    async fn thin_chain(&self, before: Millis) -> Result<u64, SinkError> {
        self.try_thin_chain(before).await.map_err(|e| self.told(e))
    }
}
