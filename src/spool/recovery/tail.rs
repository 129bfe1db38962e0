//! The end of the log: what becomes of the open batch, and where the sequence goes on.
//!
//! Two numbers meet here. `unsealed` is the number that the open batch gets if nothing is lost.
//! `next` is the number that the sequence goes on with; it is larger than `unsealed` where
//! batches may have been sealed that are not on the disk any more.
//!
//! Nothing is appended to a segment of an earlier run, since its process may still be there and
//! not know that the data dir is not its own any more: the two would write over each other. The
//! open batch is copied to a segment of its own. It stays a batch of the run that wrote it, if it
//! is whole and has the number that this run would have given it; else it is one of the new run,
//! for the earlier one may have sealed other contents under its number.

use std::{
    fs::{self, File, OpenOptions},
    slice,
};

use bytes::Bytes;

use crate::domain::batch::RunId;
use crate::spool::{
    SpoolError,
    cursor::RESERVE,
    disk, failed,
    group::IdStats,
    index::Segment,
    quarantine,
    reader::Contents,
    record::{self, Item},
    recovery::{
        OpenTail,
        replay::{LogReplay, Tail},
    },
    run_file,
    segment::{self, Active, HEADER},
};

/// What the writer goes on with.
pub(super) struct LogEnd {
    /// The segment to append to.
    pub active: Active,
    /// The records in it that no seal covers.
    pub open: OpenTail,
    /// Whether the run that begins is in the file of runs already.
    pub runs_stored: bool,
}

/// What can be kept of a tail.
struct Salvaged {
    /// The intact records of the open batch.
    records: Vec<Item>,
    /// Where the last intact record ends; the tail's start if there is none.
    end: usize,
    /// A seal may be among the damaged bytes, so its batch may have been delivered.
    seal_lost: bool,
}

