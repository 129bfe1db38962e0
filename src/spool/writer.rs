//! Appending: the committer thread's end of the spool.

use std::{fs::File, io, sync::Arc};

use crate::{
    domain::time::{Millis, Steady, now_ms},
    failpoint::kill_point,
    spool::{
        IdWindow, Sink, SpoolError, SpoolState,
        cursor::{Cursors, RESERVE},
        disk, failed,
        group::Group,
        ids::{self, IdFile},
        index::{BatchEntry, Segment},
        quarantine,
        segment::{self, Active, HEADER},
    },
};

/// Why a group is not on the disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The disk has no room. Nothing of the group is in the spool; the same group may be
    /// committed later.
    #[error("spool: no room on the disk: {0}")]
    Full(String),
    /// The disk failed in a way that leaves open what it has kept. So will every later
    /// commit: only a restart, which reads what is there, makes sure again.
    #[error("spool: the disk failed, nothing more is taken in until a restart: {0}")]
    Failed(String),
}

/// What [`SpoolWriter::retire`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The one that appends. Exclusively owned by the committer thread.
#[derive(Debug)]
pub struct SpoolWriter {
    shared: Arc<SpoolState>,
    active: Active,
    /// The seq of the next seal.
    next_seq: u64,
    segment_bytes: u64,
    /// As they are on the disk.
    cursors: Cursors,
    window: IdWindow,
    /// What the window is measured by.
    clock: Steady,
    /// Oldest first.
    id_files: Vec<IdFile>,
    /// The recovered open batch has to be sealed first.
    open_recovered: bool,
    poisoned: Option<String>,
}

/// What a commit has done so far.
#[derive(Default)]
struct CommitProgress {
    entries: Vec<BatchEntry>,
    segments: Vec<Segment>,
    /// Segments that were rolled away from, the one before the commit first.
    rolled: Vec<Active>,
}

/// A failed step of a commit.
enum CommitFailure {
    /// It left things as they were, or so that they can be put back.
    NoRoom(io::Error),
    Fatal(&'static str, io::Error),
}

impl CommitFailure {
    fn of(what: &'static str) -> impl FnOnce(io::Error) -> CommitFailure {
        move |error| match disk::may_pass(&error) {
            true => CommitFailure::NoRoom(error),
            false => CommitFailure::Fatal(what, error),
        }
    }
}

impl SpoolWriter {
    pub(super) fn new(
        shared: Arc<SpoolState>,
        active: Active,
        cursors: Cursors,
        (window, id_files): (IdWindow, Vec<IdFile>),
        open_recovered: bool,
    ) -> SpoolWriter {
        let options = &shared.options;
        let segment_bytes = options.segment_bytes.min(options.max_bytes / 4);
        let next_seq = shared.index.lock().next_seq();
        SpoolWriter {
            shared,
            active,
            next_seq,
            segment_bytes: segment_bytes.max(HEADER as u64 + 1),
            cursors,
            window,
            clock: Steady::begin(now_ms()),
            id_files,
            open_recovered,
            poisoned: None,
        }
    }

    /// Appends a group: one write and one fdatasync (per segment, in the rare case that the
    /// group rolls over). On `Ok` all of it is on the disk and the batches that it seals are
    /// there for readers; on an error none of it is. The group is only borrowed mutably so
    /// that its seals can be told where their batches begin.
    ///
    /// # Panics
    ///
    /// If a seal is not the next in sequence, or if a recovered open batch
    /// ([`super::Recovery::open`]) is not sealed before anything else.
    pub fn commit(&mut self, group: &mut Group) -> Result<(), CommitError> {
        if let Some(why) = &self.poisoned {
            return Err(CommitError::Failed(why.clone()));
        }
        if group.is_empty() {
            return Ok(());
        }
        for (seq, mark) in (self.next_seq..).zip(&group.seals) {
            assert_eq!(mark.seal.seq, seq, "batches are sealed in sequence");
        }
        if self.open_recovered {
            let first = group.seals.first().map(|mark| mark.start);
            assert_eq!(first, Some(0), "the recovered batch is sealed first");
        }
        let (offset, batch_start) = (self.active.offset, self.active.batch_start);
        let mut done = CommitProgress::default();
        let stop = match self.append(group, &mut done) {
            Ok(()) => {
                self.publish(done);
                return Ok(());
            }
            Err(stop) => stop,
        };
        let why = match stop {
            CommitFailure::NoRoom(error) => match self.undo(done.rolled, offset, batch_start) {
                Ok(()) => return Err(CommitError::Full(error.to_string())),
                Err(undo) => format!("{error}, and putting things back: {undo}"),
            },
            CommitFailure::Fatal(what, error) => format!("{what}: {error}"),
        };
        let segment = segment::name(self.active.first);
        let why = format!("{segment}: {why}");
        tracing::error!(why, "spool: the disk failed");
        self.poisoned = Some(why.clone());
        Err(CommitError::Failed(why))
    }

