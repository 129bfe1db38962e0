//! The data dir: its lock, and the identity of the node that it belongs to.

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

/// A data dir, locked for this process for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeId,
    report: Vec<String>,
    _lock: File,
}

/// Why a data dir can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data dir {path} is in use by another floodmark process{owner}: stop that one, or \
         start this one with its own --data-dir"
    )]
    InUse {
        /// The data dir.
        path: PathBuf,
        /// ` (pid 4711)`, or empty if it is not known.
        owner: String,
    },
    /// The disk or the permissions don't allow it.
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
    /// Makes the folder if it isn't there, locks it, and reads or makes the node's identity.
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

    /// Who this node is; the same after every restart.
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
    // Only a help for the message above: a full disk must not keep a server from starting.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

/// The identity: from its file; else from what the spool was written by; else a new one.
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

enum Traces {
    /// No segment, no readable cursors.
    None,
    /// There is something, written by this node where that can be read.
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
