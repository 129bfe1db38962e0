//! The end of the log: what becomes of the open batch, and where the sequence goes on.
//!
//! Two numbers meet here. `unsealed` is the number that the open batch gets if nothing is lost.
//! `next` is the number that the sequence goes on with; it is larger than `unsealed` where
//! batches may have been sealed that are not on the disk any more.

use std::{
    fs::{self, File, OpenOptions},
    slice,
};

use bytes::Bytes;

use crate::spool::{
    SpoolError,
    cursor::{Cursors, RESERVE},
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
    segment::{self, Active, HEADER},
};

/// What the writer goes on with.
pub(super) struct LogEnd {
    /// The segment to append to.
    pub active: Active,
    /// The records in it that no seal covers.
    pub open: OpenTail,
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
    /// Decides where the sequence goes on, and in which segment.
    pub(super) fn finish(&mut self, cursors: Option<Cursors>) -> Result<LogEnd, SpoolError> {
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
        let active = match tail {
            // After a jump in the sequence a new segment is made, whose name says where the
            // sequence goes on. Nothing is appended to a damaged segment.
            Some(tail) if !hurt && next == unsealed => self.resume(&tail, end)?,
            Some(tail) => self.start_over(next, Some(&tail), &records)?,
            None => self.start_over(next, None, &[])?,
        };
        Ok(LogEnd { active, open })
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

    /// Goes on in the newest segment, behind its last intact record. What follows is cut.
    fn resume(&mut self, tail: &Tail, end: usize) -> Result<Active, SpoolError> {
        let path = segment::path(self.dir, tail.first);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        if end < tail.file.len() {
            file.set_len(end as u64)
                .and_then(|()| file.sync_all())
                .map_err(failed("cut", &path))?;
        }
        // After a crash of the process alone, bytes may be in the page cache and not on the
        // disk. They are made durable before readers see them and before more follows.
        file.sync_all().map_err(failed("sync", &path))?;
        disk::sync_dir(self.dir).map_err(failed("sync", self.dir))?;
        if let Some(segment) = self.index.segments.back_mut() {
            segment.bytes = end as u64;
        }
        Ok(Active { file, first: tail.first, offset: end as u64, batch_start: tail.start as u64 })
    }

    /// Goes on in a new segment, which begins with a copy of the open batch of a damaged one.
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
