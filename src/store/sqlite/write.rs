//! Writes a batch: rows, dead letters and ledger row in one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{SqliteStore, archive::hold_end, chain, guard, imported, orders, with};
use crate::{
    domain::{
        batch::{Batch, BatchId, DeadLetter, NodeId, RunId},
        chain::ChainWriter,
        imported::keys_of,
        row::{self, COLUMNS, Row},
        time::now_ms,
    },
    sink::{SinkError, SinkErrorKind},
    store::{
        BatchStore, LaneHeads, Missing, Written,
        chain::{chain_writer, chained},
        ledger::Entry,
        orders::{StoredOrder, orders_of},
        poison,
    },
};

/// Rows of one INSERT. More rows make it no faster, since the cost is in binding the values.
const ROWS_A_STATEMENT: usize = 32;
/// Values of a row, in the order of [`COLUMNS`].
const FIELDS: usize = 9;

#[async_trait]
impl BatchStore for SqliteStore {
    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let entry = Entry::unread(batch);
        let rows = batch.rows.clone();
        let letters = batch.dead_letters.clone();
        let (from, with_chain) = (batch.node, self.chain);
        with(&self.writer, move |conn| {
            // Rows are read once, for what they say and for their INSERT.
            let (read, malformed) = read_rows(&rows);
            let entry = entry.with_rows(read.iter().copied());
            let chain = with_chain.then(|| {
                let mut chain = chain_writer();
                read.iter().for_each(|row| chain.add(row));
                chain
            });
            write(conn, &entry, (&read, &orders_of(&rows), chain), (from, letters, malformed))
        })
        .await
    }

    async fn heads(&self, run: RunId) -> Result<LaneHeads, SinkError> {
        with(&self.reader, move |conn| guard::heads(conn, run)).await
    }

    async fn events_of(&self, id: BatchId) -> Result<Option<u64>, SinkError> {
        with(&self.reader, move |conn| guard::events_of(conn, id)).await
    }

    async fn skip(
        &self,
        missing: &Missing,
        before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), SinkError> {
        let missing = missing.clone();
        with(&self.writer, move |conn| guard::skip(conn, &missing, before, whole_events)).await
    }

    async fn missing(&self, node: NodeId) -> Result<Vec<Missing>, SinkError> {
        with(&self.reader, move |conn| guard::missing(conn, node)).await
    }
}