    fn append(
        &mut self,
        group: &mut Group,
        done: &mut CommitProgress,
    ) -> Result<(), CommitFailure> {
        if let Some(last) = group.seals.last()
            && last.seal.seq > self.cursors.reserved
        {
            self.store_cursors(last.seal.seq + RESERVE, self.active.first)
                .map_err(CommitFailure::of("cursors"))?;
        }
        let mut seq = self.next_seq;
        let mut mark = 0;
        let mut from = 0;
        while from < group.len() {
            let at_seal = self.active.batch_start == self.active.offset;
            if at_seal && self.active.offset >= self.segment_bytes {
                self.roll(seq, done)?;
            }
            let first = self.active.first;
            let base = self.active.offset;
            let mut start = self.active.batch_start;
            let mut to = group.len();
            let mut last = 0;
            while let Some(&at) = group.seals.get(mark) {
                let end = base + (at.end - from) as u64;
                group.finish_seal(mark, base + (at.start - from) as u64 - start);
                let (events, sealed_at) = (at.seal.events, at.seal.sealed_at);
                let entry = BatchEntry::new(first, start, end - start, events, sealed_at);
                done.entries.push(entry);
                last = seq;
                seq += 1;
                mark += 1;
                start = end;
                if end >= self.segment_bytes {
                    to = at.end;
                    break;
                }
            }
            disk::write_at(&self.active.file, &group.bytes()[from..to], base)
                .map_err(CommitFailure::of("write"))?;
            kill_point!("spool-written");
            // Whatever it says, and even if it is "no room": what the disk has kept is
            // unknown now, and a second fsync would not tell.
            disk::sync(&self.active.file)
                .map_err(|error| CommitFailure::Fatal("fdatasync", error))?;
            kill_point!("spool-synced");
            self.active.offset = base + (to - from) as u64;
            self.active.batch_start = start;
            from = to;
            done.segments.push(Segment {
                first,
                last,
                bytes: self.active.offset,
                ids: group.ids,
                damaged: false,
            });
        }
        Ok(())
    }

    /// Begins a new segment, with batch `first`.
    fn roll(&mut self, first: u64, done: &mut CommitProgress) -> Result<(), CommitFailure> {
        let SpoolState { options, .. } = &*self.shared;
        let next = Active::create(&options.dir, options.node, first)
            .map_err(CommitFailure::of("make the next segment"))?;
        done.rolled.push(std::mem::replace(&mut self.active, next));
        kill_point!("spool-rolled");
        // Before anything is in it, so that its loss would be noticed.
        self.store_cursors(self.cursors.reserved, first).map_err(CommitFailure::of("cursors"))
    }

    /// Takes back what a commit has written, so that not even a crash brings it back half.
    fn undo(&mut self, rolled: Vec<Active>, offset: u64, batch_start: u64) -> io::Result<()> {
        let dir = &self.shared.options.dir;
        let mut rolled = rolled.into_iter();
        if let Some(before) = rolled.next() {
            let newest = std::mem::replace(&mut self.active, before);
            for made in rolled.chain([newest]) {
                disk::remove(&segment::path(dir, made.first))?;
            }
            disk::sync_dir(dir)?;
        }
        disk::cut(&self.active.file, offset)?;
        self.active.offset = offset;
        self.active.batch_start = batch_start;
        if self.cursors.active > self.active.first {
            self.store_cursors(self.cursors.reserved, self.active.first)?;
        }
        Ok(())
    }

    fn publish(&mut self, done: CommitProgress) {
        self.next_seq += done.entries.len() as u64;
        self.open_recovered &= done.entries.is_empty();
        let mut index = self.shared.index.lock();
        for entry in done.entries {
            index.push(entry);
        }
        for new in done.segments {
            match index.segments.back_mut() {
                Some(segment) if segment.first == new.first => {
                    segment.bytes = new.bytes;
                    segment.last = segment.last.max(new.last);
                    segment.ids.add(new.ids);
                }
                _ => index.segments.push_back(new),
            }
        }
        assert_eq!(index.next_seq(), self.next_seq, "index and writer agree");
    }

