//! SQLite: the store of a single node that was given no Postgres. One file under the data
//! dir, in WAL mode: one connection writes, another reads the ledger meanwhile, a third reads
//! for charts, and none waits for another. A commit is on disk when it is answered
//! (`synchronous=FULL`).

mod alerts;
mod rollups;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::{
    domain::{
        batch::{Batch, BatchId, DeadLetter},
        delta::{Delta, Series},
        row::{self, COLUMNS, Row},
        time::Millis,
    },
    store::{
        LedgerSum, Store, StoreError, StoreErrorKind, StoreTotals, Written,
        ledger::{Entry, Summing},
        poison,
        rollup::{FoldLimits, Folded, Known, Summed},
    },
};

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The file's name in the data dir.
pub const FILE: &str = "floodmark.db";

/// Rows of one INSERT. More gain nothing: the cost is in the binding.
const ROWS_A_STATEMENT: usize = 32;
const FIELDS: usize = 7;

/// Pages (4 KiB) in the WAL before they are copied into the file: 16 MiB, a few batches.
const CHECKPOINT_PAGES: u32 = 4_096;
/// The WAL is cut to this after a checkpoint that found it larger, bytes.
const WAL_LIMIT_BYTES: u32 = 64 * 1024 * 1024;

/// A store in one SQLite file. Cheap to share; each connection has one user at a time.
pub struct SqliteStore {
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
    charts: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens or makes `dir/floodmark.db` and brings its schema up to date. Blocks.
    pub fn open(dir: &Path) -> Result<SqliteStore, StoreError> {
        let path = dir.join(FILE);
        let at = |e: rusqlite::Error| {
            let mut e = StoreError::from(e);
            e.message = format!("{}: {}", path.display(), e.message);
            e
        };
        std::fs::create_dir_all(dir).map_err(|e| StoreError {
            kind: StoreErrorKind::Unavailable,
            message: format!("{}: {e}", dir.display()),
        })?;
        let mut writer = connect(&path).map_err(at)?;
        embedded::migrations::runner().run(&mut writer).map_err(|e| StoreError {
            kind: StoreErrorKind::Schema,
            message: format!("{}: {e}", path.display()),
        })?;
        let reader = || {
            let reader = connect(&path).map_err(at)?;
            reader.pragma_update(None, "query_only", true).map_err(at)?;
            Ok::<_, StoreError>(Arc::new(Mutex::new(reader)))
        };
        Ok(SqliteStore {
            writer: Arc::new(Mutex::new(writer)),
            reader: reader()?,
            charts: reader()?,
        })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    // Only another program (a backup, the sqlite3 shell) can hold the lock for long.
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    Ok(conn)
}

/// Runs `job` with a connection, on a thread that may block. A caller that goes away
/// leaves the job to finish: the guard is freed only then.
async fn with<T: Send + 'static>(
    conn: &Arc<Mutex<Connection>>,
    job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let mut conn: OwnedMutexGuard<Connection> = conn.clone().lock_owned().await;
    match tokio::task::spawn_blocking(move || job(&mut conn)).await {
        Ok(result) => result,
        Err(e) => Err(StoreError {
            kind: StoreErrorKind::Other,
            message: format!("SQLite: the blocking task ended early: {e}"),
        }),
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
        let entry = Entry::of(batch);
        let rows = batch.rows.clone();
        let letters = batch.dead_letters.clone();
        with(&self.writer, move |conn| write(conn, &entry, &rows, letters)).await
    }

    async fn ledger_sum(
        &self,
        since: Millis,
        visitors_since: Millis,
    ) -> Result<LedgerSum, StoreError> {
        with(&self.reader, move |conn| ledger_sum(conn, since, visitors_since)).await
    }

