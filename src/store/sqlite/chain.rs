//! The chain of hashes in SQLite.

use std::{borrow::Cow, collections::BTreeSet};

use async_trait::async_trait;
use rusqlite::{
    Connection, OptionalExtension, Transaction, TransactionBehavior, params, types::ValueRef,
};
use uuid::Uuid;

use super::{
    SqliteStore,
    archive::{IN_RUNS, runs_within},
    overwriting, with,
};
use crate::{
    domain::{
        batch::BatchId,
        chain::{self, BatchHash, ChainLink, ChainedBatch, RestOfBatch},
        row::Row,
        time::{DAY, Millis, now_ms},
    },
    sink::SinkError,
    store::{
        chain::{
            ChainAsked, ChainDay, ChainLinks, ChainReading, ChainStore, GoneRows, HeadInChain,
            LinkReading, THIN_BATCHES, THINNED_AFTER, Turn,
        },
        retention::UtcDay,
    },
};

/// What a batch is read from. `c` is its row.
const BATCH: &str =
    "c.node, c.seq, c.before_node, c.before_seq, c.before_hash, c.follows, c.sealed_at,
    c.first_time, c.last_time, c.hash, c.digests";

/// What is read of events.
pub(super) const EVENT: &str =
    "e.time, e.received_at, e.id, e.type, e.user_id, e.session_id, e.properties, e.source,
    e.dialect";

/// A link, from three columns: run, number and hash.
fn link(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Turn> {
    let (node, seq): (Option<Vec<u8>>, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    let hash: Option<Vec<u8>> = row.get(at + 2)?;
    let id = node.zip(seq).map(|(node, seq)| id(&node, seq));
    Ok(id.zip(hash).map(|(id, of)| ChainLink { id, hash: hash_of(&of) }))
}

fn id(node: &[u8], seq: i64) -> BatchId {
    BatchId { run: Uuid::from_slice(node).unwrap_or_default(), seq: seq as u64 }
}

/// A hash of the table. One of another length is none that was ever written.
fn hash_of(bytes: &[u8]) -> BatchHash {
    bytes.try_into().unwrap_or_default()
}

/// A hash and a moment, from two columns.
fn hash_at(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<(BatchHash, Millis)>> {
    let hash: Option<Vec<u8>> = row.get(at)?;
    Ok(hash.map(|hash| hash_of(&hash)).zip(row.get(at + 1)?))
}

/// A batch, from the columns [`BATCH`], and its keys and places from the two behind them.
fn batch(row: &rusqlite::Row<'_>, with_places: bool) -> rusqlite::Result<ChainedBatch> {
    let (first, last): (Option<Millis>, Option<Millis>) = (row.get(7)?, row.get(8)?);
    let (mut keys, mut places) = (None, None);
    if with_places {
        (keys, places) = (row.get(11)?, row.get(12)?);
    }
    Ok(ChainedBatch {
        id: id(&row.get::<_, Vec<u8>>(0)?, row.get(1)?),
        before: link(row, 2)?,
        follows: row.get(5)?,
        sealed_at: row.get(6)?,
        times: first.zip(last),
        digests: row.get(10)?,
        keys,
        places,
        hash: hash_of(&row.get::<_, Vec<u8>>(9)?),
    })
}

/// The last batch of a lane's chain, once the guard has moved the head of the lane on.
pub(super) fn turn(tx: &Connection, id: BatchId) -> Result<Turn, SinkError> {
    let sql =
        "SELECT chain_node, chain_seq, chain_hash FROM ledger_heads WHERE node = ? AND lane = ?";
    let of_lane = params![id.run.as_bytes(), id.lane() as i64];
    let found = tx.prepare_cached(sql)?.query_row(of_lane, |row| link(row, 0)).optional()?;
    Ok(found.flatten())
}

/// Writes a batch of the chain, and makes it the last one of its lane.
pub(super) fn insert(tx: &Connection, batch: &ChainedBatch) -> Result<(), SinkError> {
    let (node, lane, seq) = (batch.id.run.as_bytes(), batch.id.lane() as i64, batch.id.seq as i64);
    let (before, times) = (batch.before, batch.times.unzip());
    tx.prepare_cached(
        "INSERT INTO chain (node, lane, seq, before_node, before_seq, before_hash, follows, sealed_at,
                            written_at, first_time, last_time, hash, digests, keys, places)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        node,
        lane,
        seq,
        before.map(|it| it.id.run.into_bytes()),
        before.map(|it| it.id.seq as i64),
        before.map(|it| it.hash),
        batch.follows,
        batch.sealed_at,
        now_ms(),
        times.0,
        times.1,
        batch.hash,
        batch.digests,
        batch.keys,
        batch.places,
    ])?;
    tx.prepare_cached(
        "UPDATE ledger_heads SET chain_node = ?1, chain_seq = ?3, chain_hash = ?4
         WHERE node = ?1 AND lane = ?2",
    )?
    .execute(params![node, lane, seq, batch.hash])?;
    Ok(())
}

/// Takes these rows off the chain, in the transaction that deletes them: first those whose digest says so, then by
/// place.
pub(super) fn forget(tx: &Transaction<'_>, mut gone: GoneRows) -> Result<(), SinkError> {
    for exact in [true, false] {
        forget_as(tx, &mut gone, exact)?;
    }
    Ok(())
}

/// See [`GoneRows::take`].
fn forget_as(tx: &Transaction<'_>, gone: &mut GoneRows, exact: bool) -> Result<(), SinkError> {
    let Some((first, last)) = gone.span() else { return Ok(()) };
    let mut select = tx.prepare_cached(
        "SELECT rowid, first_time, last_time FROM chain
         WHERE last_time >= ?1 AND first_time <= ?2 AND places IS NOT NULL",
    )?;
    let found = select.query_map([first, last], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Millis>(1)?, row.get::<_, Millis>(2)?))
    })?;
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    for (rowid, from, until) in found {
        if !gone.has_any_within(from, until) {
            continue;
        }
        let (keys, places, digests): (Vec<u8>, Vec<u8>, Vec<u8>) = tx
            .prepare_cached("SELECT keys, places, digests FROM chain WHERE rowid = ?")?
            .query_row([rowid], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rest = chain::forget(&keys, &places, &digests, |row| gone.take(row, exact));
        if let Some(RestOfBatch { keys, places, times: (first, last) }) = rest {
            let sql = "UPDATE chain SET keys = ?, places = ?, first_time = ?, last_time = ?
                       WHERE rowid = ?";
            tx.prepare_cached(sql)?.execute(params![keys, places, first, last, rowid])?;
        }
    }
    Ok(())
}

