//! Reading the log at the start, segment by segment: which batches are there, and which of
//! them are whole.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
};

use crate::{
    domain::runs::Runs,
    spool::{
        Sink, SpoolError,
        cursor::Cursors,
        group::{IdStats, Seal, parse_ids, parse_rows, parse_seal},
        ids::{self, IdFile},
        index::{BatchEntry, Segment, SpoolIndex},
        long_ids::{LongIdFile, LongIds},
        record::{self, Item},
        recovery::{NewestIds, admit::Admitted},
        segment::{self, HEADER},
    },
};

/// Void batches that one gap may make. A larger gap is not a loss but a file that does not
/// belong here, and 4 million void batches take 256 MiB of index.
pub(super) const MAX_GAP: u64 = 1 << 22;

/// Batches that both sinks have settled and that lie before all others in the oldest segment. With
/// more of them that segment is not where the log begins, but an old one that somebody put back.
const MAX_SETTLED: u64 = 1 << 20;

/// The log as it is read, and what has been learnt from it so far.
pub(super) struct LogReplay<'a> {
    /// The spool's folder.
    pub dir: &'a Path,
    /// Which run sealed which batches.
    pub runs: Runs,
    /// Whether that was known before any segment was read, so that a segment of a run that is not
    /// among them does not belong here.
    pub runs_known: bool,
    /// The cursors, if there are any.
    pub cursors: Option<Cursors>,
    /// The index as far as the log was read.
    pub index: SpoolIndex,
    /// Whether the index begins where it should: with the oldest segment, once that is read.
    pub base_known: bool,
    /// The store has settled this batch and all before it.
    pub stored: u64,
    /// The client ids found so far.
    pub ids: NewestIds,
    /// The newest segment so far, with what follows its last seal.
    pub newest: Option<Tail>,
    /// Memory of a segment that was read, for the next one. Fresh memory for each segment
    /// would cost more than the reading.
    pub spare: Vec<u8>,
    /// What was found wrong, in words.
    pub report: Vec<String>,
    /// Batches lost to damage.
    pub damaged: u64,
}

/// A segment, and what follows its last seal.
pub(super) struct Tail {
    /// The segment's first batch.
    pub first: u64,
    /// The bytes of the whole file.
    pub file: Vec<u8>,
    /// Where the last seal ends.
    pub start: usize,
    /// What lies behind it.
    pub items: Vec<Item>,
}

