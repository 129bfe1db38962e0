//! SQLite: the store of a single node that was given no Postgres. It is one file under the data
//! dir, in WAL mode. One connection writes, another reads the ledger, a third reads for charts,
//! and none of them waits for another. A commit is on disk when it is answered
//! (`synchronous=FULL`).

mod access;
mod alerts;
mod archive;
mod breakdowns;
mod chain;
mod connection;
mod error;
mod events;
mod export;
mod forget;
mod guard;
mod imported;
mod installation;
mod ledger;
mod letters;
mod marks;
mod orders;
mod pending;
mod remake;
mod retention;
mod rollups;
mod room;
mod runs;
mod schemas;
mod sketches;
mod snapshot;
mod span_totals;
mod verify;
mod visitors;
mod write;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tokio::sync::{Mutex, mpsc};

use self::connection::{connect, overwriting, with};
use crate::{
    config::Config,
    domain::{
        batch::BatchId,
        delta::{Delta, Series},
        time::Millis,
    },
    sink::{Installation, Looked, SinkError, SinkErrorKind},
    store::{
        Ledger, LedgerHeads, LedgerSpan, Rollups, StoreInfo, StoreTotals,
        later::Migrated,
        rollup::{FoldLimits, Folded, Known, Summed},
    },
};

pub use pending::pending;
pub use room::shrink;
pub use snapshot::snapshot;

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The file's name in the data dir.
pub const FILE: &str = "floodmark.db";

/// A store in one SQLite file. Cheap to share; each connection has one user at a time.
pub struct SqliteStore {
    /// The only connection that writes: SQLite lets one write at a time.
    writer: Arc<Mutex<Connection>>,
    /// Reads the ledger and what alerts remember.
    reader: Arc<Mutex<Connection>>,
    /// Reads for charts, which may take seconds.
    charts: Arc<Mutex<Connection>>,
    /// Reads slices of exports, one after the other.
    exports: Arc<Mutex<Connection>>,
    /// Reads what moves to the archive.
    moved: Arc<Mutex<Connection>>,
    /// What was done to its schema when it was opened.
    migrated: Migrated,
    /// Whose file it has to be.
    installation: Arc<Installation>,
    /// Whether batches go to the chain of hashes.
    chain: bool,
}

impl SqliteStore {
    /// Opens or makes `dir/floodmark.db` as a node with the default settings does. Blocks.
    pub fn open(dir: &Path) -> Result<SqliteStore, SinkError> {
        let config = Config { data_dir: dir.to_owned(), ..Config::default() };
        let installation = Installation::open(&config)
            .map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?;
        SqliteStore::open_as(dir, Arc::new(installation))
    }

    /// Opens or makes `dir/floodmark.db` as a node of `installation`, and brings its schema up to date.
    /// Blocks.
    ///
    /// # Errors
    /// It can't be opened or is damaged.
    pub fn open_as(dir: &Path, installation: Arc<Installation>) -> Result<SqliteStore, SinkError> {
        let path = dir.join(FILE);
        let at = |e: rusqlite::Error| {
            let mut e = SinkError::from(e);
            e.message = format!("{}: {}", path.display(), e.message);
            e
        };
        std::fs::create_dir_all(dir).map_err(|e| SinkError {
            kind: SinkErrorKind::Unavailable,
            message: format!("{}: {e}", dir.display()),
        })?;
        installation::check_whole(&path)?;
        let mut writer = connect(&path).map_err(at)?;
        let migrated = pending::migrate(&mut writer, &path)?;
        let reader = || {
            let reader = connect(&path).map_err(at)?;
            reader.pragma_update(None, "query_only", true).map_err(at)?;
            Ok::<_, SinkError>(Arc::new(Mutex::new(reader)))
        };
        Ok(SqliteStore {
            writer: Arc::new(Mutex::new(writer)),
            reader: reader()?,
            charts: reader()?,
            exports: reader()?,
            moved: reader()?,
            migrated,
            installation,
            chain: false,
        })
    }

    /// The same store, which writes batches to the chain of hashes or not (`ledger.chain`).
    pub fn with_chain(self, chain: bool) -> SqliteStore {
        SqliteStore { chain, ..self }
    }
}

/// Looks at `dir/floodmark.db` and changes nothing: `None` where there is no such file, else whether it
/// can be read and written. Blocks.
///
/// # Errors
/// It is no database, or it can't be opened for writing.
pub fn look(dir: &Path) -> Result<Option<()>, SinkError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let look = || {
        let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        match conn.is_readonly(rusqlite::MAIN_DB)? {
            true => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
                None,
            )),
            false => Ok(()),
        }
    };
    look().map(Some).map_err(|e| {
        let e = SinkError::from(e);
        SinkError { message: format!("{}: {}", path.display(), e.message), ..e }
    })
}

