//! Which migrations a SQLite file lacks, before it is opened by something that applies them.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{FILE, embedded};
use crate::sink::{SinkError, SinkErrorKind};

/// The migrations that `dir/floodmark.db` lacks; each was tried, and taken back. All of them where there
/// is no such file, which is not made. Blocks.
///
/// # Errors
/// The file can't be read or written, or one of them can't be applied.
pub fn pending(dir: &Path) -> Result<Vec<String>, SinkError> {
    let mut wanted = embedded::migrations::runner().get_migrations().clone();
    wanted.sort();
    let path = dir.join(FILE);
    let mut conn = match path.exists() {
        true => Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        false => Connection::open_in_memory()?,
    };
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // In a transaction that ends with this function, and is never committed.
    let trial = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let history = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
    let mut applied = BTreeSet::new();
    if trial.query_row(history, [], |row| row.get::<_, i64>(0))? > 0 {
        let mut rows = trial.prepare("SELECT version FROM refinery_schema_history")?;
        let versions = rows.query_map([], |row| row.get::<_, i64>(0))?;
        applied = versions.collect::<Result<_, _>>()?;
    }
    let newest = wanted.last().map_or(0, |it| i64::from(it.version()));
    if let Some(later) = applied.iter().find(|version| **version > newest) {
        let why = format!(
            "{}: it has migration V{later}, which this version of Floodmark does not have: run the \
             version that made it, or a newer one",
            path.display()
        );
        return Err(SinkError::new(SinkErrorKind::Schema, why));
    }
    wanted.retain(|it| !applied.contains(&i64::from(it.version())));
    for migration in &wanted {
        trial.execute_batch(migration.sql().expect("an embedded migration has its text"))?;
    }
    Ok(wanted.iter().map(ToString::to_string).collect())
}
