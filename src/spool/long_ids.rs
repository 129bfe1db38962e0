//! Files of ids that are kept for days: those of orders, refunds and webhooks (see
//! [`crate::domain::ids::IdClass`]).
//!
//! A file for each segment, as other ids have it, would be tens of thousands over four days. So the ids
//! of all segments that leave the log within an hour are appended to one file of Ids records,
//! `long-ids-<hour>.log` or `long-public-ids-<hour>.log`, where the hour is counted since 1970. A crash
//! between an append and the end of its segment leaves the same ids twice, which does no harm. Behind a
//! torn record the next one is found again by its mark.

use std::{fs::File, io, path::Path};

use crate::{
    domain::{
        ids::IdClass,
        time::{HOUR, Millis},
    },
    spool::{disk, group::IdStats, id_window::IdWindows},
};

/// One of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongIdFile {
    /// Whose ids it has.
    pub class: IdClass,
    /// The hour in which it was written to, since 1970.
    pub hour: i64,
    /// What it holds.
    pub stats: IdStats,
}

const NAMES: [(IdClass, &str); 2] =
    [(IdClass::Long, "long-ids-"), (IdClass::LongPublic, "long-public-ids-")];

impl LongIdFile {
    /// The file of a class at `now` (Unix ms), with nothing in it.
    fn at(class: IdClass, now: Millis) -> LongIdFile {
        LongIdFile { class, hour: now.div_euclid(HOUR), stats: IdStats::default() }
    }

    /// Its name in the folder of the spool.
    pub fn name(&self) -> String {
        let prefix = NAMES.iter().find(|(class, _)| *class == self.class).map_or("", |name| name.1);
        format!("{prefix}{:011}.log", self.hour)
    }

    /// The file of a name, if it is one of these.
    pub fn parse_name(name: &str) -> Option<LongIdFile> {
        NAMES.iter().find_map(|(class, prefix)| {
            let hour = name.strip_prefix(prefix)?.strip_suffix(".log")?.parse().ok()?;
            Some(LongIdFile { class: *class, hour, stats: IdStats::default() })
        })
    }
}

/// The files that there are.
#[derive(Debug, Default)]
pub(super) struct LongIds(pub Vec<LongIdFile>);

impl LongIds {
    /// Appends records of ids. They are on the disk when this returns.
    pub fn append(
        &mut self,
        dir: &Path,
        (class, now): (IdClass, Millis),
        records: &[u8],
        stats: IdStats,
    ) -> io::Result<()> {
        let file = LongIdFile::at(class, now);
        let path = dir.join(file.name());
        let is_new = !path.exists();
        let open = File::options().create(true).truncate(false).write(true).open(&path)?;
        let len = open.metadata()?.len();
        disk::write_at(&open, records, len)?;
        disk::sync(&open)?;
        if is_new {
            disk::sync_dir(dir)?;
        }
        let same = |known: &&mut LongIdFile| (known.class, known.hour) == (class, file.hour);
        match self.0.iter_mut().find(same) {
            Some(known) => known.stats.add(stats),
            None => self.0.push(LongIdFile { stats, ..file }),
        }
        Ok(())
    }

    /// Removes files whose ids have left their window at `now` (Unix ms), and those whose ids are more
    /// than the newer files leave room for. Returns whether any was removed.
    pub fn drop_old(&mut self, dir: &Path, now: Millis, windows: &IdWindows) -> bool {
        let since = windows.since(now);
        let before = self.0.len();
        let mut newer = [0; 3];
        self.0.sort_by_key(|file| std::cmp::Reverse(file.hour));
        self.0.retain(|file| {
            let class = file.class as usize;
            let is_old = file.stats.newest < since[class];
            if is_old || newer[class] >= windows.of(file.class).max_ids as u64 {
                // If this fails, the next start finds the file, and its ids too old.
                let _ = disk::remove(&dir.join(file.name()));
                return false;
            }
            newer[class] += file.stats.count;
            true
        });
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for class in [IdClass::Long, IdClass::LongPublic] {
            let file = LongIdFile::at(class, 1_795_420_800_000);
            assert_eq!(LongIdFile::parse_name(&file.name()), Some(file));
        }
        assert_eq!(LongIdFile::parse_name("ids-00000000000000000001.log"), None);
    }
}
