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

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    domain::{
        batch::{DeadLetter, NodeId},
        time::Millis,
    },
    spool::{
        IdWindow, Opened, Shared, Sink, Spool, SpoolError, SpoolOptions,
        cursor::{self, Cursors, RESERVE},
        disk, failed,
        group::{IdStats, parse_ids, parse_rows, parse_seal},
        ids::{self, IdFile},
        index::{Entry, Index, Segment},
        reader::Contents,
        record::{self, Item},
        segment::{self, Active, HEADER},
        writer::SpoolWriter,
    },
};

/// Void batches that one gap may make. A larger one is no loss but a file that does not
/// belong here.
const MAX_GAP: u64 = 1 << 22;

/// What was found when the spool was opened.
#[derive(Debug)]
pub struct Recovery {
    /// The seq of the next batch.
    pub next_seq: u64,
    /// Committed events that no seal covers. If it isn't empty, the first group to be
    /// committed begins with the seal of batch `next_seq`, which covers exactly these.
    pub open: OpenTail,
    /// (received at, id) that clients gave events, oldest first, within the window.
    pub ids: Vec<(Millis, String)>,
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

    let mut log = Log {
        dir: &dir,
        node: options.node,
        index: match cursors {
            Some(cursors) => {
                let oldest = cursors.settled[0].min(cursors.settled[1]) + 1;
                Index::new(oldest, cursors.settled)
            }
            None => Index::new(1, [0; 2]),
        },
        base_known: cursors.is_some(),
        stored: cursors.map_or(0, |cursors| cursors.settled[Sink::Store as usize]),
        ids: IdRing::new(window, now),
        newest: None,
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
        ids: log.ids.into_sorted(),
        report: log.report,
        damaged,
    };
    let shared = Arc::new(Shared {
        index: Mutex::new(log.index),
        damaged: AtomicU64::new(damaged),
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

/// The log as it is read.
struct Log<'a> {
    dir: &'a Path,
    node: NodeId,
    index: Index,
    /// Whether the index begins where it should: without cursors, that is where the oldest
    /// segment begins.
    base_known: bool,
    /// The store has this batch and all before it.
    stored: u64,
    ids: IdRing,
    /// The newest segment so far, with what follows its last seal.
    newest: Option<Tail>,
    report: Vec<String>,
    damaged: u64,
}

/// What follows the last seal of a segment.
struct Tail {
    first: u64,
    file: Bytes,
    /// Where the last seal ends.
    start: usize,
    items: Vec<Item>,
}

struct End {
    active: Active,
    open: OpenTail,
}

impl Log<'_> {
    fn load_id_files(&mut self, firsts: &[u64]) -> Vec<IdFile> {
        let mut files = Vec::new();
        for &first in firsts {
            let name = ids::name(first);
            match ids::load(self.dir, first, |at, id| self.ids.push(at, id)) {
                Ok((stats, damaged)) => {
                    if damaged > 0 {
                        self.report.push(format!("{name}: {damaged} bytes of ids are damaged"));
                    }
                    files.push(IdFile { first, stats });
                }
                Err(error) => self.report.push(format!("{name} can't be read: {error}")),
            }
        }
        files
    }

    /// Reads one more segment, newer than all before.
    fn load(&mut self, first: u64) -> Result<(), SpoolError> {
        let path = segment::path(self.dir, first);
        let name = segment::name(first);
        let file = match fs::read(&path) {
            Ok(file) => Bytes::from(file),
            Err(error) => return self.set_aside(&name, &format!("can't be read: {error}")),
        };
        let header = segment::parse_header(&file);
        if let Some(header) = header {
            if header.version != segment::VERSION {
                let version = header.version;
                return Err(SpoolError::Version { path, version });
            }
            if header.node != self.node {
                return self.set_aside(&name, &format!("belongs to node {}", header.node));
            }
        }
        let far = match self.base_known {
            true => self.index.next_seq().saturating_add(MAX_GAP),
            false => u64::MAX / 2,
        };
        if first > far {
            return self.set_aside(&name, "is far ahead of all others");
        }
        let items = record::scan(&file, HEADER);
        let intact = |item: &Item| matches!(item, Item::Record { .. });
        if header.is_none() && !items.iter().any(intact) {
            if file.len() > HEADER {
                return self.set_aside(&name, "holds nothing that can be read");
            }
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            self.report.push(format!("{name} was made but never written to: removed"));
            return Ok(());
        }

        if !std::mem::replace(&mut self.base_known, true) {
            let oldest = first.max(1);
            self.index = Index::new(oldest, [oldest - 1; 2]);
        }
        self.supersede();
        self.index.segments.push_back(Segment {
            first,
            last: 0,
            bytes: file.len() as u64,
            ids: IdStats::default(),
            damaged: false,
        });
        if header.is_none_or(|header| header.first != first) {
            self.hurt(&format!("{name}: its header is damaged or not its own"));
        }
        let seals =
            items.iter().rposition(|item| matches!(item, Item::Record { kind: record::SEAL, .. }));
        let (sealed, tail) = items.split_at(seals.map_or(0, |at| at + 1));
        self.batches(first, &file, sealed);
        self.newest = Some(Tail {
            first,
            start: sealed.last().map_or(HEADER, |item| item.at().end),
            items: tail.to_vec(),
            file,
        });
        Ok(())
    }

    /// The newest segment so far is not the newest after all: it should end with a seal.
    fn supersede(&mut self) {
        let Some(tail) = self.newest.take().filter(|tail| !tail.items.is_empty()) else {
            return;
        };
        self.hurt(&format!(
            "{}: its last {} bytes are no whole batch",
            segment::name(tail.first),
            tail.file.len() - tail.start
        ));
    }

    /// Takes in the batches of the segment that was pushed last. `items` ends with a seal.
    fn batches(&mut self, first: u64, file: &Bytes, items: &[Item]) {
        let name = segment::name(first);
        let mut end = HEADER;
        let mut records: Vec<&Item> = Vec::new();
        for item in items {
            let seal = match item {
                Item::Record { kind: record::SEAL, at } => {
                    parse_seal(&file[record::payload(file, at)]).map(|seal| (seal.0, at))
                }
                _ => None,
            };
            let Some((seal, at)) = seal else {
                records.push(item);
                continue;
            };
            let start = at.start.checked_sub(seal.bytes as usize);
            // A seal before this one may be lost; its records are not this batch's.
            let start = start.filter(|start| *start >= end);
            let inside = |item: &&Item| start.is_some_and(|start| item.at().start >= start);
            let mut covered = start;
            for item in records.iter().filter(|item| inside(item)) {
                let whole = matches!(item, Item::Record { .. });
                covered = covered.filter(|at| whole && *at == item.at().start);
                covered = covered.map(|_| item.at().end);
            }
            let intact = covered == Some(at.start);
            if start != Some(end) {
                self.hurt(&format!("{name}: damaged before batch {}", seal.seq));
            }
            // An id whose event is lost must not keep the client's next try out.
            let keep = |item: &&Item| (intact && inside(item)) || seal.seq <= self.stored;
            let kept: Vec<Item> = records.iter().copied().filter(keep).cloned().collect();
            self.take_ids(file, &kept);
            records.clear();
            end = at.end;

            let next = self.index.next_seq();
            if seal.seq < next {
                // Settled by both sinks before the restart, or else a copy of another file.
                if self.index.oldest().is_some_and(|oldest| seal.seq >= oldest) {
                    self.hurt(&format!("{name}: batch {} is here twice", seal.seq));
                }
            } else if seal.seq - next > MAX_GAP {
                self.hurt(&format!("{name}: batch {} is out of order", seal.seq));
                continue;
            } else {
                self.gap(seal.seq);
                let start = start.unwrap_or(at.start);
                let (offset, len) = (start as u64, (at.end - start) as u64);
                let entry = Entry::new(first, offset, len, seal.events, seal.sealed_at);
                self.index.push(entry);
                if !intact {
                    self.hurt(&format!(
                        "{name}: batch {} is damaged, its {} events are lost",
                        seal.seq, seal.events
                    ));
                    self.index.mark_void(seal.seq);
                    self.damaged += 1;
                }
            }
            if let Some(segment) = self.index.segments.back_mut() {
                segment.last = segment.last.max(seal.seq);
            }
        }
    }

    /// Batches up to `next` are nowhere: void.
    fn gap(&mut self, next: u64) {
        let from = self.index.next_seq();
        if from < next {
            let last = next - 1;
            self.report.push(format!("batches {from} to {last} are missing"));
            self.damaged += next - from;
            self.index.fill(next);
        }
    }

    fn take_ids(&mut self, file: &Bytes, items: &[Item]) {
        for item in items {
            let Item::Record { kind: record::ROWS, at } = item else {
                continue;
            };
            let Some(rows) = parse_rows(&file[record::payload(file, at)]) else {
                continue;
            };
            let mut count = 0;
            for id in parse_ids(rows.ids) {
                self.ids.push(rows.received_at, id);
                count += 1;
            }
            if count > 0
                && let Some(segment) = self.index.segments.back_mut()
            {
                let newest = rows.received_at;
                segment.ids.add(IdStats { count, newest });
            }
        }
    }

    /// Reports damage to the segment that was pushed last.
    fn hurt(&mut self, words: &str) {
        self.report
            .push(format!("{words} (the file goes to quarantine/ once it is no longer needed)"));
        if let Some(segment) = self.index.segments.back_mut() {
            segment.damaged = true;
        }
    }

    /// Moves a file that is of no use here out of the way.
    fn set_aside(&mut self, name: &str, why: &str) -> Result<(), SpoolError> {
        quarantine(self.dir, name).map_err(failed("quarantine", &self.dir.join(name)))?;
        self.report.push(format!("{name} {why}: moved to quarantine/"));
        Ok(())
    }

    /// Decides where the sequence goes on, and in which segment.
    fn finish(&mut self, cursors: Option<Cursors>) -> Result<End, SpoolError> {
        let tail = self.newest.take();
        let newest = tail.as_ref().map_or(0, |tail| tail.first);
        // What the tail's batch is called, if nothing is lost.
        let unsealed = self.index.next_seq().max(newest);
        let reserved = cursors.map_or(unsealed + RESERVE, |cursors| cursors.reserved);
        let settled = cursors.map_or(0, |cursors| cursors.settled[0].max(cursors.settled[1]));

        let mut next = unsealed.max(settled + 1);
        if cursors.is_some_and(|cursors| cursors.active > newest) {
            self.report.push("the newest segment is missing".to_owned());
            next = next.max(reserved + 1);
        }
        let mut records = Vec::new();
        let mut end = HEADER;
        if let Some(tail) = &tail {
            let kept = self.salvage(tail);
            if kept.seal_lost {
                next = next.max(reserved + 1);
            }
            end = kept.end;
            if !kept.records.is_empty() && self.stored >= unsealed {
                self.report.push(format!(
                    "{} unsealed bytes belong to a batch that the store has: dropped",
                    kept.end - tail.start
                ));
                end = tail.start;
            } else {
                records = kept.records;
            }
        }
        let from = self.index.next_seq();
        if from < next {
            let last = next - 1;
            self.report.push(format!(
                "batches {from} to {last} may have been sealed and are not here: skipped"
            ));
            self.index.fill(next);
        }

        let mut open = OpenTail::default();
        if let Some(tail) = &tail {
            let whole = Contents::of(&tail.file, &records).expect("salvage keeps what decodes");
            let copy = |at| Bytes::copy_from_slice(&tail.file[at]);
            open.events = whole.events;
            open.rows = whole.rows.into_iter().map(copy).collect();
            open.dead_letters = whole.dead_letters;
            self.take_ids(&tail.file, &records);
        }
        let hurt = self.index.segments.back().is_some_and(|newest| newest.damaged);
        let active = match tail {
            // Behind a jump in the sequence, a name says where it goes on.
            Some(tail) if !hurt && next == unsealed => self.resume(&tail, end)?,
            Some(tail) => self.start_over(next, Some(&tail), &records)?,
            None => self.start_over(next, None, &[])?,
        };
        Ok(End { active, open })
    }

    /// Which records of an open batch go on living.
    fn salvage(&mut self, tail: &Tail) -> Kept {
        let name = segment::name(tail.first);
        let good = |item: &Item| Contents::of(&tail.file, std::slice::from_ref(item)).is_some();
        let until = tail.items.iter().rposition(good).map_or(0, |at| at + 1);
        let items = &tail.items[..until];
        let end = items.last().map_or(tail.start, |item| item.at().end);
        if end < tail.file.len() {
            let torn = tail.file.len() - end;
            self.report.push(format!("{name}: torn end cut at {end} ({torn} bytes)"));
        }
        let may_be_seal = |item: &Item| match item {
            Item::Record { kind, .. } => *kind == record::SEAL,
            Item::Damage { kind, .. } => kind.is_none_or(|kind| kind == record::SEAL),
        };
        let lost = items.iter().rposition(may_be_seal);
        let items = &items[lost.map_or(0, |at| at + 1)..];
        let records: Vec<Item> = items.iter().filter(|item| good(item)).cloned().collect();
        if lost.is_some() || records.len() < items.len() {
            self.damaged += u64::from(lost.is_some());
            self.hurt(&format!("{name}: damaged between {} and {end}", tail.start));
        }
        Kept { records, end, seal_lost: lost.is_some() }
    }

    /// Goes on in the newest segment, behind its last intact record.
    fn resume(&mut self, tail: &Tail, end: usize) -> Result<Active, SpoolError> {
        let path = segment::path(self.dir, tail.first);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        if end < tail.file.len() {
            file.set_len(end as u64)
                .and_then(|()| file.sync_all())
                .map_err(failed("cut", &path))?;
        }
        // Whatever a crash left in the page cache only is made durable before it is built on.
        file.sync_all().map_err(failed("sync", &path))?;
        disk::sync_dir(self.dir).map_err(failed("sync", self.dir))?;
        if let Some(segment) = self.index.segments.back_mut() {
            segment.bytes = end as u64;
        }
        Ok(Active { file, first: tail.first, offset: end as u64, batch_start: tail.start as u64 })
    }

    /// Goes on in a new segment, which begins with the open batch of a damaged one.
    fn start_over(
        &mut self,
        next: u64,
        old: Option<&Tail>,
        records: &[Item],
    ) -> Result<Active, SpoolError> {
        let name = segment::name(next);
        let path = segment::path(self.dir, next);
        let mut bytes = segment::header(self.node, next);
        let mut ids = IdStats::default();
        if let Some(old) = old {
            // Its sealed batches may be in the page cache only; readers see them from now on.
            let path = segment::path(self.dir, old.first);
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed("sync", &path))?;
            for item in records {
                bytes.extend_from_slice(&old.file[item.at().clone()]);
            }
            // Too many of them is no harm: it is only what decides whether to look closer.
            ids = self.index.segments.back().map_or(ids, |old| old.ids);
            if old.first == next {
                // It held nothing but this batch. The file gets a second name before the
                // first one is given to its successor, so nothing is lost in between.
                let kept =
                    quarantine_name(self.dir, &name).and_then(|kept| fs::hard_link(&path, kept));
                if let Err(error) = kept {
                    self.report.push(format!("{name} could not be quarantined: {error}"));
                }
                self.index.segments.pop_back();
            }
        }
        disk::replace(self.dir, &name, &bytes).map_err(failed("write", &path))?;
        let file =
            File::options().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        self.index.segments.push_back(Segment {
            first: next,
            last: 0,
            bytes: bytes.len() as u64,
            ids,
            damaged: false,
        });
        Ok(Active { file, first: next, offset: bytes.len() as u64, batch_start: HEADER as u64 })
    }
}

