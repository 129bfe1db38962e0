//! `backup.json`: which files a backup has, and what it is a backup of.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use crate::domain::time::Millis;

/// Its name in the folder of the backup.
const FILE: &str = "backup.json";
/// The version of the form.
const VERSION: u32 = 1;

/// What a backup has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// The version of Floodmark that made it.
    floodmark: String,
    /// All that was answered before this moment (Unix ms) is in it.
    pub complete_until: Millis,
    /// Whether it has the store, which then is SQLite.
    pub embedded: bool,
    /// Every other file of its folder.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Its path within the folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Of all files that are in a folder.
    pub fn of(dir: &Path, complete_until: Millis, embedded: bool) -> Result<Manifest, String> {
        let mut found = Vec::new();
        for path in files::all_in(dir)? {
            let whole = dir.join(&path);
            let (bytes, sha256) = digest(&whole).map_err(files::failed("read", &whole))?;
            found.push(BackupFile { path, bytes, sha256 });
        }
        let floodmark = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Manifest { version: VERSION, floodmark, complete_until, embedded, files: found })
    }

    /// Writes it. It is on the disk when this returns.
    pub fn write(&self, dir: &Path) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(self).expect("plain data always encodes");
        let (new, path) = (dir.join("backup.json.new"), dir.join(FILE));
        fs::write(&new, text).map_err(files::failed("write", &new))?;
        files::sync(&new)?;
        fs::rename(&new, &path).map_err(files::failed("rename", &new))?;
        files::sync_parent(&path)
    }

    /// Reads that of a backup.
    pub fn read(dir: &Path) -> Result<Manifest, String> {
        let path = dir.join(FILE);
        let text = fs::read(&path).map_err(|e| {
            format!(
                "{}: {e}: this is no backup, or one that did not come to its end",
                path.display()
            )
        })?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        match manifest.version {
            VERSION => Ok(manifest),
            other => Err(format!("{}: it is of the form {other}", path.display())),
        }
    }

    /// Compares all files with what they were.
    pub fn check(&self, dir: &Path) -> Result<(), String> {
        for file in &self.files {
            let path = dir.join(&file.path);
            let (_, sha256) = digest(&path).map_err(files::failed("read", &path))?;
            if sha256 != file.sha256 {
                return Err(format!(
                    "{} is not what it was: the backup is damaged",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path)?;
    let (mut bytes, mut chunk) = (0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        bytes += read as u64;
    }
    Ok((bytes, hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}
