//! The copy of the book in the data dir, for a start during which the store is away.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::domain::access::{Book, Identity, StoredBook};

/// The file's name in the data dir.
const FILE: &str = "access.json";

/// Where the copy is.
#[derive(Debug)]
pub(super) struct KeptBook(PathBuf);

/// The file's contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BookFile {
    version: i64,
    session_key: String,
    sends_closed: bool,
    views_closed: bool,
    last_number: u32,
    identities: Vec<Identity>,
}

impl KeptBook {
    /// The place in a data dir.
    pub fn new(data_dir: &Path) -> KeptBook {
        KeptBook(data_dir.join(FILE))
    }

    /// Writes the copy. A disk that takes it not is only logged: the book in memory is what counts.
    pub async fn write(&self, book: &Book) {
        let StoredBook {
            version,
            session_key,
            sends_closed,
            views_closed,
            last_number,
            identities,
        } = book.stored().clone();
        let session_key = BASE64.encode(session_key);
        let file =
            BookFile { version, session_key, sends_closed, views_closed, last_number, identities };
        let text = serde_json::to_string(&file).expect("plain data always encodes");
        let path = self.0.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the copy of who has access can't be written to the data dir");
        }
    }

    /// The copy of the last run; `None` where there is none that can be read.
    pub fn read(&self) -> Option<Book> {
        let text = fs::read_to_string(&self.0).ok()?;
        let BookFile { version, session_key, sends_closed, views_closed, last_number, identities } =
            serde_json::from_str(&text).ok()?;
        let session_key = BASE64.decode(session_key).ok()?;
        Some(Book::new(StoredBook {
            version,
            session_key,
            sends_closed,
            views_closed,
            last_number,
            identities,
        }))
    }
}

/// Writes a file that is there whole or not at all after a crash, and that nobody else may read.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let staged = path.with_extension("json.new");
    let mut out =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&staged, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