fn links(conn: &mut Connection, span: Option<(Millis, Millis)>) -> Result<ChainLinks, SinkError> {
    let tx = conn.transaction()?;
    let mut reading = LinkReading::new(now_ms());
    let (from, to) = span.unwrap_or_default();
    let mut select = tx.prepare(&format!(
        "SELECT {BATCH}, p.hash, p.sealed_at,
                CASE WHEN c.before_hash IS NOT NULL AND p.hash IS NULL THEN
                    (SELECT max(q.sealed_at) FROM chain q
                     WHERE q.node = c.node AND q.lane = c.lane AND q.seq < c.seq) END,
                ?1 OR coalesce(c.last_time >= ?2 AND c.first_time < ?3, 0)
         FROM chain c LEFT JOIN chain p
              ON p.node = c.before_node AND p.lane = c.lane AND p.seq = c.before_seq
         WHERE ?1 OR NOT c.follows OR (c.last_time >= ?2 AND c.first_time < ?3)"
    ))?;
    let mut rows = select.query(params![span.is_none(), from, to])?;
    while let Some(row) = rows.next()? {
        let (before, earlier, asked) = (hash_at(row, 11)?, row.get(13)?, row.get(14)?);
        reading.batch(&batch(row, false)?, before, earlier, asked);
    }
    // Heads of before the column were written before its migration.
    let mut heads = tx.prepare(
        "SELECT h.node, h.seq,
                coalesce(h.sealed_at, (SELECT CAST(strftime('%s', applied_on) AS INTEGER) * 1000
                                       FROM refinery_schema_history WHERE version = 26), 0),
                h.chain_node, h.chain_seq, h.chain_hash, c.hash, c.sealed_at,
                (SELECT max(q.seq) FROM chain q WHERE q.node = h.node AND q.lane = h.lane)
         FROM ledger_heads h LEFT JOIN chain c
              ON c.node = h.chain_node AND c.lane = h.lane AND c.seq = h.chain_seq",
    )?;
    let mut rows = heads.query([])?;
    while let Some(row) = rows.next()? {
        reading.head(&HeadInChain {
            head: id(&row.get::<_, Vec<u8>>(0)?, row.get(1)?),
            sealed_at: row.get(2)?,
            last: link(row, 3)?,
            known: hash_at(row, 6)?,
            highest: row.get::<_, Option<i64>>(8)?.map(|seq| seq as u64),
        });
    }
    Ok(reading.finish())
}

