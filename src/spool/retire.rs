//! Retiring: what both sinks are done with leaves the log, and is kept for a while. The order of the steps,
//! and who may remove what, stand at the top of `spool/mod.rs`.

use std::{fs::File, io, path::Path};

use crate::{
    domain::{ids::IdClass, time::Millis},
    failpoint::kill_point,
    spool::{
        CommitError, SpoolError, SpoolWriter, counts,
        cursor::RESERVE,
        disk, failed,
        group::IdStats,
        ids::{self, IdFile},
        index::Segment,
        kept::{self, KeptSegment},
        quarantine, segment,
    },
};

/// What [`SpoolWriter::retire`] took out of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// How many segments.
    pub segments: u64,
    /// The bytes of these segments.
    pub bytes: u64,
}

/// Ids of one class out of a segment.
struct KeptIds {
    class: IdClass,
    records: Vec<u8>,
    stats: IdStats,
}

impl SpoolWriter {
    /// Writes the cursors to the disk, then takes the segments that both sinks have passed out of
    /// the log: they are kept for a while ([`super::SpoolOptions::keep_ms`]) and then removed.
    /// Called every `spool.cursor_interval_ms` and at shutdown. After an error it may simply be
    /// called again.
    pub fn retire(&mut self) -> Result<Retired, SpoolError> {
        self.retire_at(self.clock.now())
    }

    /// As [`SpoolWriter::retire`], with the end of the id window at `now` (Unix ms).
    pub(super) fn retire_at(&mut self, now: Millis) -> Result<Retired, SpoolError> {
        if matches!(self.poisoned, Some(CommitError::Displaced(_))) {
            return Ok(Retired::default());
        }
        if let Err(CommitError::Displaced(why)) = self.check_lock() {
            return Err(SpoolError::Displaced(why));
        }
        let shared = self.shared.clone();
        let dir = &shared.options.dir;
        let newest = self.next_seq - 1;
        // The file is written here anyway, so the reserve is topped up early: a commit that
        // runs out of it has to write the file while clients wait.
        let ahead = match newest + RESERVE / 2 > self.cursors.reserved {
            true => newest + RESERVE,
            false => self.cursors.reserved,
        };
        // Before anything is unlinked. After a crash in between, cursors that are on the disk
        // must not point to a batch that is gone.
        self.store_cursors(ahead, self.active.first)
            .map_err(failed("write the cursors in", dir))?;
        kill_point!("spool-cursors-stored");

        let keeps = shared.options.keep_ms > 0;
        let mut retired = Retired::default();
        loop {
            let passed = || shared.index.lock().passed(self.cursors.settled);
            let Some(segment) = passed() else { break };
            let unwritten = self.keep_ids(&segment, now)?;
            self.keep_counts();
            {
                // Looked at again, because the lock was given back while the ids were written.
                let mut index = shared.index.lock();
                let still = index.passed(self.cursors.settled);
                if still.is_none_or(|still| still.first != segment.first) {
                    break;
                }
                // Before the file goes: a reader that finds no file looks into the index again,
                // which then tells that the batch was removed and not lost. It is announced as kept
                // before it is, for a reader that finds it nowhere would take it for gone.
                index.drop_oldest();
                if keeps && !segment.damaged {
                    let (first, bytes, since) = (segment.first, segment.bytes, now);
                    shared.kept.lock().push(KeptSegment { first, bytes, since });
                }
            }
            let left = leave(dir, &segment, keeps);
            if !matches!(left, Ok(true)) {
                shared.kept.lock().remove(segment.first);
            }
            left?;
            kill_point!("spool-unlinked");
            retired.segments += 1;
            retired.bytes += segment.bytes;
            for ids in unwritten {
                if let Err(error) = self.store_ids(&segment, now, &ids) {
                    let class = ids.class;
                    tracing::error!(?class, %error, "spool: ids are lost to a restart");
                }
            }
        }
        let dropped = self.drop_ids(now);
        if retired.segments > 0 && keeps {
            let kept = dir.join(kept::FOLDER);
            if kept.is_dir() {
                disk::sync_dir(&kept).map_err(failed("sync", &kept))?;
            }
        }
        self.drop_kept(now);
        if retired.segments > 0 || dropped {
            disk::sync_dir(dir).map_err(failed("sync", dir))?;
        }
        Ok(retired)
    }

