//! Opening the spool: whatever a crash, a bad disk or a stray hand left behind in the folder
//! becomes a spool again.
//!
//! Segments are read whole, one after the other, oldest first (`replay.rs`); then it is decided
//! how the newest one goes on (`tail.rs`). Three rules decide:
//!
//! - Bytes behind the last intact record of the newest segment are a torn end, which is cut.
//!   Nobody was answered for them, since an answer comes after the fsync.
//! - Any other damage costs the batches that it lies in. The file stays as it is for the sake
//!   of its intact batches, nothing is appended to it, and in the end it goes to the quarantine.
//! - If a seal may be among the lost bytes, a sink may have seen its batch. Then the records
//!   before it are not sealed again, since they would be counted twice, and the sequence goes
//!   on behind every number that can have been given.

mod admit;
mod replay;
mod tail;

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    domain::{
        batch::{DeadLetter, LANES, NodeId, RunId},
        ids::{IdClass, IdQueue, Key},
        runs::Runs,
        time::Millis,
    },
    spool::{
        IdWindows, Opened, Spool, SpoolError, SpoolOptions, SpoolState, counts,
        cursor::{self, Cursors},
        disk, failed, ids,
        kept::KeptSegments,
        long_ids::LongIdFile,
        run_file, segment,
        writer::SpoolWriter,
    },
};
use replay::LogReplay;

/// What was found when the spool was opened.
#[derive(Debug)]
pub struct Recovery {
    /// The seq of the next batch.
    pub next_seq: u64,
    /// Committed events that no seal covers. If there are any, the first group to be committed
    /// has to begin with the seal of batch `next_seq`, which covers exactly these.
    pub open: OpenTail,
    /// The ids that clients gave to events within their windows, for each class ([`IdClass::ALL`]),
    /// ordered by their arrival.
    pub ids: [IdQueue; 3],
    /// What was found wrong and what was done about it, in words, for the log.
    pub report: Vec<String>,
    /// Batches whose bytes were found damaged or missing.
    pub damaged: u64,
}

/// The open batch that a stop left behind: records on disk that no seal covers.
#[derive(Clone, Debug, Default)]
pub struct OpenTail {
    /// Events in `rows`.
    pub events: u64,
    /// Encoded rows in the order of arrival.
    pub rows: Vec<Bytes>,
    /// Refused events.
    pub dead_letters: Vec<DeadLetter>,
}

impl OpenTail {
    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.dead_letters.is_empty()
    }
}

/// Opens the spool. See [`Spool::open`].
pub(super) fn open(
    options: SpoolOptions,
    windows: IdWindows,
    now: Millis,
) -> Result<Opened, SpoolError> {
    let dir = options.dir.clone();
    fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk::sync_dir(parent).map_err(failed("sync", parent))?;
    }
    let listing = list(&dir)?;
    let mut report = listing.report;

    let cursors = load_cursors(&options, listing.segments.is_empty(), &mut report)?;

    let kept = KeptSegments::list(&dir, now);
    let runs = load_runs(&options, &listing.segments, &kept, cursors, &mut report);

    let ids = NewestIds::new(windows, now);
    let mut log = LogReplay::new(&dir, runs, cursors, ids, report);
    let id_files = log.load_id_files(&listing.id_files);
    let long_ids = log.load_long_ids(listing.long_ids);
    for first in listing.segments {
        log.load(first)?;
    }
    let end = log.finish(new_run(options.node))?;
    let mut runs = log.runs;
    let oldest = kept.firsts().chain(log.index.oldest()).min().unwrap_or(log.index.next_seq());
    runs.forget_before(oldest.saturating_sub(LANES), run_file::REMEMBERED);

    let damaged = log.damaged;
    let recovery = Recovery {
        next_seq: log.index.next_seq(),
        open: end.open,
        ids: log.ids.ids.map(IdQueue::sorted),
        report: log.report,
        damaged,
    };
    let shared = Arc::new(SpoolState {
        index: Mutex::new(log.index),
        kept: Mutex::new(kept),
        runs: Mutex::new(runs),
        damaged: AtomicU64::new(damaged),
        refused: AtomicU64::new(0),
        options,
    });
    let writer = SpoolWriter::new(
        shared.clone(),
        (end.active, end.runs_stored),
        cursors.unwrap_or(Cursors::new(shared.options.node)),
        (windows, id_files, long_ids),
        !recovery.open.is_empty(),
    );
    Ok(Opened { spool: Spool { shared }, writer, recovery })
}

/// The identity of the run that begins. `node` is the one whose data dir this is.
fn new_run(node: NodeId) -> RunId {
    #[cfg(test)]
    if super::planted::SAME_RUN.get() {
        return node;
    }
    let _ = node;
    Uuid::new_v4()
}

