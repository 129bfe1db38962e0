//! What SQLite lets go of by age beside events, how large its file is, and how that shrinks.

use rusqlite::{Connection, TransactionBehavior, params};

use super::alerts::numbered;
use crate::{
    domain::time::Millis,
    sink::SinkError,
    store::retention::{FORGET_ROLLUPS, StoreSize, TRIM_ROWS, Trimmed},
};

/// Pages that are given back to the disk in one transaction.
const STEP_PAGES: u32 = 256;
/// `PRAGMA auto_vacuum` of a file whose free pages can be given back.
const INCREMENTAL: i64 = 2;

/// Removes some rows; see `trim` of [`crate::store::retention::Retention`].
pub(super) fn trim(conn: &mut Connection, what: Trimmed, before: Millis) -> Result<u64, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let deletes: &[&str] = match what {
        Trimmed::Rollups => {
            tx.execute(&numbered(FORGET_ROLLUPS), [before])?;
            &[
                "DELETE FROM rollups WHERE (series, minute) IN
                 (SELECT series, minute FROM rollups WHERE minute < ?1 LIMIT ?2)",
                "DELETE FROM breakdown_rollups WHERE (breakdown, span, at) IN
                 (SELECT breakdown, span, at FROM breakdown_rollups WHERE at < ?1 LIMIT ?2)",
                "DELETE FROM sketch_rollups WHERE rowid IN
                 (SELECT rowid FROM sketch_rollups WHERE at < ?1 LIMIT ?2)",
                "DELETE FROM schema_hours WHERE (type, source, property, at) IN
                 (SELECT type, source, property, at FROM schema_hours WHERE at < ?1 LIMIT ?2)",
            ]
        }
        Trimmed::DeadLetters => &["DELETE FROM dead_letters WHERE rowid IN
             (SELECT rowid FROM dead_letters WHERE received_at < ?1 LIMIT ?2)"],
        // Notices go first, since they name their alert.
        Trimmed::Alerts => &[
            "DELETE FROM notifications WHERE id IN (SELECT n.id FROM notifications n
             JOIN alerts a ON a.id = n.alert WHERE a.cleared_at < ?1 LIMIT ?2)",
            "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts a WHERE a.cleared_at < ?1
             AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.alert = a.id) LIMIT ?2)",
        ],
    };
    let mut rows = 0;
    for delete in deletes {
        rows += tx.execute(delete, params![before, TRIM_ROWS as i64])? as u64;
    }
    tx.commit()?;
    Ok(rows)
}

fn pragma(conn: &Connection, name: &str) -> Result<i64, SinkError> {
    Ok(conn.pragma_query_value(None, name, |row| row.get(0))?)
}

/// How large the file is.
pub(super) fn size(conn: &mut Connection) -> Result<StoreSize, SinkError> {
    let page = pragma(conn, "page_size")?;
    let (pages, free) = (pragma(conn, "page_count")?, pragma(conn, "freelist_count")?);
    let path = conn.path().map(std::path::PathBuf::from).unwrap_or_default();
    let wal = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |it| it.len());
    Ok(StoreSize {
        bytes: (pages * page) as u64 + wal,
        reusable: (free * page) as u64,
        free: path.parent().and_then(|dir| fs4::available_space(dir).ok()),
    })
}

/// Gives some free pages back.
pub(super) fn give_back(conn: &mut Connection) -> Result<bool, SinkError> {
    if pragma(conn, "auto_vacuum")? != INCREMENTAL || pragma(conn, "freelist_count")? == 0 {
        return Ok(true);
    }
    // Each row of the answer is a page that was moved.
    let mut step = conn.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = step.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(step);
    Ok(pragma(conn, "freelist_count")? == 0)
}

/// Makes the file of an earlier version one whose free pages can be given back, and gives them back. All of
/// the file is written anew, so nobody else may use it meanwhile. Blocks.
///
/// # Errors
/// Another process uses the file, or the disk has no room for a second copy of it.
pub fn shrink(dir: &std::path::Path) -> Result<(u64, u64), SinkError> {
    let path = dir.join(super::FILE);
    let bytes = || std::fs::metadata(&path).map_or(0, |it| it.len());
    let conn = super::connect(&path)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let before = bytes();
    conn.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    conn.execute_batch("VACUUM")?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok((before, bytes()))
}