/// Compares the installation that `dir/floodmark.db` belongs to with `own`, and changes nothing in
/// the file. One that belongs to none yet is fine. Blocks.
///
/// # Errors
/// It is another's, or was made by other settings.
pub fn compare(dir: &Path, own: &Installation) -> Result<(), SinkError> {
    let conn = Connection::open_with_flags(dir.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    installation::compare(&conn, own)
}

/// The version of SQLite that is built in.
pub fn version() -> &'static str {
    rusqlite::version()
}

/// Looks into `dir/floodmark.db` whether there ever was a write key, and a user or token, and changes
/// nothing. Blocks.
///
/// # Errors
/// The file can't be read.
pub fn doors(dir: &Path) -> Result<(bool, bool), SinkError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok((false, false));
    }
    access::doors(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn read(
        &self,
        asked: LedgerSpan,
        parts: mpsc::Sender<(u64, Delta)>,
    ) -> Result<LedgerHeads, SinkError> {
        with(&self.reader, move |conn| ledger::read(conn, asked, &parts)).await
    }

    async fn delta(&self, id: BatchId) -> Result<Option<Delta>, SinkError> {
        with(&self.reader, move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT delta, visitors FROM ledger WHERE node = ? AND lane = ? AND seq = ?",
            )?;
            let key = params![id.run.as_bytes(), id.lane() as i64, id.seq as i64];
            let found: Option<(Vec<u8>, Vec<u8>)> =
                select.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((cells, visitors)) => Ok(Some(Delta::decode(&cells, Some(&visitors))?)),
                None => Ok(None),
            }
        })
        .await
    }
}

#[async_trait]
impl Rollups for SqliteStore {
    async fn fold(&self, limits: FoldLimits) -> Result<Folded, SinkError> {
        // The ledger is read on the reader's connection, so that batches wait only while the sums
        // are written. `write` notices if another fold came in between.
        let mut fold = with(&self.reader, move |conn| rollups::read(conn, limits)).await?;
        with(&self.writer, move |conn| rollups::write(conn, &mut fold)).await
    }

    async fn drop_folded(
        &self,
        before: Millis,
        keep: Millis,
        limit: u64,
    ) -> Result<u64, SinkError> {
        with(&self.writer, move |conn| rollups::drop_folded(conn, before, keep, limit)).await
    }

    async fn known(&self) -> Result<Known, SinkError> {
        with(&self.charts, rollups::known).await
    }

    async fn minutes(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, SinkError> {
        let series = series.map(<[_]>::to_vec);
        with(&self.charts, move |conn| rollups::minutes(conn, from, to, series.as_deref())).await
    }

    async fn sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, SinkError> {
        let (stretches, summed) = (stretches.to_vec(), summed.clone());
        with(&self.charts, move |conn| rollups::sums(conn, &stretches, &summed)).await
    }
}

#[async_trait]
impl StoreInfo for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn totals(&self) -> Result<StoreTotals, SinkError> {
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

    async fn check(&self) -> Result<Looked, SinkError> {
        with(&self.writer, |conn| {
            // An immediate transaction takes the lock for writing, and fails where it can't.
            conn.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
            Ok(Looked { version: rusqlite::version().to_owned(), doubts: Vec::new() })
        })
        .await
    }

    async fn migrate(&self) -> Result<Migrated, SinkError> {
        // The schema was brought up to date when the file was opened.
        Ok(self.migrated.clone())
    }

    async fn claim(&self) -> Result<(), SinkError> {
        let own = self.installation.clone();
        with(&self.writer, move |conn| installation::claim(conn, &own)).await
    }

    async fn settle(&self) -> Result<(), SinkError> {
        with(&self.writer, |conn| {
            // The answer is a row: whether it was held up by a reader, and two counts of pages.
            let busy: i64 =
                conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            match busy {
                0 => Ok(()),
                _ => Err(SinkError::new(SinkErrorKind::Unavailable, "a reader holds the WAL")),
            }
        })
        .await
    }

    async fn change_terms(&self) -> Result<(), SinkError> {
        let own = self.installation.clone();
        with(&self.writer, move |conn| installation::change_terms(conn, &own)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                // This one step only passes on the rows that the two halves of the view find.
                && plan.iter().all(|step| !step.starts_with("SCAN") || step == "SCAN events_near"),
            "{plan:?}"
        );
    }
}
