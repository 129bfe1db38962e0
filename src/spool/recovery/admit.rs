//! Which files of the spool's folder may be used: whether a segment belongs here and can be read.

use std::fs;

use crate::spool::{
    SpoolError, failed, quarantine,
    record::{self, Item},
    recovery::replay::{LogReplay, MAX_GAP},
    segment::{self, HEADER},
};

/// What a segment that may be used holds.
pub(super) struct Admitted {
    /// Its header; `None` if that is damaged.
    pub header: Option<segment::Header>,
    /// Its records, and the damage between them.
    pub items: Vec<Item>,
}

impl LogReplay<'_> {
    /// Judges whether a segment belongs here and can be read. One that can't is moved out of
    /// the way, and there is nothing to load.
    pub(super) fn admit(
        &mut self,
        first: u64,
        file: &[u8],
    ) -> Result<Option<Admitted>, SpoolError> {
        let path = segment::path(self.dir, first);
        let name = segment::name(first);
        let header = segment::parse_header(file);
        let next = self.index.next_seq();
        let items = record::scan(file, HEADER);
        let empty = !items.iter().any(|item| matches!(item, Item::Record { .. }));
        if let Some(header) = header {
            // The one case that keeps the spool from opening: this version can't know what
            // the records of a later one mean, and must not move them away.
            if header.version > segment::VERSION {
                let version = header.version;
                return Err(SpoolError::Version { path, version });
            }
            // A stop may have come before the run was noted that this segment was made for; then
            // it follows on all others and there is nothing in it.
            let unused = empty && first == next;
            let known = self.runs.batch(first).is_some_and(|id| id.run == header.run);
            if self.runs_known && !known && !unused {
                let words = format!("belongs to run {}, which did not write it here", header.run);
                return self.set_aside(&name, &words).map(|()| None);
            }
        }
        let far = match self.base_known || self.cursors.is_some() {
            true => next.saturating_add(MAX_GAP),
            false => u64::MAX / 2,
        };
        if first > far {
            return self.set_aside(&name, "is far ahead of all others").map(|()| None);
        }
        if header.is_none() && empty {
            if file.len() > HEADER {
                return self.set_aside(&name, "holds nothing that can be read").map(|()| None);
            }
            // A crash came between making the file and writing its header.
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            self.report.push(format!("{name} was made but never written to: removed"));
            return Ok(None);
        }
        Ok(Some(Admitted { header, items }))
    }

    /// Moves a file that can't be used out of the way.
    pub(super) fn set_aside(&mut self, name: &str, why: &str) -> Result<(), SpoolError> {
        quarantine::take(self.dir, name).map_err(failed("quarantine", &self.dir.join(name)))?;
        self.report.push(format!("{name} {why}: moved to quarantine/"));
        Ok(())
    }
}