impl LogReplay<'_> {
    /// Decides where the sequence goes on, in which segment, and where `run` begins.
    pub(super) fn finish(&mut self, run: RunId) -> Result<LogEnd, SpoolError> {
        let cursors = self.cursors;
        let tail = self.newest.take();
        let newest = tail.as_ref().map_or(0, |tail| tail.first);
        // The number of the tail's batch, if nothing is lost.
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
            // The store's cursor is beyond the open batch: its seal was written and then lost.
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

        let open = match &tail {
            Some(tail) => {
                self.take_ids(&tail.file, &records);
                open_tail(tail, &records)
            }
            None => OpenTail::default(),
        };
        let hurt = self.index.segments.back().is_some_and(|newest| newest.damaged);
        // After a jump in the sequence a new segment is made, whose name says where the sequence
        // goes on.
        let whole = tail.as_ref().filter(|_| !hurt && next == unsealed);
        let moves = whole.is_some() && !records.is_empty();
        // A batch that may have been sealed and is not here is one of the new run, so that it does
        // not contradict what a sink has of the earlier one; but each segment stays its run's.
        self.begin_run(run, if moves { next + 1 } else { from.max(newest + 1).min(next) });
        let mut runs_stored = false;
        let active = match (whole, &tail) {
            (Some(tail), _) if moves => self.move_tail(next, tail, end)?,
            (Some(tail), _) => self.rest(run, tail)?,
            (None, tail) => {
                // The segment is far from all others perhaps, so the next start must know its run.
                // Without room it matters only if there is something in it.
                let stored = run_file::store(self.dir, &self.runs);
                runs_stored = stored.is_ok();
                if !records.is_empty() {
                    let path = self.dir.join(run_file::FILE);
                    stored.map_err(failed("write", &path))?;
                }
                self.start_over((run, next), tail.as_ref(), &records)?
            }
        };
        Ok(LogEnd { active, open, runs_stored })
    }

    /// Notes that `run` begins with batch `first`. What lies before is then known to be of some
    /// run: batches of which nobody knows it get one that nobody else has.
    fn begin_run(&mut self, run: RunId, first: u64) {
        let oldest = self.index.oldest().unwrap_or(self.index.next_seq());
        self.runs.reach_back(RunId::new_v4(), oldest);
        self.runs.begin(run, first);
    }

    /// Decides which records of an open batch are kept.
    fn salvage(&mut self, tail: &Tail) -> Salvaged {
        let name = segment::name(tail.first);
        let good = |item: &Item| Contents::of(&tail.file, slice::from_ref(item)).is_some();
        let until = tail.items.iter().rposition(good).map_or(0, |at| at + 1);
        let items = &tail.items[..until];
        let end = items.last().map_or(tail.start, |item| item.at().end);
        if end < tail.file.len() {
            let torn = tail.file.len() - end;
            self.report.push(format!("{name}: torn end cut at {end} ({torn} bytes)"));
        }
        // Damage of an unknown kind may be a seal as well as anything else.
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
        Salvaged { records, end, seal_lost: lost.is_some() }
    }

    /// Ends the newest segment where its last seal does; what follows is cut. The writer begins
    /// another one with the first batch of `run`, unless there is nothing in this one: then it
    /// becomes the run's.
    fn rest(&mut self, run: RunId, tail: &Tail) -> Result<Active, SpoolError> {
        if tail.start == HEADER {
            let path = segment::path(self.dir, tail.first);
            // Replaced and not written over, since an earlier process may hold it open.
            match disk::replace(
                self.dir,
                &segment::name(tail.first),
                &segment::header(run, tail.first),
            ) {
                Ok(()) => self.set_end(HEADER),
                // The writer writes the header then, before anything else.
                Err(error) if disk::may_pass(&error) => {}
                Err(error) => return Err(failed("write", &path)(error)),
            }
        }
        self.reopen(tail, tail.start)
    }

    /// Copies the open batch `next` to a segment of its own, and cuts it off the old one.
    fn move_tail(&mut self, next: u64, tail: &Tail, end: usize) -> Result<Active, SpoolError> {
        let Some(run) = self.runs.batch(next).map(|id| id.run) else {
            unreachable!("begin_run() has seen to it that each batch has a run")
        };
        let ids = self.index.segments.back().map_or(IdStats::default(), |old| old.ids);
        let open = &tail.file[tail.start..end];
        let bytes = [&segment::header(run, next), open].concat();
        // The sealed batches in the old segment may be in the page cache and not on the disk, and
        // readers see them from now on.
        let old = self.reopen(tail, end)?;
        if let Err(error) = disk::replace(self.dir, &segment::name(next), &bytes) {
            // Without room for a copy the batch stays where it is: a full disk must not keep the
            // server from starting.
            return match disk::may_pass(&error) {
                true => Ok(old),
                false => Err(failed("write", &segment::path(self.dir, next))(error)),
            };
        }
        if tail.first == next {
            // The copy has taken the place of the old segment, which held nothing else.
            self.index.segments.pop_back();
        } else {
            disk::cut(&old.file, tail.start as u64)
                .map_err(failed("cut", &segment::path(self.dir, tail.first)))?;
            self.set_end(tail.start);
        }
        self.go_on((run, next), bytes.len(), ids)
    }

    /// Completes the move of an open batch that a stop has interrupted: `file` is the next segment
    /// and begins with what the newest so far ends with.
    pub(super) fn complete_move(&mut self, file: &[u8]) -> Result<(), SpoolError> {
        let Some(tail) = &mut self.newest else { return Ok(()) };
        let records = tail.items.iter().take_while(|item| matches!(item, Item::Record { .. }));
        let end = records.last().map_or(tail.start, |item| item.at().end);
        let moved = end > tail.start
            && file.get(HEADER..).is_some_and(|file| file.starts_with(&tail.file[tail.start..end]));
        if moved {
            let path = segment::path(self.dir, tail.first);
            OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| disk::cut(&file, tail.start as u64))
                .map_err(failed("cut", &path))?;
            tail.items.clear();
            let end = tail.start;
            self.set_end(end);
        }
        Ok(())
    }

    /// Notes how many bytes the newest segment has.
    fn set_end(&mut self, end: usize) {
        if let Some(segment) = self.index.segments.back_mut() {
            segment.bytes = end as u64;
        }
    }

    /// Opens the newest segment for writing behind `end`. What follows is cut.
    fn reopen(&mut self, tail: &Tail, end: usize) -> Result<Active, SpoolError> {
        let path = segment::path(self.dir, tail.first);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        if file.metadata().is_ok_and(|known| known.len() > end as u64) {
            disk::cut(&file, end as u64).map_err(failed("cut", &path))?;
        }
        // After a crash of the process alone, bytes may be in the page cache and not on the
        // disk. They are made durable before readers see them and before more follows.
        file.sync_all().map_err(failed("sync", &path))?;
        disk::sync_dir(self.dir).map_err(failed("sync", self.dir))?;
        self.set_end(end);
        let run = segment::read_header(&path).map_or(RunId::nil(), |header| header.run);
        let (offset, batch_start) = (end as u64, tail.start as u64);
        Ok(Active { file, run, first: tail.first, offset, batch_start })
    }

    /// Goes on in the segment `next` that was just written.
    fn go_on(
        &mut self,
        (run, next): (RunId, u64),
        len: usize,
        ids: IdStats,
    ) -> Result<Active, SpoolError> {
        let path = segment::path(self.dir, next);
        let file =
            File::options().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        let bytes = len as u64;
        self.index.segments.push_back(Segment { first: next, last: 0, bytes, ids, damaged: false });
        Ok(Active { file, run, first: next, offset: bytes, batch_start: HEADER as u64 })
    }

    /// Goes on in a new segment, which begins with a copy of the open batch of a damaged one.
    fn start_over(
        &mut self,
        (run, next): (RunId, u64),
        old: Option<&Tail>,
        records: &[Item],
    ) -> Result<Active, SpoolError> {
        let name = segment::name(next);
        let path = segment::path(self.dir, next);
        let mut bytes = segment::header(run, next);
        let mut ids = IdStats::default();
        if let Some(old) = old {
            // Its sealed batches may be in the page cache and not on the disk, and readers
            // see them from now on.
            let path = segment::path(self.dir, old.first);
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed("sync", &path))?;
            for item in records {
                bytes.extend_from_slice(&old.file[item.at().clone()]);
            }
            // These are the ids of the whole old segment, which may be too many. That does no
            // harm: the number only decides whether the segment is read for ids when it goes.
            ids = self.index.segments.back().map_or(ids, |old| old.ids);
            if old.first == next {
                // The damaged file held nothing but this batch, so its successor has the same
                // name. It gets a second name in the quarantine before it is replaced, so that
                // nothing is lost in between.
                let kept =
                    quarantine::place(self.dir, &name).and_then(|kept| fs::hard_link(&path, kept));
                if let Err(error) = kept {
                    self.report.push(format!("{name} could not be quarantined: {error}"));
                }
                self.index.segments.pop_back();
            }
        }
        disk::replace(self.dir, &name, &bytes).map_err(failed("write", &path))?;
        self.go_on((run, next), bytes.len(), ids)
    }
}

/// The open batch that `records` make. They are copied, so that the file's memory is freed.
fn open_tail(tail: &Tail, records: &[Item]) -> OpenTail {
    let whole = Contents::of(&tail.file, records).expect("salvage keeps what decodes");
    let copy = |at| Bytes::copy_from_slice(&tail.file[at]);
    OpenTail {
        events: whole.events,
        rows: whole.rows.into_iter().map(copy).collect(),
        dead_letters: whole.dead_letters,
    }
}
