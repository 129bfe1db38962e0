//! The data dir: its lock, and the identity of the node that it belongs to.
//!
//! The identity names the node in claims on ids, in leases and on dead letters. Batches are known
//! by the run that sealed them, so nothing is lost or counted twice when a data dir gets a new
//! identity: its open claims run out by themselves, and a lease is taken anew. That is what happens
//! to a copy of a data dir, for two nodes with one identity would void each other's claims. A copy
//! is recognised by the lock file, which was made at another time. A snapshot of the whole disk
//! copies that too; such a clone keeps the identity until its lock file is removed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{
    domain::batch::NodeId,
    spool::{
        cursor::Cursors,
        disk,
        lock::{self, HeldLock},
        segment,
    },
};

/// Holds the identity, and in a second line what a copy of the data dir does not have in common
/// with it ([`lock::origin`]).
const NODE_FILE: &str = "node.id";

/// A data dir, locked for this process until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeId,
    report: Vec<String>,
    held: HeldLock,
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
        let (lock, held) = lock::take(path)?;
        let mut report = Vec::new();
        let node = identity(path, lock::origin(&lock), &mut report)?;
        Ok(DataDir { path: path.to_owned(), node, report, held, _lock: lock })
    }

    /// What the lock is recognised by, for whoever has to notice that it was lost
    /// ([`super::SpoolWriter::watch_lock`]).
    pub fn held(&self) -> HeldLock {
        self.held.clone()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the spool lives: [`super::SpoolOptions::dir`].
    pub fn spool_dir(&self) -> PathBuf {
        spool_dir(&self.path)
    }

    /// The identity of this node, which stays the same over restarts. A copy of the data dir gets
    /// another one.
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

/// Finds out who this node is: from its file, or else from what is written in the spool, or
/// else by making a new identity.
fn identity(
    path: &Path,
    origin: Option<String>,
    report: &mut Vec<String>,
) -> Result<NodeId, DataDirError> {
    let file = path.join(NODE_FILE);
    let read = match fs::read_to_string(&file) {
        Ok(text) => Some(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(None),
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let traces = traces(&spool_dir(path));
    let node = match (read, traces) {
        (Some(Some((node, noted))), Traces::Some(_)) => {
            return Ok(own_or_copied(path, (node, noted), origin, report));
        }
        (Some(Some((node, _))), Traces::None) => {
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
    store(path, node, origin).map_err(failed("write", &file))?;
    Ok(node)
}

/// The identity of a data dir that says which one it has: that one, or a new one if it is a copy.
fn own_or_copied(
    path: &Path,
    (node, noted): (NodeId, Option<String>),
    origin: Option<String>,
    report: &mut Vec<String>,
) -> NodeId {
    let (Some(noted), Some(origin)) = (noted, origin.clone()) else {
        if origin.is_some() {
            // From before this was noted. If it can't be noted now, the next start does it.
            let _ = store(path, node, origin);
        }
        return node;
    };
    let kind = |of: &str| of.split(' ').next().map(str::to_owned);
    if noted == origin || kind(&noted) != kind(&origin) {
        return node;
    }
    let new = Uuid::new_v4();
    // The cursors come first, since they are only believed if they are of the node. A stop in
    // between is survived: this data dir is a copy still, and they are written again.
    let spool = spool_dir(path);
    let cursors = match Cursors::load(&spool) {
        Ok(Some(cursors)) => Cursors { node: new, ..cursors }.store(&spool),
        Ok(None) | Err(_) => Ok(()),
    };
    match cursors.and_then(|()| store(path, new, Some(origin))) {
        Ok(()) => {
            report.push(format!(
                "this data dir is a copy of node {node}'s, or its lock file was made anew: it is \
                 node {new} from now on"
            ));
            new
        }
        Err(error) => {
            report.push(format!(
                "this data dir is a copy of node {node}'s and could not be given an identity of \
                 its own: {error}"
            ));
            node
        }
    }
}

fn store(path: &Path, node: NodeId, origin: Option<String>) -> io::Result<()> {
    let lines = [node.to_string()].into_iter().chain(origin).map(|line| line + "\n");
    disk::replace(path, NODE_FILE, lines.collect::<String>().as_bytes())
}

/// The contents of the node file; `None` if they are damaged.
fn parse(text: &str) -> Option<(NodeId, Option<String>)> {
    let mut lines = text.lines();
    let node = Uuid::try_parse(lines.next()?.trim()).ok()?;
    Some((node, lines.next().map(str::to_owned)))
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
    // Before there were runs, a segment's header named the node.
    let node = firsts.iter().rev().find_map(|&first| {
        let header = segment::read_header(&segment::path(spool, first))?;
        (header.version == 1).then_some(header.run)
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
        fs::write(segment::path(&spool, 4), segment::header_of(1, node, 4)).unwrap();
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

    #[test]
    fn a_copy_gets_an_identity_of_its_own_and_keeps_its_cursors() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let spool = spool_dir(&path("a"));
        fs::create_dir_all(&spool).unwrap();
        // As it was before it was noted where an identity is from.
        let node = Uuid::from_u128(9);
        fs::write(path("a").join(NODE_FILE), format!("{node}\n")).unwrap();
        let cursors = Cursors { settled: [5, 4], ..Cursors::new(node) };
        cursors.store(&spool).unwrap();
        for _ in 0..2 {
            let open = DataDir::open(&path("a")).unwrap();
            assert_eq!((open.node(), open.report().len()), (node, 0));
        }

        fs::create_dir_all(spool_dir(&path("b"))).unwrap();
        for name in [NODE_FILE, "lock", "spool/cursors"] {
            fs::copy(path("a").join(name), path("b").join(name)).unwrap();
        }
        let clone = DataDir::open(&path("b")).unwrap();
        assert_ne!(clone.node(), node);
        assert_eq!(clone.report().len(), 1);
        let found = Cursors::load(&spool_dir(&path("b"))).unwrap().unwrap();
        assert_eq!(found, Cursors { node: clone.node(), ..cursors });
        let node_of_clone = clone.node();
        drop(clone);
        let clone = DataDir::open(&path("b")).unwrap();
        assert_eq!((clone.node(), clone.report().len()), (node_of_clone, 0));
        assert_eq!(DataDir::open(&path("a")).unwrap().node(), node);
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert_eq!(first.held().lost(), None);
        fs::remove_file(dir.path().join("lock")).unwrap();
        assert!(first.held().lost().is_some());
        let second = DataDir::open(dir.path()).unwrap();
        assert!(first.held().lost().unwrap().contains("another process"));
        assert_eq!(second.held().lost(), None);
    }
}