/// Runs the transaction: the guard, the rows, the dead letters, the ledger row.
fn write(
    conn: &mut Connection,
    entry: &Entry,
    (rows, told, chain): (&[Row<'_>], &[StoredOrder], Option<ChainWriter>),
    (from, mut letters, malformed): (NodeId, Vec<DeadLetter>, Vec<DeadLetter>),
) -> Result<Written, SinkError> {
    // Where this function returns early, the transaction is dropped without a commit and rolls
    // back.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (node, lane, seq) = (entry.id.run, entry.id.lane() as i64, entry.id.seq as i64);
    if let Some(of) = entry.rest_of
        && !guard::lengthen(&tx, of, entry.events)?
    {
        return Ok(Written::Gap);
    }
    // The guard comes first: it moves the head of the lane on, where this batch is the next.
    if !guard::take_turn(&tx, entry)? {
        if entry.rest_of.is_some() {
            // An earlier version wrote this rest, and did not note it at the beginning's row.
            tx.commit()?;
            return Ok(Written::AlreadyStored);
        }
        return guard::why_not(&tx, entry);
    }
    let held = if rows.is_empty() { None } else { hold_end(&tx)? };
    let stored = insert_rows(&tx, rows)?;
    // Each event is now a row or a dead letter. Any other count means that the batch is damaged,
    // and nothing of it may be committed.
    let poisoned = entry.events.saturating_sub(stored);
    if stored + poisoned != entry.events || (poisoned > 0) == malformed.is_empty() {
        return Err(SinkError {
            kind: SinkErrorKind::Other,
            message: format!(
                "batch {seq} of node {node} says {} events and holds {stored} rows",
                entry.events
            ),
        });
    }
    // One connection writes, so the rows of a batch have consecutive rowids. The ledger row keeps
    // the first and the last, by which a read over time finds the rows without an index.
    let last_row = (stored > 0).then(|| tx.last_insert_rowid());
    if let Some(held) = held {
        tx.execute("DELETE FROM events WHERE rowid = ?", [held])?;
    }
    letters.extend(malformed);
    insert_letters(&tx, from, seq, &letters)?;
    orders::insert(&tx, told)?;
    orders::insert_events(&tx, &entry.order_events)?;
    imported::insert(&tx, &keys_of(rows.iter().copied()))?;
    tx.prepare_cached(
        "INSERT INTO ledger (node, lane, seq, sealed_at, events, poisoned, first_row, last_row,
                             first_second, last_second, delta, visitors, shape, written_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        node.as_bytes(),
        lane,
        seq,
        entry.sealed_at,
        entry.events as i64,
        poisoned as i64,
        last_row.map(|last| last - stored as i64 + 1),
        last_row,
        entry.span.map(|span| span.0),
        entry.span.map(|span| span.1),
        entry.delta,
        entry.visitors,
        entry.shape,
        now_ms(),
    ])?;
    if let Some(chain) = chain {
        chain::insert(&tx, &chained(chain, entry, chain::turn(&tx, entry.id)?))?;
    }
    crate::failpoint::kill_point!("store-copied");
    tx.commit()?;
    Ok(Written::Stored { events: stored, poisoned })
}

/// Reads all rows, and makes dead letters of bytes that are none.
fn read_rows(chunks: &[bytes::Bytes]) -> (Vec<Row<'_>>, Vec<DeadLetter>) {
    let (mut read, mut malformed) = (Vec::new(), Vec::new());
    for chunk in chunks {
        for row in row::rows(chunk) {
            match row {
                Ok(row) => read.push(row),
                Err(e) => malformed.push(poison::malformed(&chunk[e.at..])),
            }
        }
    }
    (read, malformed)
}

/// Inserts all rows, and returns how many.
fn insert_rows(tx: &Connection, rows: &[Row<'_>]) -> Result<u64, SinkError> {
    let one = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let sql = |rows| {
        let values = vec![one; rows].join(", ");
        format!("INSERT INTO events ({COLUMNS}) VALUES {values}")
    };
    let mut many = tx.prepare_cached(&sql(ROWS_A_STATEMENT))?;
    let mut senders = [None; ROWS_A_STATEMENT];
    let (large, rest) = rows.as_chunks::<ROWS_A_STATEMENT>();
    let mut inserted = 0;
    for rows in large {
        for (n, row) in rows.iter().enumerate() {
            bind(&mut many, n * FIELDS, row, &mut senders[n])?;
        }
        inserted += many.raw_execute()?;
    }
    // What is left is too little for the large statement.
    let mut single = tx.prepare_cached(&sql(1))?;
    for row in rest {
        bind(&mut single, 0, row, &mut None)?;
        inserted += single.raw_execute()?;
    }
    Ok(inserted as u64)
}

/// The source and the dialect of a row.
type Sender<'a> = (Option<&'a str>, Option<&'a str>);

/// Binds a row's values, from the parameter after `at` on. `bound` is the sender that stands there from the
/// row before: it is mostly the same, and each text that is bound is copied.
fn bind<'a>(
    insert: &mut rusqlite::Statement<'_>,
    at: usize,
    row: &Row<'a>,
    bound: &mut Option<Sender<'a>>,
) -> rusqlite::Result<()> {
    insert.raw_bind_parameter(at + 1, row.time)?;
    insert.raw_bind_parameter(at + 2, row.received_at)?;
    insert.raw_bind_parameter(at + 3, row.id)?;
    insert.raw_bind_parameter(at + 4, row.kind)?;
    insert.raw_bind_parameter(at + 5, row.user_id)?;
    insert.raw_bind_parameter(at + 6, row.session_id)?;
    insert.raw_bind_parameter(at + 7, row.properties)?;
    if bound.replace((row.source, row.dialect)) != Some((row.source, row.dialect)) {
        insert.raw_bind_parameter(at + 8, row.source)?;
        insert.raw_bind_parameter(at + 9, row.dialect)?;
    }
    Ok(())
}

/// Writes dead letters. One that is there already, by its digest, is left as it is.
fn insert_letters(
    tx: &Connection,
    node: NodeId,
    seq: i64,
    letters: &[DeadLetter],
) -> Result<(), rusqlite::Error> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO dead_letters (node, seq, received_at, code, message, raw, digest, cut, source,
                                   write_key, dialect, event, event_time, letter)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, randomblob(16)) ON CONFLICT DO NOTHING",
    )?;
    for letter in letters {
        insert.execute(params![
            node.as_bytes(),
            seq,
            letter.received_at,
            letter.code,
            letter.message,
            letter.raw,
            letter.digest,
            letter.cut,
            letter.source,
            letter.key,
            letter.dialect,
            letter.event,
            letter.time,
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::StoreInfo;

    #[tokio::test]
    async fn bytes_that_are_no_row_do_not_block_their_batch() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let mut rows = Vec::new();
        let row = Row {
            time: 1_795_420_800_000,
            received_at: 1_795_420_800_000,
            id: "1",
            kind: "page_view",
            user_id: None,
            session_id: None,
            properties: "{}",
            ..Row::default()
        };
        row.encode(&mut rows);
        let good = rows.clone();
        rows.extend_from_slice(&[0xff; 40]);
        let mut batch = Batch::void(BatchId { run: Uuid::from_u128(1), seq: 1 });
        batch.events = 3;
        batch.rows = vec![rows.into(), good.into()];
        assert_eq!(store.write(&batch).await.unwrap(), Written::Stored { events: 2, poisoned: 1 });
        assert_eq!(store.totals().await.unwrap().dead_letters, 1);
    }
}
