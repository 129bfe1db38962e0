//! Which installation the file belongs to, and whether the file is whole.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use crate::{
    domain::time::now_ms,
    sink::{Installation, SinkError, SinkErrorKind, Terms},
};

/// What messages call the file.
const PLACE: &str = "floodmark.db in the data dir";

/// Files up to this size, in bytes, are read whole at start to see whether they are damaged. A larger
/// one would hold the start up for more than a second or two, and is read in the background.
const CHECKED_AT_START: u64 = 256 << 20;

/// Looks whether the file at `path` is damaged. Blocks; a large file is looked at by a thread of its
/// own, which logs what it finds.
///
/// # Errors
/// It is damaged. The message says what to do.
pub(super) fn check_whole(path: &Path) -> Result<(), SinkError> {
    let Ok(file) = std::fs::metadata(path) else { return Ok(()) };
    if file.len() <= CHECKED_AT_START {
        return quick_check(path);
    }
    let path = path.to_owned();
    let check = move || {
        if let Err(error) = quick_check(&path) {
            tracing::error!(%error, "the store is damaged");
        }
    };
    // Where no thread can be made, the file is used unchecked, as any file of this size is at first.
    let thread = std::thread::Builder::new().name("check-sqlite".to_owned()).spawn(check);
    drop(thread);
    Ok(())
}

fn quick_check(path: &Path) -> Result<(), SinkError> {
    let check = || {
        let conn = Connection::open(path)?;
        conn.busy_timeout(std::time::Duration::from_secs(5))?;
        conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    let found = match check() {
        Ok(found) if found == "ok" => return Ok(()),
        Ok(found) => found,
        // Only these say that the file itself is bad; others pass or are reported by the open.
        Err(e) => match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                e.to_string()
            }
            _ => return Ok(()),
        },
    };
    let message = format!(
        "{} is damaged ({found}): put a backup in its place, or move it away together with its -wal \
         and -shm files; a new one is then filled in from the spool as far as that reaches, and what is \
         missing is named",
        path.display()
    );
    Err(SinkError::new(SinkErrorKind::Other, message))
}

/// See [`super::compare`].
pub(super) fn compare(conn: &Connection, own: &Installation) -> Result<(), SinkError> {
    // A file of before the table's migration has no row, either.
    let there = "SELECT count(*) FROM sqlite_master WHERE name = 'installation'";
    if conn.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    match kept(conn)? {
        Some((id, terms)) => {
            own.settle(Some(id), PLACE)?;
            own.terms.agree(&terms, PLACE)
        }
        None => Ok(()),
    }
}

/// See [`crate::store::StoreInfo::claim`].
pub(super) fn claim(conn: &mut Connection, own: &Installation) -> Result<(), SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some((id, terms)) = kept(&tx)? {
        own.settle(Some(id), PLACE)?;
        own.terms.agree(&terms, PLACE)?;
    } else {
        let knew = own.known().is_some();
        let id = own.settle(None, PLACE)?;
        let batches: i64 =
            tx.query_row("SELECT count(*) FROM ledger_heads", [], |row| row.get(0))?;
        if knew && batches == 0 {
            tracing::warn!(
                installation = %id,
                "the data dir belongs to an installation whose SQLite file is gone: a new file was \
                 made, and is filled in from the spool as far as that reaches"
            );
        }
        insert(&tx, id, &own.terms)?;
    }
    let sql = "UPDATE installation SET redis_prefix = ? WHERE redis_prefix = ''";
    tx.execute(sql, [&own.terms.redis_prefix])?;
    Ok(tx.commit()?)
}

/// See [`crate::store::StoreInfo::change_terms`].
pub(super) fn change_terms(conn: &mut Connection, own: &Installation) -> Result<(), SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some((id, terms)) = kept(&tx)? else {
        drop(tx);
        return claim(conn, own);
    };
    own.settle(Some(id), PLACE)?;
    // All else may differ: that is what the command is for.
    Terms { currency: own.terms.currency.clone(), ..terms.clone() }.agree(&terms, PLACE)?;
    tx.execute(
        "UPDATE installation SET zone = ?, redis_prefix = ?",
        [&own.terms.zone, &own.terms.redis_prefix],
    )?;
    Ok(tx.commit()?)
}

fn insert(tx: &Connection, id: Uuid, terms: &Terms) -> Result<(), SinkError> {
    tx.execute(
        "INSERT INTO installation (one, id, zone, currency, redis_prefix, made_at)
         VALUES (1, ?, ?, ?, ?, ?)",
        params![id.as_bytes(), terms.zone, terms.currency, terms.redis_prefix, now_ms()],
    )?;
    Ok(())
}

/// The row; `None` where there is none yet.
fn kept(conn: &Connection) -> Result<Option<(Uuid, Terms)>, SinkError> {
    let sql = "SELECT id, zone, currency, redis_prefix FROM installation";
    let row = conn.query_row(sql, [], |row| {
        let terms = Terms { zone: row.get(1)?, currency: row.get(2)?, redis_prefix: row.get(3)? };
        Ok((Uuid::from_bytes(row.get(0)?), terms))
    });
    Ok(row.optional()?)
}
