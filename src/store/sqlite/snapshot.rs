//! A copy of the file while servers write to it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{FILE, connect};
use crate::sink::{SinkError, SinkErrorKind};

/// Writes a copy of `dir/floodmark.db` to a new file, as it is at one moment, and looks whether it is whole.
/// Writers go on meanwhile. Blocks.
///
/// # Errors
/// The file can't be read, the new one can't be written, or is damaged.
pub fn snapshot(dir: &Path, to: &Path) -> Result<(), SinkError> {
    let path = dir.join(FILE);
    let not_there =
        || SinkError::new(SinkErrorKind::Unavailable, format!("{}: is not there", path.display()));
    if !path.exists() {
        return Err(not_there());
    }
    let name = to.to_str().ok_or_else(|| {
        SinkError::new(SinkErrorKind::Other, format!("{}: is no text", to.display()))
    })?;
    connect(&path)?.execute("VACUUM INTO ?", [name])?;
    let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        other => {
            let words = format!("{}: the copy is damaged: {other}", to.display());
            Err(SinkError::new(SinkErrorKind::Other, words))
        }
    }
}