    async fn ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, StoreError> {
        with(&self.reader, move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT delta, visitors FROM ledger WHERE node = ? AND lane = ? AND seq = ?",
            )?;
            let key = params![id.node.as_bytes(), id.lane() as i64, id.seq as i64];
            let found: Option<(Vec<u8>, Vec<u8>)> =
                select.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((cells, visitors)) => Ok(Some(Delta::decode(&cells, Some(&visitors))?)),
                None => Ok(None),
            }
        })
        .await
    }

    async fn fold(&self, limits: FoldLimits) -> Result<Folded, StoreError> {
        // Read beside the writer, which then waits only for the sums to be written.
        let fold = with(&self.reader, move |conn| rollups::read(conn, limits)).await?;
        with(&self.writer, move |conn| rollups::write(conn, &fold)).await
    }

    async fn drop_folded(&self, before: Millis, limit: u64) -> Result<u64, StoreError> {
        with(&self.writer, move |conn| rollups::drop_folded(conn, before, limit)).await
    }

    async fn rollup_known(&self) -> Result<Known, StoreError> {
        with(&self.charts, rollups::known).await
    }

    async fn rollup(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, StoreError> {
        let series = series.map(<[_]>::to_vec);
        with(&self.charts, move |conn| rollups::minutes(conn, from, to, series.as_deref())).await
    }

    async fn rollup_sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let (stretches, summed) = (stretches.to_vec(), summed.clone());
        with(&self.charts, move |conn| rollups::sums(conn, &stretches, &summed)).await
    }

    async fn totals(&self) -> Result<StoreTotals, StoreError> {
        with(&self.reader, |conn| {
            let sql = "SELECT (SELECT count(*) FROM events),
                              (SELECT count(*) FROM dead_letters),
                              (SELECT coalesce(sum(events), 0) FROM ledger)
                                  + (SELECT coalesce(sum(dropped), 0) FROM fold_heads)";
            Ok(conn.query_row(sql, [], |row| {
                Ok(StoreTotals {
                    events: row.get::<_, i64>(0)? as u64,
                    dead_letters: row.get::<_, i64>(1)? as u64,
                    ledger_events: row.get::<_, i64>(2)? as u64,
                })
            })?)
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        with(&self.writer, |conn| {
            conn.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
            Ok(())
        })
        .await
    }
}

fn write(
    conn: &mut Connection,
    entry: &Entry,
    rows: &[bytes::Bytes],
    mut letters: Vec<DeadLetter>,
) -> Result<Written, StoreError> {
    // Dropped without commit, the transaction rolls back.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (node, lane, seq) = (entry.id.node, entry.id.lane() as i64, entry.id.seq as i64);
    let taken = tx
        .prepare_cached(
            "INSERT INTO ledger_heads (node, lane, seq) VALUES (?, ?, ?)
             ON CONFLICT (node, lane) DO UPDATE SET seq = excluded.seq
             WHERE ledger_heads.seq < excluded.seq",
        )?
        .execute(params![node.as_bytes(), lane, seq])?;
    if taken == 0 {
        return Ok(Written::AlreadyStored);
    }
    let known = letters.len();
    let stored = insert_rows(&tx, rows, &mut letters)?;
    let poisoned = entry.events.saturating_sub(stored);
    if stored + poisoned != entry.events || (poisoned > 0) != (letters.len() > known) {
        return Err(StoreError {
            kind: StoreErrorKind::Other,
            message: format!(
                "batch {seq} of node {node} says {} events and holds {stored} rows",
                entry.events
            ),
        });
    }
    let last_row = (stored > 0).then(|| tx.last_insert_rowid());
    insert_letters(&tx, entry.id, &letters)?;
    tx.prepare_cached(
        "INSERT INTO ledger (node, lane, seq, sealed_at, events, poisoned, first_row, last_row,
                             first_second, last_second, delta, visitors)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    ])?;
    crate::failpoint::kill_point!("store-copied");
    tx.commit()?;
    Ok(Written::Stored { events: stored, poisoned })
}

/// Inserts all rows; bytes that are no row go to `letters`. Returns the rows inserted.
fn insert_rows(
    tx: &Connection,
    chunks: &[bytes::Bytes],
    letters: &mut Vec<DeadLetter>,
) -> Result<u64, StoreError> {
    let one = "(?, ?, ?, ?, ?, ?, ?)";
    let sql = |rows| {
        let values = vec![one; rows].join(", ");
        format!("INSERT INTO events ({COLUMNS}) VALUES {values}")
    };
    let mut many = tx.prepare_cached(&sql(ROWS_A_STATEMENT))?;
    let mut bound = Vec::with_capacity(ROWS_A_STATEMENT);
    let mut inserted = 0;
    for chunk in chunks {
        for row in row::rows(chunk) {
            match row {
                Ok(row) => bound.push(row),
                Err(e) => letters.push(poison::malformed(&chunk[e.at..])),
            }
            if bound.len() == ROWS_A_STATEMENT {
                for (n, row) in bound.drain(..).enumerate() {
                    bind(&mut many, n * FIELDS, &row)?;
                }
                inserted += many.raw_execute()?;
            }
        }
    }
    let mut single = tx.prepare_cached(&sql(1))?;
    for row in bound {
        bind(&mut single, 0, &row)?;
        inserted += single.raw_execute()?;
    }
    Ok(inserted as u64)
}