    fn store_cursors(&mut self, reserved: u64, active: u64) -> io::Result<()> {
        let cursors = Cursors {
            settled: self.shared.index.lock().settled(),
            reserved: reserved.max(self.cursors.reserved),
            active,
            ..self.cursors
        };
        if cursors != self.cursors {
            cursors.store(&self.shared.options.dir)?;
            self.cursors = cursors;
        }
        Ok(())
    }

    /// Persists the cursors, then removes the segments that both sinks have passed. Called
    /// every `spool.cursor_interval_ms` and at shutdown. An error may be tried again.
    pub fn retire(&mut self) -> Result<Retired, SpoolError> {
        self.retire_at(self.clock.now())
    }

    pub(super) fn retire_at(&mut self, now: Millis) -> Result<Retired, SpoolError> {
        let shared = self.shared.clone();
        let dir = &shared.options.dir;
        let newest = self.next_seq - 1;
        let ahead = match newest + RESERVE / 2 > self.cursors.reserved {
            true => newest + RESERVE,
            false => self.cursors.reserved,
        };
        self.store_cursors(ahead, self.active.first)
            .map_err(failed("write the cursors in", dir))?;
        kill_point!("spool-cursors-stored");

        let mut retired = Retired::default();
        loop {
            let passed = || shared.index.lock().passed(self.cursors.settled);
            let Some(segment) = passed() else { break };
            let since = now.saturating_sub(self.window.window_ms);
            let unwritten = self.keep_ids(&segment, since)?;
            {
                let mut index = shared.index.lock();
                let still = index.passed(self.cursors.settled);
                if still.is_none_or(|still| still.first != segment.first) {
                    break; // rewound in the meantime
                }
                index.drop_oldest();
            }
            let name = segment::name(segment.first);
            let gone = match segment.damaged {
                true => quarantine::take(dir, &name),
                false => disk::remove(&dir.join(&name)),
            };
            match gone {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &dir.join(&name))(error));
                }
                _ => {}
            }
            kill_point!("spool-unlinked");
            retired.segments += 1;
            retired.bytes += segment.bytes;
            if let Some(bytes) = unwritten
                && let Err(error) = ids::store(dir, segment.first, &bytes)
            {
                let path = dir.join(ids::name(segment.first));
                tracing::error!(?path, %error, "spool: ids are lost to a restart");
            }
        }
        let dropped = self.drop_ids(now);
        if retired.segments > 0 || dropped {
            disk::sync_dir(dir).map_err(failed("sync", dir))?;
        }
        Ok(retired)
    }

    /// Saves a segment's ids that the dedupe index would miss after a restart. If there is
    /// no room for them before the segment is gone, they come back to be written after.
    fn keep_ids(
        &mut self,
        segment: &Segment,
        since: Millis,
    ) -> Result<Option<Vec<u8>>, SpoolError> {
        if segment.ids.count == 0 || segment.ids.newest < since {
            return Ok(None);
        }
        let dir = &self.shared.options.dir;
        let path = segment::path(dir, segment.first);
        let (log, stats) = match File::open(&path).and_then(|file| ids::distil(file, since)) {
            Ok(distilled) => distilled,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        if stats.count == 0 {
            return Ok(None);
        }
        let first = segment.first;
        self.id_files.retain(|file| file.first != first);
        self.id_files.push(IdFile { first, stats });
        match ids::store(dir, first, &log) {
            Ok(()) => Ok(None),
            Err(error) if disk::may_pass(&error) => Ok(Some(log)),
            Err(error) => Err(failed("write", &dir.join(ids::name(first)))(error)),
        }
    }

    /// Removes id files past the window, and those that newer ones leave no room for.
    fn drop_ids(&mut self, now: Millis) -> bool {
        let dir = &self.shared.options.dir;
        let since = now.saturating_sub(self.window.window_ms);
        let mut newer = 0;
        let before = self.id_files.len();
        let mut kept = Vec::with_capacity(before);
        for file in self.id_files.drain(..).rev() {
            if file.stats.newest < since || newer >= self.window.max_ids as u64 {
                // If that fails it is read once more after a restart, no harm done.
                let _ = disk::remove(&dir.join(ids::name(file.first)));
            } else {
                newer += file.stats.count;
                kept.push(file);
            }
        }
        kept.reverse();
        self.id_files = kept;
        self.id_files.len() < before
    }

    /// The seq that the next seal must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// As it is on the disk: this batch and all before it are settled by the sink.
    pub fn persisted(&self, sink: Sink) -> u64 {
        self.cursors.settled[sink as usize]
    }
}
