//! The quarantine: damaged segments that are no longer needed, kept for a human to look at.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::spool::disk;

/// The folder in the spool's.
pub(super) const FOLDER: &str = "quarantine";

/// Moves a file of the spool there.
pub(super) fn take(dir: &Path, name: &str) -> io::Result<()> {
    let to = place(dir, name)?;
    fs::rename(dir.join(name), to)?;
    disk::sync_dir(&dir.join(FOLDER))?;
    disk::sync_dir(dir)
}

/// A path there that is not taken.
pub(super) fn place(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let quarantine = dir.join(FOLDER);
    fs::create_dir_all(&quarantine)?;
    let free = std::iter::once(quarantine.join(name))
        .chain((1..).map(|n: u32| quarantine.join(format!("{name}.{n}"))))
        .find(|path| !path.exists());
    Ok(free.expect("an endless list of names"))
}
