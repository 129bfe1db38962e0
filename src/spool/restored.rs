//! The note that a data dir was put back from a backup. Nothing else in it knows of what came after the
//! backup, so the server says so until somebody removes the note.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{domain::time::Millis, spool::disk};

/// The file of the note, in the data dir.
pub const RESTORED_FILE: &str = "restored.json";

/// When a data dir was put back, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// All that was answered before this moment (Unix ms) is in the backup.
    pub complete_until: Millis,
    /// When it was put back, Unix ms.
    pub restored_at: Millis,
}

impl Restored {
    /// The note of a data dir; `None` where there is none, or it can't be read.
    pub fn of(data_dir: &Path) -> Option<Restored> {
        serde_json::from_slice(&fs::read(data_dir.join(RESTORED_FILE)).ok()?).ok()
    }

    /// Writes the note. It is on the disk when this returns.
    pub fn write(self, data_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self).expect("plain data always encodes");
        disk::replace(data_dir, RESTORED_FILE, &text)
    }
}
