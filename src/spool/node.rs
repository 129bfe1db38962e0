//! The data dir: its lock, and the identity of the node that it belongs to.
//!
//! Guards in the store and the live side remember batches by (node, seq). The identity is
//! therefore tied to the sequence: whoever loses count of the sequence becomes a new node.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{
    domain::batch::NodeId,
    spool::{cursor::Cursors, disk, segment},
};

const NODE_FILE: &str = "node.id";
const LOCK_FILE: &str = "lock";

/// A data dir, locked for this process until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeId,
    report: Vec<String>,
    /// Held open, since closing the file releases the lock; so does the kernel when the
    /// process dies, whatever killed it.
    _lock: File,
}

/// Why a data dir can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error(
        "the data dir {path} is in use by another floodmark process{owner}: stop that one, or \
         start this one with its own --data-dir"
    )]
    InUse {
        /// The data dir.
        path: PathBuf,
        /// Which process, such as ` (pid 4711)`; empty if that is not known.
        owner: String,
    },
    /// The disk failed, or the permissions don't allow the operation.
    #[error("can't {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the folder if it doesn't exist, locks it, and reads or makes the node's identity.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        fs::create_dir_all(path).map_err(failed("make the data dir", path))?;
        let lock = lock(path)?;
        let mut report = Vec::new();
        let node = identity(path, &mut report)?;
        Ok(DataDir { path: path.to_owned(), node, report, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the spool lives: [`super::SpoolOptions::dir`].
    pub fn spool_dir(&self) -> PathBuf {
        spool_dir(&self.path)
    }

    /// The identity of this node, which stays the same over restarts.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What was found wrong and how it was dealt with, in words; for the log.
    pub fn report(&self) -> &[String] {
        &self.report
    }
}

fn spool_dir(path: &Path) -> PathBuf {
    path.join("spool")
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DataDirError + 'a {
    move |source| DataDirError::Io { what, path: path.to_owned(), source }
}

/// Takes the lock, and leaves the pid in the lock file for whoever is refused.
fn lock(path: &Path) -> Result<File, DataDirError> {
    let lock_path = path.join(LOCK_FILE);
    let io = |source| failed("lock", &lock_path)(source);
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
    Ok(file)
}

/// Finds out who this node is: from its file, or else from what is written in the spool, or
/// else by making a new identity.
fn identity(path: &Path, report: &mut Vec<String>) -> Result<NodeId, DataDirError> {
    let file = path.join(NODE_FILE);
    let read = match fs::read_to_string(&file) {
        Ok(text) => Some(Uuid::try_parse(text.trim()).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(None),
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let traces = traces(&spool_dir(path));
    let node = match (read, traces) {
        (Some(Some(node)), Traces::Some(_)) => return Ok(node),
        (Some(Some(node)), Traces::None) => {
            // Without cursors and segments nobody knows how far the sequence has run, and a
            // number used twice would be taken for a replay. A new identity starts at 1.
            report.push(format!(
                "{} names node {node} but there is no spool: starting as a new node",
                file.display()
            ));
            Uuid::new_v4()
        }
        (read, Traces::Some(Some(node))) => {
            let state = if read.is_some() { "damaged" } else { "missing" };
            report.push(format!(
                "{} was {state}: made again from the spool, which node {node} wrote",
                file.display()
            ));
            node
        }
        (read, Traces::Some(None) | Traces::None) => {
            if read.is_some() {
                report.push(format!("{} was damaged: a new node", file.display()));
            }
            Uuid::new_v4()
        }
    };
    disk::replace(path, NODE_FILE, format!("{node}\n").as_bytes())
        .map_err(failed("write", &file))?;
    Ok(node)
}

/// What the spool's folder tells of the node that wrote there.
enum Traces {
    /// There is no segment, and there are no readable cursors.
    None,
    /// There is something, and this node wrote it, if that can be read.
    Some(Option<NodeId>),
}

fn traces(spool: &Path) -> Traces {
    if let Ok(Some(cursors)) = Cursors::load(spool) {
        return Traces::Some(Some(cursors.node));
    }
    let mut firsts: Vec<u64> = fs::read_dir(spool)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| segment::parse_name(entry.file_name().to_str()?))
        .collect();
    firsts.sort_unstable();
    if firsts.is_empty() {
        return Traces::None;
    }
    // The newest readable header says who wrote here last.
    let node = firsts.iter().rev().find_map(|&first| {
        let mut head = vec![0; segment::HEADER];
        let mut file = File::open(segment::path(spool, first)).ok()?;
        file.read_exact(&mut head).ok()?;
        Some(segment::parse_header(&head)?.node)
    });
    Traces::Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_which_dir_and_who() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(held);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn the_identity_is_kept_as_long_as_the_sequence_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap().node();
        let open = DataDir::open(dir.path()).unwrap();
        assert_ne!(open.node(), first, "nobody knows what the first one sealed");
        fs::create_dir_all(open.spool_dir()).unwrap();
        Cursors::new(open.node()).store(&open.spool_dir()).unwrap();
        let node = open.node();
        drop(open);
        assert_eq!(DataDir::open(dir.path()).unwrap().node(), node);
    }

    #[test]
    fn a_lost_identity_is_found_in_the_spool() {
        let dir = tempfile::tempdir().unwrap();
        let node = Uuid::from_u128(9);
        let spool = spool_dir(dir.path());
        fs::create_dir_all(&spool).unwrap();
        fs::write(segment::path(&spool, 4), segment::header(node, 4)).unwrap();
        for damaged in [None, Some(&b"no uuid"[..]), Some(&b"\xff\xfe"[..])] {
            if let Some(bytes) = damaged {
                fs::write(dir.path().join(NODE_FILE), bytes).unwrap();
            }
            let open = DataDir::open(dir.path()).unwrap();
            assert_eq!(open.node(), node);
            assert_eq!(open.report().len(), 1);
        }
        assert!(DataDir::open(dir.path()).unwrap().report().is_empty());
    }
}
