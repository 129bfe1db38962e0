//! The schema of a SQLite file: brought up to date where it is opened, or looked at and left alone.

use std::path::Path;

use refinery::Migration;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{FILE, embedded};
use crate::{
    sink::{SinkError, SinkErrorKind},
    store::later::{self, Migrated},
};

/// The migrations that `dir/floodmark.db` lacks; each was tried, and taken back. All of them where there
/// is no such file, which is not made. Blocks.
///
/// # Errors
/// The file can't be read or written, or one of them can't be applied.
pub fn pending(dir: &Path) -> Result<Migrated, SinkError> {
    let path = dir.join(FILE);
    let mut conn = match path.exists() {
        true => Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        false => Connection::open_in_memory()?,
    };
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // In a transaction that ends with this function, and is never committed.
    let trial = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (missing, later) = look(&trial, &path)?;
    for migration in &missing {
        trial.execute_batch(migration.sql().expect("an embedded migration has its text"))?;
    }
    Ok(Migrated { applied: missing.iter().map(ToString::to_string).collect(), later })
}

/// Brings the schema of an open file up to date.
///
/// # Errors
/// It can't be written, or a later version has made of it what this one can't work beside.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<Migrated, SinkError> {
    let (missing, later) = look(conn, path)?;
    // What is up to date is not written to; and refinery refuses whatever it does not know.
    if missing.is_empty() {
        return Ok(Migrated { applied: Vec::new(), later });
    }
    let report = embedded::migrations::runner().run(conn);
    let report = report.map_err(|e| refused(path, &e.to_string()))?;
    Ok(Migrated {
        applied: report.applied_migrations().iter().map(ToString::to_string).collect(),
        later,
    })
}

/// Compares the migrations of a file with those of this version: what it lacks, in order, and the names of
/// those of later versions.
fn look(conn: &Connection, path: &Path) -> Result<(Vec<Migration>, Vec<String>), SinkError> {
    let mut missing = embedded::migrations::runner().get_migrations().clone();
    missing.sort();
    let newest = missing.last().map_or(0, |it| i64::from(it.version()));
    let mut later = Vec::new();
    let history = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
    if conn.query_row(history, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok((missing, later));
    }
    let sql = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
    let mut history = conn.prepare(sql)?;
    let mut rows = history.query([])?;
    while let Some(row) = rows.next()? {
        let (version, name, checksum): (i64, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let before = missing.len();
        missing.retain(|it| {
            i64::from(it.version()) != version || it.checksum().to_string() != checksum
        });
        if missing.len() == before {
            later.push(later::judge(version, &name, newest).map_err(|e| refused(path, &e))?);
        }
    }
    later::in_order(missing.first(), &later).map_err(|e| refused(path, &e))?;
    Ok((missing, later))
}

fn refused(path: &Path, why: &str) -> SinkError {
    SinkError::new(SinkErrorKind::Schema, format!("{}: {why}", path.display()))
}
