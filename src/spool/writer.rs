//! Appending: the committer thread's end of the spool. What follows when both sinks are done
//! with a segment is in `retire.rs`.

use std::{
    io::{self, ErrorKind::AlreadyExists},
    sync::Arc,
    time::Instant,
};

use crate::{
    domain::{
        sink::Sink,
        time::{Steady, now_ms},
    },
    failpoint::kill_point,
    spool::{
        IdWindows, SpoolState,
        cursor::{Cursors, RESERVE},
        disk,
        group::Group,
        ids::IdFile,
        index::{BatchEntry, Segment},
        lock::HeldLock,
        long_ids::LongIds,
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
    /// The disk failed in a way that leaves open what it has kept. Every later commit fails,
    /// too: only a restart, which reads what is there, can tell.
    #[error("spool: the disk failed, nothing more is taken in until a restart: {0}")]
    Failed(String),
    /// The data dir is not this process's own any more: its lock file is another one now, or the
    /// segment that is written to. Nobody must be told that the group is on the disk, although
    /// some of it may be. Every later commit fails, too.
    #[error("spool: {0}")]
    Displaced(String),
}

/// The only one that writes to the spool. The committer thread owns it.
#[derive(Debug)]
pub struct SpoolWriter {
    pub(super) shared: Arc<SpoolState>,
    /// The segment that is appended to.
    pub(super) active: Active,
    /// The seq of the next seal.
    pub(super) next_seq: u64,
    /// A segment with this many bytes is full.
    pub(super) segment_bytes: u64,
    /// The cursors as they are on the disk.
    pub(super) cursors: Cursors,
    /// Which ids outlive their segment.
    pub(super) windows: IdWindows,
    /// The clock that the window is measured by; it never steps back.
    pub(super) clock: Steady,
    /// The id files on disk, oldest first.
    pub(super) id_files: Vec<IdFile>,
    /// The files of ids that are kept for long.
    pub(super) long_ids: LongIds,
    /// Recovery found an open batch, which has to be sealed before anything else.
    open_recovered: bool,
    /// Whether the file of runs has the newest run.
    pub(super) runs_stored: bool,
    /// The lock that must still be held before anything is answered; `None` in tests that have no
    /// data dir.
    pub(super) lock: Option<HeldLock>,
    /// Why nothing is written any more, once that is so.
    pub(super) poisoned: Option<CommitError>,
}

/// What a commit has done so far. It becomes visible to readers as a whole, at the end.
#[derive(Default)]
struct CommitProgress {
    /// The batches that were sealed.
    entries: Vec<BatchEntry>,
    /// The segments that were written to.
    segments: Vec<Segment>,
    /// Segments that are full since this commit. The first is the one from before it.
    rolled: Vec<Active>,
}

/// A failed step of a commit.
enum CommitFailure {
    /// There was no room. The step left things as they were, or so that they can be restored.
    NoRoom(io::Error),
    /// What the disk has kept is not known any more.
    Fatal(&'static str, io::Error),
}

/// Where a part of a group goes in the active segment.
struct Placement {
    /// Where in the group the part ends.
    to: usize,
    /// Where in the segment the batch begins that is open behind it.
    batch_start: u64,
    /// How many seals are in it.
    seals: usize,
}

impl CommitFailure {
    /// Judges an I/O error of the step `what`.
    fn of(what: &'static str) -> impl FnOnce(io::Error) -> CommitFailure {
        move |error| match disk::may_pass(&error) {
            true => CommitFailure::NoRoom(error),
            false => CommitFailure::Fatal(what, error),
        }
    }
}

impl SpoolWriter {
    /// A writer that goes on in `active`, which comes with whether the file of runs has the newest
    /// run. `windows` come with the id files on disk.
    pub(super) fn new(
        shared: Arc<SpoolState>,
        (active, runs_stored): (Active, bool),
        cursors: Cursors,
        (windows, id_files, long_ids): (IdWindows, Vec<IdFile>, LongIds),
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
            windows,
            long_ids,
            clock: Steady::begin(now_ms()),
            id_files,
            open_recovered,
            runs_stored,
            lock: None,
            poisoned: None,
        }
    }

    /// Appends a group with one write and one fdatasync (for each segment, in the rare case
    /// that the group fills one). On `Ok` all of the group is on the disk, and readers see the
    /// batches that it seals; on an error none of it is. The group is borrowed mutably only to
    /// write into its seals where their batches begin.
    ///
    /// # Panics
    ///
    /// If a seal is not the next in sequence, or if a recovered open batch
    /// ([`super::Recovery::open`]) is not sealed before anything else.
    pub fn commit(&mut self, group: &mut Group) -> Result<(), CommitError> {
        if let Some(why) = &self.poisoned {
            return Err(why.clone());
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
        // Before the write, so as not to write over what another process has written.
        self.check_lock()?;
        self.drop_kept_beyond_limit(group.len() as u64);
        loop {
            let (offset, batch_start) = (self.active.offset, self.active.batch_start);
            let mut done = CommitProgress::default();
            let failure = match self.append(group, &mut done) {
                Ok(()) => {
                    // And after it: see `lock.rs` for what that proves.
                    self.check_lock()?;
                    self.publish(done);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let why = match failure {
                CommitFailure::NoRoom(error) => match self.undo(done.rolled, offset, batch_start) {
                    Ok(()) if self.drop_kept_for_room(group.len() as u64) => continue,
                    Ok(()) => return Err(CommitError::Full(error.to_string())),
                    Err(undo) => format!("{error}, and putting things back: {undo}"),
                },
                CommitFailure::Fatal(what, error) => format!("{what}: {error}"),
            };
            let segment = segment::name(self.active.first);
            let why = format!("{segment}: {why}");
            tracing::error!(why, "spool: the disk failed");
            let why = CommitError::Failed(why);
            self.poisoned = Some(why.clone());
            return Err(why);
        }
    }

    /// Writes and syncs a group, segment by segment.
    fn append(
        &mut self,
        group: &mut Group,
        done: &mut CommitProgress,
    ) -> Result<(), CommitFailure> {
        // The run is on the disk before anything of it can be.
        if !self.runs_stored {
            self.store_runs().map_err(CommitFailure::of("runs"))?;
        }
        // The reserve is on the disk before a batch beyond it can be: what recovery relies on
        // when the newest segment is lost.
        if let Some(last) = group.seals.last()
            && last.seal.seq > self.cursors.reserved
        {
            self.store_cursors(last.seal.seq + RESERVE, self.active.first)
                .map_err(CommitFailure::of("cursors"))?;
        }
        let (mut seals, mut from) = (0, 0);
        while from < group.len() {
            let next = self.next_seq + seals as u64;
            let full =
                self.active.offset >= self.segment_bytes || self.run_of(next) != self.active.run;
            if self.active.at_seal() && full {
                self.roll(next, done)?;
            }
            let base = self.active.offset;
            let placed = self.place_seals(group, from, seals, &mut done.entries);
            seals += placed.seals;
            disk::write_at(&self.active.file, &group.bytes()[from..placed.to], base)
                .map_err(CommitFailure::of("write"))?;
            kill_point!("spool-written");
            // Every error of an fsync is fatal, even "no room": what the disk has kept is
            // unknown now, and a second fsync would not tell.
            let began = Instant::now();
            disk::sync(&self.active.file)
                .map_err(|error| CommitFailure::Fatal("fdatasync", error))?;
            metrics::histogram!("floodmark_spool_sync_seconds")
                .record(began.elapsed().as_secs_f64());
            kill_point!("spool-synced");
            self.active.offset = base + (placed.to - from) as u64;
            self.active.batch_start = placed.batch_start;
            from = placed.to;
            done.segments.push(Segment {
                first: self.active.first,
                last: if placed.seals == 0 { 0 } else { self.next_seq + seals as u64 - 1 },
                bytes: self.active.offset,
                ids: group.ids,
                damaged: false,
            });
        }
        Ok(())
    }

    /// Finishes the seals of the part of `group` that goes into the active segment: from byte
    /// `from` and seal `first_seal` on, up to the seal that fills the segment or is the last of
    /// its run, or else to the end. Appends the batches that these seals end to `entries`.
    fn place_seals(
        &self,
        group: &mut Group,
        from: usize,
        first_seal: usize,
        entries: &mut Vec<BatchEntry>,
    ) -> Placement {
        let Active { first, offset: base, batch_start, .. } = self.active;
        let mut placed = Placement { to: group.len(), batch_start, seals: 0 };
        while let Some(&at) = group.seals.get(first_seal + placed.seals) {
            let start = placed.batch_start;
            let end = base + (at.end - from) as u64;
            group.finish_seal(first_seal + placed.seals, base + (at.start - from) as u64 - start);
            let (events, sealed_at) = (at.seal.events, at.seal.sealed_at);
            entries.push(BatchEntry::new(first, start, end - start, events, sealed_at));
            placed.seals += 1;
            placed.batch_start = end;
            if end >= self.segment_bytes || self.run_of(at.seal.seq + 1) != self.active.run {
                placed.to = at.end;
                break;
            }
        }
        placed
    }

    /// Begins a new segment, with batch `first`.
    fn roll(&mut self, first: u64, done: &mut CommitProgress) -> Result<(), CommitFailure> {
        let run = self.run_of(first);
        if self.active.is_empty() && self.active.first == first {
            // There was no room at the start to replace this empty segment of an earlier run.
            disk::write_at(&self.active.file, &segment::header(run, first), 0)
                .map_err(CommitFailure::of("write the header"))?;
            self.active.run = run;
            return Ok(());
        }
        let dir = &self.shared.options.dir;
        let next = match Active::create(dir, run, first) {
            // This writer knows its segments, and it holds the lock: a process that lost it has
            // made this one, and may not know that yet.
            Err(error) if error.kind() == AlreadyExists && self.lock.is_some() => {
                let name = segment::name(first);
                tracing::error!(name, "spool: a segment that is not ours: moved to quarantine/");
                quarantine::take(dir, &name).and_then(|()| Active::create(dir, run, first))
            }
            made => made,
        };
        let next = next.map_err(CommitFailure::of("make the next segment"))?;
        done.rolled.push(std::mem::replace(&mut self.active, next));
        kill_point!("spool-rolled");
        // Noted before anything is in the new segment, so that its loss would be noticed.
        self.store_cursors(self.cursors.reserved, first).map_err(CommitFailure::of("cursors"))
    }

    /// Takes back what a commit has written: removes the segments that it made, and cuts the
    /// one from before it to its old length. All of that is synced, so that not even a crash
    /// brings half of the commit back.
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

    /// Shows readers what a commit has put on the disk. The lock is taken once and held for a
    /// few pushes, so that readers see all batches of the group or none.
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

    /// Writes the cursor file, if anything in it has changed.
    pub(super) fn store_cursors(&mut self, reserved: u64, active: u64) -> io::Result<()> {
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

    /// The seq that the next seal must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The sink's cursor on the disk: the sink has settled this batch and all before it.
    pub fn persisted(&self, sink: Sink) -> u64 {
        self.cursors.settled[sink as usize]
    }
}