impl<'a> LogReplay<'a> {
    /// Nothing was read yet. `runs` comes with whether it is known for certain.
    pub(super) fn new(
        dir: &'a Path,
        (runs, runs_known): (Runs, bool),
        cursors: Option<Cursors>,
        ids: NewestIds,
        report: Vec<String>,
    ) -> LogReplay<'a> {
        let settled = cursors.map_or([0; 2], |cursors| cursors.settled);
        LogReplay {
            dir,
            runs,
            runs_known,
            cursors,
            index: SpoolIndex::new(settled[0].min(settled[1]) + 1, settled),
            base_known: false,
            stored: settled[Sink::Store as usize],
            ids,
            newest: None,
            spare: Vec::new(),
            report,
            damaged: 0,
        }
    }

    /// Lets the index begin with the oldest segment, whose first batch is `first`. Batches there
    /// that both sinks have settled can still be read.
    fn begin(&mut self, first: u64) {
        self.index = match self.cursors {
            Some(cursors) => {
                let unsettled = self.index.next_seq();
                let near = unsettled.saturating_sub(first) <= MAX_SETTLED;
                let oldest = if near { first.max(1).min(unsettled) } else { unsettled };
                SpoolIndex::new(oldest, cursors.settled)
            }
            // Without cursors nobody knows what came before.
            None => SpoolIndex::new(first.max(1), [first.max(1) - 1; 2]),
        };
    }

    /// Reads the id files, and returns which there are.
    pub(super) fn load_id_files(&mut self, firsts: &[u64]) -> Vec<IdFile> {
        let mut files = Vec::new();
        for &first in firsts {
            let name = ids::name(first);
            match ids::load(&self.dir.join(&name), |at, id| self.ids.push(at, id)) {
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

    /// Reads the files of ids that are kept for long, and returns them with what they hold.
    pub(super) fn load_long_ids(&mut self, mut files: Vec<LongIdFile>) -> LongIds {
        files.retain_mut(|file| {
            let name = file.name();
            match ids::load(&self.dir.join(&name), |at, id| self.ids.push(at, id)) {
                Ok((stats, damaged)) => {
                    if damaged > 0 {
                        self.report.push(format!("{name}: {damaged} bytes of ids are damaged"));
                    }
                    file.stats = stats;
                    true
                }
                Err(error) => {
                    self.report.push(format!("{name} can't be read: {error}"));
                    false
                }
            }
        });
        LongIds(files)
    }

    /// Reads one more segment, newer than all before.
    pub(super) fn load(&mut self, first: u64) -> Result<(), SpoolError> {
        let path = segment::path(self.dir, first);
        let name = segment::name(first);
        let mut file = std::mem::take(&mut self.spare);
        if let Err(error) = read_into(&path, &mut file) {
            return self.set_aside(&name, &format!("can't be read: {error}"));
        }
        let Some(Admitted { header, items }) = self.admit(first, &file)? else { return Ok(()) };

        if !std::mem::replace(&mut self.base_known, true) {
            self.begin(first);
        }
        self.complete_move(&file)?;
        self.supersede();
        let own = header.is_some_and(|header| header.first == first);
        if own && first < self.index.next_seq() && self.index.oldest().is_some_and(|at| at < first)
        {
            // Somebody wrote to the older segment after this one was begun, which can only be a
            // process that did not know yet that the data dir was not its own any more.
            self.hurt(&format!(
                "{name} begins with batch {first}, and an older segment has it too"
            ));
            self.damaged -= self.index.cut(first);
        }
        self.index.segments.push_back(Segment {
            first,
            last: 0,
            bytes: file.len() as u64,
            ids: IdStats::default(),
            damaged: false,
        });
        if !own {
            self.hurt(&format!("{name}: its header is damaged or not its own"));
        } else {
            // An intact header says which batch the segment begins with, so what is missing
            // before it is known to be lost, even if the segment has no seal yet.
            self.gap(first);
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

    /// Called when a newer segment than the newest so far is found. The former should end with
    /// a seal, since segments are only changed right after one.
    fn supersede(&mut self) {
        let Some(tail) = self.newest.take() else { return };
        if !tail.items.is_empty() {
            self.hurt(&format!(
                "{}: its last {} bytes are no whole batch",
                segment::name(tail.first),
                tail.file.len() - tail.start
            ));
        }
        self.spare = tail.file;
    }

    /// Takes in the batches of the segment that was pushed last. `items` ends with a seal. For
    /// each seal it decides whether the bytes between it and the seal before are its batch,
    /// whole and nothing else.
    fn batches(&mut self, first: u64, file: &[u8], items: &[Item]) {
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
            // The seal says how long its batch is. If that reaches back over the seal before,
            // one of the two is wrong; if it doesn't reach that far, a seal in between is lost,
            // and the records before `start` belong to that one's batch.
            let start = at.start.checked_sub(seal.bytes as usize);
            let start = start.filter(|start| *start >= end);
            let inside = |item: &&Item| start.is_some_and(|start| item.at().start >= start);
            let within = records.iter().copied().filter(inside);
            let intact = start.is_some_and(|start| are_gapless(within, start, at.start));
            if start != Some(end) {
                self.hurt(&format!("{name}: damaged before batch {}", seal.seq));
            }
            // An id whose event is lost must not keep the client's next try out. If the store
            // has the batch, its events are not lost, whatever became of the bytes here.
            let keep = |item: &&Item| (intact && inside(item)) || seal.seq <= self.stored;
            let kept: Vec<Item> = records.iter().copied().filter(keep).cloned().collect();
            self.take_ids(file, &kept);
            records.clear();
            end = at.end;
            self.batch(first, seal, start.unwrap_or(at.start)..at.end, intact);
        }
    }

    /// Takes in one batch of segment `first`, whose bytes lie at `at`.
    fn batch(&mut self, first: u64, seal: Seal, at: Range<usize>, intact: bool) {
        let name = segment::name(first);
        let next = self.index.next_seq();
        if seal.seq < next {
            // Both sinks settled it before the restart; or else this is a copy of another file.
            if self.index.oldest().is_some_and(|oldest| seal.seq >= oldest) {
                self.hurt(&format!("{name}: batch {} is here twice", seal.seq));
            }
        } else if seal.seq - next > MAX_GAP {
            self.hurt(&format!("{name}: batch {} is out of order", seal.seq));
            return;
        } else {
            self.gap(seal.seq);
            let delivered = self.index.is_settled(seal.seq);
            let (offset, len) = (at.start as u64, at.len() as u64);
            self.index.push(BatchEntry::new(first, offset, len, seal.events, seal.sealed_at));
            if !intact && delivered {
                self.hurt(&format!("{name}: batch {} is damaged, both sinks have it", seal.seq));
                self.index.mark_gone(seal.seq);
            } else if !intact {
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

    /// Fills the index with void batches up to `next`, since these are in no file.
    fn gap(&mut self, next: u64) {
        let settled = self.index.settled();
        let from = self.index.next_seq().max(settled[0].min(settled[1]) + 1);
        if from < next {
            let last = next - 1;
            self.report.push(format!("batches {from} to {last} are missing"));
            self.damaged += next - from;
        }
        self.index.fill(next);
    }

    /// Takes in the client ids of `items`, which are records of the segment that was pushed
    /// last.
    pub(super) fn take_ids(&mut self, file: &[u8], items: &[Item]) {
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

    /// Reports damage to the segment that was pushed last, and marks it for the quarantine.
    pub(super) fn hurt(&mut self, words: &str) {
        self.report
            .push(format!("{words} (the file goes to quarantine/ once it is no longer needed)"));
        if let Some(segment) = self.index.segments.back_mut() {
            segment.damaged = true;
        }
    }
}

/// Whether `items` are whole records that fill the bytes from `start` to `end` without a gap.
fn are_gapless<'a>(items: impl Iterator<Item = &'a Item>, start: usize, end: usize) -> bool {
    let mut covered = start;
    for item in items {
        if !matches!(item, Item::Record { .. }) || item.at().start != covered {
            return false;
        }
        covered = item.at().end;
    }
    covered == end
}

/// Reads a whole file into memory that was used before.
fn read_into(path: &Path, memory: &mut Vec<u8>) -> io::Result<()> {
    memory.clear();
    let mut file = File::open(path)?;
    memory.reserve_exact(file.metadata()?.len() as usize);
    file.read_to_end(memory).map(drop)
}