fn rows(conn: &mut Connection, asked: &ChainAsked) -> Result<ChainDay, SinkError> {
    let tx = conn.transaction()?;
    // Rows and what is noted of their removal change in one transaction here.
    let mut reading = ChainReading::new(asked, false);
    let sql = "SELECT coalesce(sum(octet_length(digests)) / 16, 0) FROM chain
               WHERE last_time >= ? AND first_time < ?";
    let count: i64 = tx.query_row(sql, [asked.from, asked.to], |row| row.get(0))?;
    for slice in reading.slices(count as u64) {
        reading.begin(slice);
        read_slice(&tx, slice, &mut reading)?;
        if let Some(archived) = &asked.archived {
            let mut given = archived.rows(slice.0, slice.1);
            while let Some(rows) = given.blocking_recv() {
                reading.encoded(&rows?)?;
            }
        }
        reading.end();
    }
    let mut select = tx.prepare("SELECT day, type, reason, rows FROM removed_rows")?;
    let mut receipts = select.query([])?;
    while let Some(row) = receipts.next()? {
        let (date, reason): (String, String) = (row.get(0)?, row.get(2)?);
        reading.receipt(&date, row.get(1)?, &reason, row.get::<_, i64>(3)? as u64);
    }
    Ok(reading.finish())
}

/// Reads the batches of a slice, then its rows.
fn read_slice(
    tx: &Transaction<'_>,
    slice: (Millis, Millis),
    reading: &mut ChainReading,
) -> Result<(), SinkError> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {BATCH}, c.keys, c.places FROM chain c WHERE c.last_time >= ? AND c.first_time < ?"
    ))?;
    let mut batches = select.query([slice.0, slice.1])?;
    while let Some(row) = batches.next()? {
        reading.batch(&batch(row, true)?);
    }
    let runs = runs_within(tx, slice.0, slice.1)?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT {EVENT} FROM {IN_RUNS} WHERE e.time >= ?2 AND e.time < ?3"
    ))?;
    read_rows(&mut select.query(params![runs, slice.0, slice.1])?, reading)?;
    // What was put behind the last run is in none.
    let sql = "SELECT coalesce(max(last_row), 0) FROM (SELECT last_row FROM event_runs UNION ALL
                   SELECT last_row FROM ledger WHERE first_row IS NOT NULL AND first_second IS NOT NULL)";
    let last: i64 = tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT {EVENT} FROM events e WHERE e.rowid > ?1 AND e.time >= ?2 AND e.time < ?3"
    ))?;
    read_rows(&mut select.query([last, slice.0, slice.1])?, reading)
}

/// Holds rows against the chain, whose columns are [`EVENT`].
fn read_rows(rows: &mut rusqlite::Rows<'_>, reading: &mut ChainReading) -> Result<(), SinkError> {
    while let Some(row) = rows.next()? {
        with_row(row, |row| reading.row(row, true))?;
    }
    Ok(())
}

/// Does something with a row whose columns are [`EVENT`].
pub(super) fn with_row(
    row: &rusqlite::Row<'_>,
    work: impl FnOnce(&Row<'_>),
) -> rusqlite::Result<()> {
    // Somebody else may have written anything. What is no text is none that we have written.
    let text = |at: usize| -> rusqlite::Result<Option<Cow<'_, str>>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        })
    };
    let (id, kind, properties) = (text(2)?, text(3)?, text(6)?);
    let (user, session) = (text(4)?, text(5)?);
    let (source, dialect) = (text(7)?, text(8)?);
    work(&Row {
        time: row.get(0)?,
        received_at: row.get(1)?,
        id: id.as_deref().unwrap_or_default(),
        kind: kind.as_deref().unwrap_or_default(),
        user_id: user.as_deref(),
        session_id: session.as_deref(),
        properties: properties.as_deref().unwrap_or_default(),
        source: source.as_deref(),
        dialect: dialect.as_deref(),
    });
    Ok(())
}

