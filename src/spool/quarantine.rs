//! The quarantine: damaged segments that no sink needs any more, kept for a human to look at.
//! The server never reads or deletes anything here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::spool::disk;

/// The quarantine's folder, inside the spool's.
pub(super) const FOLDER: &str = "quarantine";

/// Moves a file of the spool into the quarantine.
pub(super) fn take(dir: &Path, name: &str) -> io::Result<()> {
    let to = place(dir, name)?;
    fs::rename(dir.join(name), to)?;
    // The new name before the old one goes: a power cut in between leaves two names, not none.
    disk::sync_dir(&dir.join(FOLDER))?;
    disk::sync_dir(dir)
}

/// A path in the quarantine that is still free: `NAME`, or else `NAME.1`, `NAME.2` and so on.
pub(super) fn place(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let quarantine = dir.join(FOLDER);
    fs::create_dir_all(&quarantine)?;
    let free = std::iter::once(quarantine.join(name))
        .chain((1..).map(|n: u32| quarantine.join(format!("{name}.{n}"))))
        .find(|path| !path.exists());
    Ok(free.expect("an endless list of names"))
}