fn bind(insert: &mut rusqlite::Statement<'_>, at: usize, row: &Row<'_>) -> rusqlite::Result<()> {
    insert.raw_bind_parameter(at + 1, row.time)?;
    insert.raw_bind_parameter(at + 2, row.received_at)?;
    insert.raw_bind_parameter(at + 3, row.id)?;
    insert.raw_bind_parameter(at + 4, row.kind)?;
    insert.raw_bind_parameter(at + 5, row.user_id)?;
    insert.raw_bind_parameter(at + 6, row.session_id)?;
    insert.raw_bind_parameter(at + 7, row.properties)
}

fn insert_letters(
    tx: &Connection,
    id: BatchId,
    letters: &[DeadLetter],
) -> Result<(), rusqlite::Error> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO dead_letters (node, seq, received_at, code, message, raw)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for letter in letters {
        insert.execute(params![
            id.node.as_bytes(),
            id.seq as i64,
            letter.received_at,
            letter.code,
            letter.message,
            letter.raw,
        ])?;
    }
    Ok(())
}

fn ledger_sum(
    conn: &mut Connection,
    since: Millis,
    visitors_since: Millis,
) -> Result<LedgerSum, StoreError> {
    // One transaction, so that heads and rows are of the same moment.
    let tx = conn.transaction()?;
    let mut sum = Summing::default();
    let mut heads = tx.prepare_cached("SELECT node, lane, seq FROM ledger_heads")?;
    let mut rows = heads.query([])?;
    while let Some(row) = rows.next()? {
        sum.head(Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)?;
    }
    let mut ledger = tx.prepare_cached(
        "SELECT lane,
                CASE WHEN last_second >= ?1 THEN delta END,
                CASE WHEN sealed_at >= ?2 THEN visitors END
         FROM ledger WHERE last_second >= ?1 OR sealed_at >= ?2",
    )?;
    let mut rows = ledger.query([since, visitors_since])?;
    while let Some(row) = rows.next()? {
        let blob = |column| row.get_ref(column).map(|value| value.as_blob().ok());
        sum.add(row.get(0)?, blob(1)?, blob(2)?)?;
    }
    Ok(sum.finish())
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> StoreError {
        let kind = match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
            Some(ErrorCode::ReadOnly) => StoreErrorKind::ReadOnly,
            Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
                StoreErrorKind::Denied
            }
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure,
            ) => StoreErrorKind::Unavailable,
            // "no such table" and the like.
            Some(ErrorCode::Unknown | ErrorCode::SchemaChanged) => StoreErrorKind::Schema,
            _ => StoreErrorKind::Other,
        };
        StoreError { kind, message: format!("SQLite: {e}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        };
        row.encode(&mut rows);
        let good = rows.clone();
        rows.extend_from_slice(&[0xff; 40]);
        let mut batch = Batch::void(BatchId { node: Uuid::from_u128(1), seq: 1 });
        batch.events = 3;
        batch.rows = vec![rows.into(), good.into()];
        assert_eq!(store.write(&batch).await.unwrap(), Written::Stored { events: 2, poisoned: 1 });
        assert_eq!(store.totals().await.unwrap().dead_letters, 1);
    }

    #[tokio::test]
    async fn a_stretch_of_time_is_found_without_a_scan_of_events() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let plan: Vec<String> = with(&store.reader, |conn| {
            let mut explain = conn.prepare(
                "EXPLAIN QUERY PLAN SELECT count(*) FROM events_near
                 WHERE last_second >= 1000 AND first_second <= 2000 AND time BETWEEN 1000 AND 2000",
            )?;
            let rows = explain.query_map([], |row| row.get(3))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
        let searches = |what: &str| plan.iter().any(|step| step.contains(what));
        assert!(
            searches("INDEX ledger_by_last_second")
                && searches("INDEX event_runs_by_last_second")
                && plan.iter().filter(|step| step.starts_with("SEARCH e USING")).count() == 2
                // What the two halves of the view give is read as it comes.
                && plan.iter().all(|step| !step.starts_with("SCAN") || step == "SCAN events_near"),
            "{plan:?}"
        );
    }
}