fn days(conn: &mut Connection) -> Result<BTreeSet<UtcDay>, SinkError> {
    let mut select = conn.prepare(
        "SELECT DISTINCT first_time / ?1, last_time / ?1 FROM chain WHERE first_time IS NOT NULL",
    )?;
    let spans = select.query_map([DAY], |row| Ok(row.get::<_, i64>(0)?..=row.get(1)?))?;
    let spans: Vec<_> = spans.collect::<Result<_, _>>()?;
    Ok(spans.into_iter().flatten().collect())
}

/// Which batches may be thinned out. Those of rows in the archive stay for as long as these do, so each round looks at
/// them anew: nobody may have to wait for that in order to write.
fn to_thin(conn: &mut Connection, before: Millis) -> Result<Vec<i64>, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT rowid FROM chain c
         WHERE last_time < ?1 AND places IS NOT NULL AND written_at < ?2
               AND NOT EXISTS (SELECT 1 FROM archive_files f
                               WHERE f.last_time >= c.first_time AND f.first_time <= c.last_time)
         LIMIT ?3",
    )?;
    let asked = params![before, now_ms() - THINNED_AFTER, THIN_BATCHES as i64];
    Ok(select.query_map(asked, |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn thin(conn: &mut Connection, batches: &[i64]) -> Result<u64, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Whatever has come to the archive meanwhile, of a batch that is too old, was in no run of the removal.
    let sql = "UPDATE chain SET keys = NULL, places = NULL WHERE rowid = ? AND places IS NOT NULL";
    let mut update = tx.prepare_cached(sql)?;
    let mut thinned = 0;
    for rowid in batches {
        thinned += update.execute([rowid])?;
    }
    drop(update);
    tx.commit()?;
    Ok(thinned as u64)
}

#[async_trait]
impl ChainStore for SqliteStore {
    async fn chain_links(&self, span: Option<(Millis, Millis)>) -> Result<ChainLinks, SinkError> {
        with(&self.reader, move |conn| links(conn, span)).await
    }

    async fn chain_rows(&self, asked: &ChainAsked) -> Result<ChainDay, SinkError> {
        let asked = asked.clone();
        with(&self.reader, move |conn| rows(conn, &asked)).await
    }

    async fn chain_days(&self) -> Result<BTreeSet<UtcDay>, SinkError> {
        with(&self.reader, days).await
    }

    async fn thin_chain(&self, before: Millis) -> Result<u64, SinkError> {
        let batches = with(&self.reader, move |conn| to_thin(conn, before)).await?;
        if batches.is_empty() {
            return Ok(0);
        }
        // What is dropped is overwritten in the file.
        with(&self.writer, move |conn| overwriting(conn, |conn| thin(conn, &batches))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::SinkErrorKind;

    #[tokio::test]
    async fn what_comes_after_a_thinning_does_not_pay_for_overwriting() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let secure_delete = |conn: &Connection| {
            Ok(conn.query_row("PRAGMA secure_delete", [], |row| row.get::<_, i64>(0))?)
        };
        // 0 is off, 1 is on and 2 is FAST.
        assert_eq!(with(&store.writer, move |conn| secure_delete(conn)).await.unwrap(), 2);
        let batch = with(&store.writer, |conn| {
            conn.execute(
                "INSERT INTO chain (node, lane, seq, follows, sealed_at, written_at, first_time, last_time, hash,
                                    digests, keys, places)
                 VALUES (zeroblob(16), 0, 8, 0, 1, 1, 1, 1, zeroblob(32), zeroblob(16), x'73', x'00')",
                [],
            )?;
            Ok(())
        });
        batch.await.unwrap();
        assert_eq!(store.thin_chain(2).await.unwrap(), 1);
        assert_eq!(with(&store.writer, move |conn| secure_delete(conn)).await.unwrap(), 2);
        // Also after one that fails, and the work itself is overwritten.
        let failed = with(&store.writer, move |conn| {
            overwriting(conn, |conn| match secure_delete(conn)? {
                1 => Err::<(), _>(SinkError::new(SinkErrorKind::Other, "on")),
                other => panic!("{other}"),
            })
        });
        assert_eq!(failed.await.unwrap_err().message, "on");
        assert_eq!(with(&store.writer, move |conn| secure_delete(conn)).await.unwrap(), 2);
    }
}
