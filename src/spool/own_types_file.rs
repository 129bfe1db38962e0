//! The file of the event types that have counters of their own, in the data dir. It is replaced as a whole.
//! If it is lost, they are known from the counters, as soon as those are there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    domain::{aggregate::OwnTypes, time::Millis},
    spool::disk,
};

/// The name of the file.
const FILE: &str = "types.json";

/// Writes the file.
#[derive(Debug)]
pub struct OwnTypesFile {
    dir: PathBuf,
    /// Whether the last try has failed, which is told once.
    has_failed: bool,
}

impl OwnTypesFile {
    /// Reads what is in a data dir; nothing where there is no such file or it is damaged.
    pub fn open(dir: &Path) -> (OwnTypesFile, OwnTypes) {
        let types = match fs::read(dir.join(FILE)) {
            Ok(written) => OwnTypes::read(&written).unwrap_or_else(|| {
                tracing::warn!(
                    file = FILE,
                    "damaged: the counters say which event types they know"
                );
                OwnTypes::default()
            }),
            Err(_) => OwnTypes::default(),
        };
        (OwnTypesFile { dir: dir.to_owned(), has_failed: false }, types)
    }

    /// Writes what is new of `types` at `now` (Unix ms), before an event is counted by it.
    pub fn keep(&mut self, types: &mut OwnTypes, now: Millis) {
        let Some(bytes) = types.to_write(now) else { return };
        self.note(disk::replace(&self.dir, FILE, &bytes));
    }

    /// A failure is no reason to refuse events: what is counted is right until the next start.
    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = &written
            && !self.has_failed
        {
            tracing::warn!(%error, file = FILE, "can't write which event types have counters");
        }
        self.has_failed = written.is_err();
    }
}
