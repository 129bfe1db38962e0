//! The lock of a data dir, and how its holder notices that it has lost it.
//!
//! The lock is on a file's inode, so it holds nobody back any more once the file was removed or the
//! folder replaced: another process then locks a file of its own with the same name. The committer
//! therefore looks, after each fsync and before it answers, whether the file at the path is still
//! the one that it holds. A process that opened the folder after our write has read what we wrote;
//! one that opened it before has made the lock file anew, so that we notice.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{CommitError, SpoolWriter, node::DataDirError, segment};

const LOCK_FILE: &str = "lock";

/// The lock file that this process holds, to be recognised by. It keeps no lock itself.
#[derive(Clone, Debug)]
pub struct HeldLock {
    path: PathBuf,
    file: FileIdentity,
}

/// What tells a file from any other that has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of an open file.
    pub(super) fn of(file: &File) -> io::Result<FileIdentity> {
        file.metadata().map(|known| FileIdentity::new(&known))
    }

    /// Whether the file at `path` is this one.
    pub(super) fn is_at(self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|known| FileIdentity::new(&known) == self)
    }

    fn new(known: &Metadata) -> FileIdentity {
        FileIdentity { device: known.dev(), inode: known.ino() }
    }
}

impl HeldLock {
    /// Why the data dir may be another process's by now; `None` if the lock is still held.
    pub(super) fn lost(&self) -> Option<String> {
        (!self.file.is_at(&self.path)).then(|| {
            format!(
                "{} is not the file any more that this process holds the lock of: another process \
                 may use this data dir",
                self.path.display()
            )
        })
    }
}

impl SpoolWriter {
    /// From now on nothing is answered once this lock is lost ([`super::DataDir::held`]).
    pub fn watch_lock(&mut self, lock: HeldLock) {
        self.lock = Some(lock);
    }

    /// Looks whether the data dir is still this process's own, if it is known by which lock. If it
    /// is not, nothing is written from then on.
    pub(super) fn check_lock(&mut self) -> Result<(), CommitError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let segment = segment::path(&self.shared.options.dir, self.active.first);
        let replaced = || {
            let own = FileIdentity::of(&self.active.file).is_ok_and(|own| own.is_at(&segment));
            (!own).then(|| {
                let segment = segment.display();
                format!("{segment} is not the file any more that this process writes to")
            })
        };
        let Some(why) = lock.lost().or_else(replaced) else { return Ok(()) };
        tracing::error!(why, "spool: this process takes nothing more in");
        let why = CommitError::Displaced(why);
        self.poisoned = Some(why.clone());
        Err(why)
    }
}

/// Takes the lock, and leaves the pid in the lock file for whoever is refused.
pub(super) fn take(path: &Path) -> Result<(File, HeldLock), DataDirError> {
    let lock_path = path.join(LOCK_FILE);
    let io = |source| DataDirError::Io { what: "lock", path: lock_path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // The pid is a help for the reader of the error, so failing to read it is no
            // error of its own.
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim();
            return Err(DataDirError::InUse {
                path: path.to_owned(),
                owner: match pid.parse::<u32>() {
                    Ok(pid) => format!(" (pid {pid})"),
                    Err(_) => String::new(),
                },
            });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    // Errors are ignored here: the pid only improves the message above, and a full disk must
    // not keep a server from starting.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    let held = HeldLock { file: FileIdentity::of(&file).map_err(io)?, path: lock_path };
    Ok((file, held))
}

/// What a copy of the data dir does not have in common with it: when the lock file was made, or its
/// inode where the file system does not say that. `None` where neither is known.
pub(super) fn origin(lock: &File) -> Option<String> {
    let known = lock.metadata().ok()?;
    let born = known.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Some(match born {
        Some(at) => format!("born {}", at.as_nanos()),
        None => format!("inode {}", known.ino()),
    })
}