/// Reads which run sealed which batches, and whether that is known for certain. Where the file is
/// missing or damaged, the headers of the segments say it.
fn load_runs(
    options: &SpoolOptions,
    segments: &[u64],
    kept: &KeptSegments,
    cursors: Option<Cursors>,
    report: &mut Vec<String>,
) -> (Runs, bool) {
    let dir = &options.dir;
    let why = match run_file::load(dir) {
        Ok(Some(runs)) => return (runs, true),
        Ok(None) => None,
        Err(why) => Some(why),
    };
    let kept: Vec<u64> = kept.firsts().collect();
    let runs = run_file::rebuild(dir, options.node, segments, &kept);
    // A data dir from before there were runs has no such file, and neither has one in which
    // nothing was sealed yet.
    let is_newer = |first: &u64| {
        segment::read_header(&segment::path(dir, *first)).is_some_and(|header| header.version > 1)
    };
    let sealed = cursors.is_none_or(|cursors| cursors.reserved > cursor::RESERVE);
    let missing = (sealed && segments.iter().any(is_newer)).then(|| "is missing".to_owned());
    if let Some(why) = why.or(missing) {
        report.push(format!(
            "{} {why}: made again from the headers of the segments",
            dir.join(run_file::FILE).display()
        ));
    }
    if runs.newest().is_some() {
        // What was found out is kept, so that a copy made of this data dir has it too. Without
        // room for it the file is made with the first batch.
        let _ = run_file::store(dir, &runs);
    }
    (runs, false)
}

/// Reads the cursor file. In a new spool it is made; an unusable one is reported, and the
/// spool goes on without.
fn load_cursors(
    options: &SpoolOptions,
    is_new: bool,
    report: &mut Vec<String>,
) -> Result<Option<Cursors>, SpoolError> {
    let dir = &options.dir;
    let why = match Cursors::load(dir) {
        Ok(Some(cursors)) if cursors.node == options.node => return Ok(Some(cursors)),
        Ok(None) if is_new => {
            // The file is there from the beginning, so that a spool without one is known to
            // be damaged.
            let cursors = Cursors::new(options.node);
            cursors.store(dir).map_err(failed("write the cursors in", dir))?;
            return Ok(Some(cursors));
        }
        Ok(Some(cursors)) => format!("belongs to node {}", cursors.node),
        Ok(None) => "is missing".to_owned(),
        Err(why) => format!("can't be used: {why}"),
    };
    report.push(format!(
        "the cursor file {} {why}; every batch still here is delivered again, which the sinks \
         recognise",
        dir.join(cursor::FILE).display()
    ));
    Ok(None)
}

/// The files of the spool's folder.
#[derive(Default)]
struct Listing {
    /// First batches of the segments, ascending.
    segments: Vec<u64>,
    /// First batches of the id files, ascending.
    id_files: Vec<u64>,
    /// The files of ids that are kept for long, ascending by their hour.
    long_ids: Vec<LongIdFile>,
    /// What was found that does not belong there, in words.
    report: Vec<String>,
}

/// Sorts the folder's files by what they are, and removes temporary files, which never became
/// whole ones.
fn list(dir: &Path) -> Result<Listing, SpoolError> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let entry = entry.map_err(failed("list", dir))?;
        let file_name = entry.file_name();
        let name = file_name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        } else if let Some(first) = segment::parse_name(&name) {
            listing.segments.push(first);
        } else if let Some(first) = ids::parse_name(&name) {
            listing.id_files.push(first);
        } else if let Some(file) = LongIdFile::parse_name(&name) {
            listing.long_ids.push(file);
        } else if name.ends_with(disk::TEMPORARY) {
            // One that stays only takes room, and is tried again at the next start.
            let _ = fs::remove_file(entry.path());
            let words = "was left by a stop in the middle of writing it: removed";
            listing.report.push(format!("{name} {words}"));
        } else if ![cursor::FILE, run_file::FILE, counts::FILE].contains(&&*name) {
            listing.report.push(format!("{name} is not a file of the spool: left alone"));
        }
    }
    listing.segments.sort_unstable();
    listing.id_files.sort_unstable();
    listing.long_ids.sort_by_key(|file| file.hour);
    Ok(listing)
}

/// The newest client ids of each class. Bounded while they are read, since the log may hold many more
/// than the windows let in.
struct NewestIds {
    windows: IdWindows,
    /// Older ones of each class are left out, Unix ms.
    since: [Millis; 3],
    ids: [IdQueue; 3],
}

impl NewestIds {
    fn new(windows: IdWindows, now: Millis) -> NewestIds {
        NewestIds { since: windows.since(now), windows, ids: Default::default() }
    }

    fn push(&mut self, received_at: Millis, id: &str) {
        let class = IdClass::of(id);
        let (window, ids) = (self.windows.of(class), &mut self.ids[class as usize]);
        if received_at < self.since[class as usize] || window.max_ids == 0 {
            return;
        }
        if ids.len() == window.max_ids {
            ids.pop_front();
        }
        while ids.bytes() > window.max_bytes && !ids.is_empty() {
            ids.pop_front();
        }
        ids.push_back(Key::new(id), received_at);
    }
}