struct Kept {
    records: Vec<Item>,
    /// Where the last of them ends; the tail's start without any.
    end: usize,
    seal_lost: bool,
}

/// Moves a file into the quarantine.
pub(super) fn quarantine(dir: &Path, name: &str) -> io::Result<()> {
    let to = quarantine_name(dir, name)?;
    fs::rename(dir.join(name), to)?;
    disk::sync_dir(&dir.join(QUARANTINE))?;
    disk::sync_dir(dir)
}

pub(super) const QUARANTINE: &str = "quarantine";

/// A name there that is not taken.
fn quarantine_name(dir: &Path, name: &str) -> io::Result<std::path::PathBuf> {
    let quarantine = dir.join(QUARANTINE);
    fs::create_dir_all(&quarantine)?;
    let free = std::iter::once(quarantine.join(name))
        .chain((1..).map(|n: u32| quarantine.join(format!("{name}.{n}"))))
        .find(|path| !path.exists());
    Ok(free.expect("an endless list of names"))
}

/// The newest ids, bounded while they are read.
struct IdRing {
    since: Millis,
    max: usize,
    ids: VecDeque<(Millis, String)>,
}

impl IdRing {
    fn new(window: IdWindow, now: Millis) -> IdRing {
        IdRing {
            since: now.saturating_sub(window.window_ms),
            max: window.max_ids,
            ids: VecDeque::new(),
        }
    }

    fn push(&mut self, received_at: Millis, id: &str) {
        if received_at < self.since || self.max == 0 {
            return;
        }
        if self.ids.len() == self.max {
            self.ids.pop_front();
        }
        self.ids.push_back((received_at, id.to_owned()));
    }

    fn into_sorted(self) -> Vec<(Millis, String)> {
        let mut ids = Vec::from(self.ids);
        ids.sort_by_key(|(received_at, _)| *received_at);
        ids
    }
}
