//! Retiring: what both sinks are done with is removed from the disk. The order of the steps,
//! and who may remove what, stand at the top of `spool/mod.rs`.

use std::{fs::File, io, path::Path};

use crate::{
    domain::time::Millis,
    failpoint::kill_point,
    spool::{
        SpoolError, SpoolWriter,
        cursor::RESERVE,
        disk, failed,
        ids::{self, IdFile},
        index::Segment,
        quarantine, segment,
    },
};

/// What [`SpoolWriter::retire`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// How many segments.
    pub segments: u64,
    /// The bytes of these segments.
    pub bytes: u64,
}

impl SpoolWriter {
    /// Writes the cursors to the disk, then removes the segments that both sinks have passed.
    /// Called every `spool.cursor_interval_ms` and at shutdown. After an error it may simply be
    /// called again.
    pub fn retire(&mut self) -> Result<Retired, SpoolError> {
        self.retire_at(self.clock.now())
    }

    /// As [`SpoolWriter::retire`], with the end of the id window at `now` (Unix ms).
    pub(super) fn retire_at(&mut self, now: Millis) -> Result<Retired, SpoolError> {
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

        let mut retired = Retired::default();
        loop {
            let passed = || shared.index.lock().passed(self.cursors.settled);
            let Some(segment) = passed() else { break };
            let since = now.saturating_sub(self.window.window_ms);
            let unwritten = self.keep_ids(&segment, since)?;
            {
                // Looked at again, because the lock was given back while the ids were written.
                let mut index = shared.index.lock();
                let still = index.passed(self.cursors.settled);
                if still.is_none_or(|still| still.first != segment.first) {
                    break;
                }
                // Before the file goes: a reader that finds no file looks into the index again,
                // which then tells that the batch was removed and not lost.
                index.drop_oldest();
            }
            remove(dir, &segment)?;
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

    /// Saves those ids of a segment that the dedupe index would miss after a restart. If the
    /// disk has no room for them while the segment is still there, their bytes are returned,
    /// to be written after it is gone.
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

    /// Removes id files that are older than the window, and those whose ids are more than the
    /// newer files leave room for. Returns whether any was removed.
    fn drop_ids(&mut self, now: Millis) -> bool {
        let dir = &self.shared.options.dir;
        let since = now.saturating_sub(self.window.window_ms);
        let mut newer = 0;
        let before = self.id_files.len();
        let mut kept = Vec::with_capacity(before);
        for file in self.id_files.drain(..).rev() {
            if file.stats.newest < since || newer >= self.window.max_ids as u64 {
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
        self.id_files.len() < before
    }
}

/// Takes a segment's file away. One that is gone already is no error: that is what was wanted.
fn remove(dir: &Path, segment: &Segment) -> Result<(), SpoolError> {
    let name = segment::name(segment.first);
    let gone = match segment.damaged {
        true => quarantine::take(dir, &name),
        false => disk::remove(&dir.join(&name)),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &dir.join(&name))(error))
        }
        _ => Ok(()),
    }
}
