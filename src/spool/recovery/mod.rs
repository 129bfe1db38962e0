//! Opening: what a crash, a bad disk or a stray hand left behind becomes a spool again.
//!
//! Segments are read whole, one after the other, oldest first. Three rules decide:
//!
//! - Bytes behind the last intact record of the newest segment are a torn end: cut.
//! - Any other damage costs the batches that it lies in. The file stays as it is for its
//!   intact batches, nothing is appended to it, and it goes to the quarantine at the end.
//! - Where a seal may be among the lost bytes, a sink may have seen its batch: the records
//!   before it are not sealed again, and the sequence goes on behind every number that can
//!   have been given.

mod replay;
mod tail;

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    domain::{
        batch::DeadLetter,
        ids::{IdQueue, Key},
        time::Millis,
    },
    spool::{
        IdWindow, Opened, Sink, Spool, SpoolError, SpoolOptions, SpoolState,
        cursor::{self, Cursors},
        disk, failed, ids,
        index::SpoolIndex,
        segment,
        writer::SpoolWriter,
    },
};
use replay::LogReplay;

/// What was found when the spool was opened.
#[derive(Debug)]
pub struct Recovery {
    /// The seq of the next batch.
    pub next_seq: u64,
    /// Committed events that no seal covers. If it isn't empty, the first group to be
    /// committed begins with the seal of batch `next_seq`, which covers exactly these.
    pub open: OpenTail,
    /// The ids that clients gave events, by the time of their arrival, within the window.
    pub ids: IdQueue,
    /// What was wrong and how it was dealt with, in words; for the log.
    pub report: Vec<String>,
    /// Batches whose bytes were found damaged or missing.
    pub damaged: u64,
}

/// Records on disk that no seal covers.
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

pub(super) fn open(
    options: SpoolOptions,
    window: IdWindow,
    now: Millis,
) -> Result<Opened, SpoolError> {
    let dir = options.dir.clone();
    fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk::sync_dir(parent).map_err(failed("sync", parent))?;
    }
    let listing = list(&dir)?;
    let mut report = listing.report;

    let cursors = match Cursors::load(&dir) {
        Ok(Some(cursors)) if cursors.node == options.node => Some(cursors),
        Ok(None) if listing.segments.is_empty() => {
            // There from the beginning: a spool without them is a damaged one.
            let cursors = Cursors::new(options.node);
            let stored = cursors.store(&dir);
            stored.map_err(failed("write the cursors in", &dir))?;
            Some(cursors)
        }
        other => {
            let why = match other {
                Ok(Some(cursors)) => format!("belongs to node {}", cursors.node),
                Ok(None) => "is missing".to_owned(),
                Err(why) => format!("can't be used: {why}"),
            };
            report.push(format!(
                "the cursor file {} {why}; every batch still here is delivered again, which \
                 the sinks recognise",
                dir.join(cursor::FILE).display()
            ));
            None
        }
    };

    let mut log = LogReplay {
        dir: &dir,
        node: options.node,
        index: match cursors {
            Some(cursors) => {
                let oldest = cursors.settled[0].min(cursors.settled[1]) + 1;
                SpoolIndex::new(oldest, cursors.settled)
            }
            None => SpoolIndex::new(1, [0; 2]),
        },
        base_known: cursors.is_some(),
        stored: cursors.map_or(0, |cursors| cursors.settled[Sink::Store as usize]),
        ids: NewestIds::new(window, now),
        newest: None,
        spare: Vec::new(),
        report,
        damaged: 0,
    };
    let id_files = log.load_id_files(&listing.id_files);
    for first in listing.segments {
        log.load(first)?;
    }
    let end = log.finish(cursors)?;

    let damaged = log.damaged;
    let recovery = Recovery {
        next_seq: log.index.next_seq(),
        open: end.open,
        ids: log.ids.ids.sorted(),
        report: log.report,
        damaged,
    };
    let shared = Arc::new(SpoolState {
        index: Mutex::new(log.index),
        damaged: AtomicU64::new(damaged),
        refused: AtomicU64::new(0),
        options,
    });
    let writer = SpoolWriter::new(
        shared.clone(),
        end.active,
        cursors.unwrap_or(Cursors::new(shared.options.node)),
        (window, id_files),
        !recovery.open.is_empty(),
    );
    Ok(Opened { spool: Spool { shared }, writer, recovery })
}

struct Listing {
    segments: Vec<u64>,
    id_files: Vec<u64>,
    report: Vec<String>,
}

/// Sorts the folder's files by what they are, and removes those that never became whole.
fn list(dir: &Path) -> Result<Listing, SpoolError> {
    let mut listing = Listing { segments: Vec::new(), id_files: Vec::new(), report: Vec::new() };
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
        } else if name.ends_with(disk::TEMPORARY) {
            let _ = fs::remove_file(entry.path());
            let words = "was left by a stop in the middle of writing it: removed";
            listing.report.push(format!("{name} {words}"));
        } else if name != cursor::FILE {
            listing.report.push(format!("{name} is not a file of the spool: left alone"));
        }
    }
    listing.segments.sort_unstable();
    listing.id_files.sort_unstable();
    Ok(listing)
}

/// The newest ids, bounded while they are read.
struct NewestIds {
    since: Millis,
    max: usize,
    ids: IdQueue,
}

impl NewestIds {
    fn new(window: IdWindow, now: Millis) -> NewestIds {
        NewestIds {
            since: now.saturating_sub(window.window_ms),
            max: window.max_ids,
            ids: IdQueue::default(),
        }
    }

    fn push(&mut self, received_at: Millis, id: &str) {
        if received_at < self.since || self.max == 0 {
            return;
        }
        if self.ids.len() == self.max {
            self.ids.pop_front();
        }
        self.ids.push_back(Key::new(id), received_at);
    }
}