    /// Notes how many events the batches of the oldest segment have.
    fn keep_counts(&self) {
        let (first, events) = self.shared.index.lock().oldest_events();
        let dir = &self.shared.options.dir;
        if let Err(error) = counts::append(dir, first, &events) {
            tracing::warn!(%error, "spool: how many events batches had could not be noted");
        }
    }

    /// Saves those ids of a segment that the dedupe indexes would miss after a restart. If the
    /// disk has no room for them while the segment is still there, they are returned, to be
    /// written after it is gone.
    fn keep_ids(&mut self, segment: &Segment, now: Millis) -> Result<Vec<KeptIds>, SpoolError> {
        let since = self.windows.since(now);
        if segment.ids.count == 0 || since.iter().all(|since| segment.ids.newest < *since) {
            return Ok(Vec::new());
        }
        let path = segment::path(&self.shared.options.dir, segment.first);
        let distilled = match File::open(&path).and_then(|file| ids::distil(file, since)) {
            Ok(distilled) => distilled,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mut unwritten = Vec::new();
        for (class, (records, stats)) in IdClass::ALL.into_iter().zip(distilled.logs) {
            let ids = KeptIds { class, records, stats };
            match self.store_ids(segment, now, &ids) {
                Ok(()) => {}
                Err(error) if disk::may_pass(&error) => unwritten.push(ids),
                Err(error) => return Err(failed("write ids in", &self.shared.options.dir)(error)),
            }
        }
        Ok(unwritten)
    }

    /// Writes the ids of one class into their file.
    fn store_ids(&mut self, segment: &Segment, now: Millis, ids: &KeptIds) -> io::Result<()> {
        let (dir, first) = (&self.shared.options.dir, segment.first);
        let KeptIds { class, records, stats } = ids;
        if stats.count == 0 {
            return Ok(());
        }
        if *class != IdClass::Short {
            return self.long_ids.append(dir, (*class, now), records, *stats);
        }
        // It counts as written where that failed, too: should it be there in part, it is removed with
        // the others.
        self.id_files.retain(|file| file.first != first);
        self.id_files.push(IdFile { first, stats: *stats });
        ids::store(dir, first, records)
    }

    /// Removes id files that are older than the window, and those whose ids are more than the
    /// newer files leave room for. Returns whether any was removed.
    fn drop_ids(&mut self, now: Millis) -> bool {
        let dir = &self.shared.options.dir;
        let since = now.saturating_sub(self.windows.short.window_ms);
        let is_long_dropped = self.long_ids.drop_old(dir, now, &self.windows);
        let mut newer = 0;
        let before = self.id_files.len();
        let mut kept = Vec::with_capacity(before);
        for file in self.id_files.drain(..).rev() {
            if file.stats.newest < since || newer >= self.windows.short.max_ids as u64 {
                // If this fails, the file is read after the next restart, where its ids are
                // found to be too old; so the error can be ignored.
                let _ = disk::remove(&dir.join(ids::name(file.first)));
            } else {
                newer += file.stats.count;
                kept.push(file);
            }
        }
        kept.reverse();
        self.id_files = kept;
        self.id_files.len() < before || is_long_dropped
    }
}

/// Takes a segment's file out of the log: among the kept ones, into the quarantine, or away. One
/// that is gone already is no error: that is what was wanted. Returns whether it is kept.
fn leave(dir: &Path, segment: &Segment, keeps: bool) -> Result<bool, SpoolError> {
    let name = segment::name(segment.first);
    // Room is what retiring is for: where the file can't be kept, it goes.
    if keeps && !segment.damaged && kept::take(dir, segment.first).is_ok() {
        return Ok(true);
    }
    let gone = match segment.damaged {
        true => quarantine::take(dir, &name),
        false => disk::remove(&dir.join(&name)),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &dir.join(&name))(error))
        }
        _ => Ok(false),
    }
}
