//! Connections to the file: how they are set up, and how work is done on them.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::sink::{SinkError, SinkErrorKind};

/// How many pages of 4 KiB the WAL holds before they are copied into the file: 16 MiB, which is a
/// few batches.
const CHECKPOINT_PAGES: u32 = 4_096;
/// The size, in bytes, that the WAL is cut to after a checkpoint that found it larger.
const WAL_LIMIT_BYTES: u32 = 64 * 1024 * 1024;
/// What is deleted or moved leaves no copy in the unused parts of pages, as far as that costs no write.
const SECURE_DELETE: &str = "FAST";

/// Opens a connection with the settings that all of them have.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    // Our own connections hold the lock briefly. Only another program (a backup, the sqlite3
    // shell) can hold it for long, and seconds are enough for most of these.
    conn.busy_timeout(Duration::from_secs(5))?;
    // Before the first page is written: a file of before keeps what it has.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "secure_delete", SECURE_DELETE)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    Ok(conn)
}

/// Runs `job` with a connection, on a thread that may block. When the caller goes away, the job
/// still runs to its end, and only then is the connection free for the next.
pub(super) async fn with<T: Send + 'static>(
    conn: &Arc<Mutex<Connection>>,
    job: impl FnOnce(&mut Connection) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let mut conn: OwnedMutexGuard<Connection> = conn.clone().lock_owned().await;
    match tokio::task::spawn_blocking(move || job(&mut conn)).await {
        Ok(result) => result,
        Err(e) => Err(SinkError {
            kind: SinkErrorKind::Other,
            message: format!("SQLite: the blocking task ended early: {e}"),
        }),
    }
}

/// Does work whose deletions and changes are overwritten in the file, whatever that costs. What comes after it on
/// this connection does without again, also where the work fails.
pub(super) fn overwriting<T>(
    conn: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    conn.pragma_update(None, "secure_delete", true)?;
    let done = work(conn);
    let restored = conn.pragma_update(None, "secure_delete", SECURE_DELETE);
    let done = done?;
    restored?;
    Ok(done)
}
