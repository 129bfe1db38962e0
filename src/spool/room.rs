//! Making room: when kept segments go, which are the only ones that nobody waits for.

use crate::{
    domain::time::Millis,
    spool::{SpoolWriter, disk, kept},
};

impl SpoolWriter {
    /// Removes kept segments that are older than `spool.keep_s` at `now` (Unix ms) or beyond
    /// `spool.keep_bytes`, and one more while the disk has less than a segment's room left: others
    /// may need it, and commits would meet the limit.
    pub(super) fn drop_kept(&mut self, now: Millis) {
        let options = self.shared.options.clone();
        let since = now.saturating_sub(options.keep_ms);
        while let Some(oldest) = self.oldest_kept()
            && (oldest.since <= since || self.kept_bytes() > options.keep_bytes)
        {
            self.remove_kept(oldest);
        }
        self.drop_kept_beyond_limit(0);
        let narrow = fs4::available_space(&options.dir).is_ok_and(|room| room < self.segment_bytes);
        if narrow && let Some(oldest) = self.oldest_kept() {
            self.remove_kept(oldest);
        }
    }

    /// Removes kept segments until they and what is unsettled fit into `spool.max_bytes`, with
    /// `incoming` more bytes.
    pub(super) fn drop_kept_beyond_limit(&mut self, incoming: u64) {
        while let Some(oldest) = self.oldest_kept() {
            let unsettled = self.shared.index.lock().bytes();
            let all = unsettled.saturating_add(self.kept_bytes()).saturating_add(incoming);
            if all <= self.shared.options.max_bytes {
                break;
            }
            self.remove_kept(oldest);
        }
    }

    /// Removes kept segments of at least so many bytes, after a commit that found no room. Whether
    /// there were any, so that it is worth another try.
    pub(super) fn drop_kept_for_room(&mut self, bytes: u64) -> bool {
        let mut freed = 0;
        while freed <= bytes
            && let Some(oldest) = self.oldest_kept()
        {
            self.remove_kept(oldest);
            freed += oldest.bytes.max(1);
        }
        if freed > 0 {
            // Some file systems give the blocks of a removed file back only with this. If it
            // fails, the next try finds no room, and that is all.
            let _ = disk::sync_dir(&self.shared.options.dir.join(kept::FOLDER));
        }
        freed > 0
    }

    fn oldest_kept(&self) -> Option<kept::KeptSegment> {
        self.shared.kept.lock().oldest()
    }

    fn kept_bytes(&self) -> u64 {
        self.shared.kept.lock().bytes()
    }

    /// Removes a kept segment. Its name is not synced: one that a power cut brings back is found
    /// at the next start, and goes then.
    fn remove_kept(&mut self, segment: kept::KeptSegment) {
        self.shared.kept.lock().remove(segment.first);
        let path = kept::path(&self.shared.options.dir, segment.first);
        match disk::remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(?path, %error, "spool: a kept segment could not be removed");
            }
            _ => {}
        }
    }
}
