//! The file `counts`: how many events each batch had that left the index. A report about batches
//! that a sink has lost can thereby say how many events these were, long after their rows are gone.
//!
//! It consists of Counts records (u64 first batch, then a u32 for each batch), one for each segment
//! that was retired. Once it has [`MAX_BYTES`], its older half goes. What can't be written or read
//! only makes a report less exact, so no error of this file stops anything.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    domain::batch::LANES,
    spool::{
        SpoolState, disk,
        record::{self, Item, le32, le64},
    },
};

pub(super) const FILE: &str = "counts";

/// About a million batches: more than a day of a node that seals ten a second.
const MAX_BYTES: u64 = if cfg!(test) { 400 } else { 4 << 20 };

impl SpoolState {
    /// How many events batch `seq` has; `None` where nobody knows any more. This reads the file only
    /// for batches that left the log before this start, or a while ago.
    pub(super) fn events_of(&self, seq: u64) -> Option<u64> {
        let known = self.index.lock().events_of(seq);
        let known = known.or_else(|| self.kept.lock().events_of(seq));
        known.or_else(|| {
            let events = sum(&self.options.dir, seq, seq + LANES)?;
            self.index.lock().remember_events(seq, events);
            Some(events)
        })
    }

    /// How many events the batch before batch `seq` in its lane has; 0 where there is none, or where
    /// nobody knows any more.
    pub(super) fn events_before(&self, seq: u64) -> u64 {
        let before = seq.checked_sub(LANES).filter(|&before| before > 0);
        before.and_then(|before| self.events_of(before)).unwrap_or(0)
    }
}

/// Adds the events of the batches from `first` on.
pub(super) fn append(dir: &Path, first: u64, events: &[u64]) -> io::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    record::begin(&mut bytes);
    bytes.extend_from_slice(&first.to_le_bytes());
    for &events in events {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&events.to_le_bytes());
    }
    record::finish(&mut bytes, record::COUNTS);
    let path = dir.join(FILE);
    let len = fs::metadata(&path).map_or(0, |known| known.len());
    if len + bytes.len() as u64 > MAX_BYTES && len > 0 {
        let old = fs::read(&path)?;
        let mut newer = Vec::new();
        for item in record::scan(&old, 0) {
            if item.at().start >= old.len() / 2 && matches!(item, Item::Record { .. }) {
                newer.extend_from_slice(&old[item.at().clone()]);
            }
        }
        newer.extend_from_slice(&bytes);
        return disk::replace(dir, FILE, &newer);
    }
    let file = File::options().create(true).append(false).truncate(false).write(true).open(path)?;
    disk::write_at(&file, &bytes, len)?;
    disk::sync(&file)
}

/// The events of the batches `from`, `from + LANES` and so on before `before`; `None` where the
/// file does not have all of them.
pub(super) fn sum(dir: &Path, from: u64, before: u64) -> Option<u64> {
    let wanted = before.saturating_sub(from).div_ceil(LANES);
    if wanted == 0 {
        return Some(0);
    }
    // Each batch takes four bytes, so no file can have more.
    if wanted > MAX_BYTES {
        return None;
    }
    let mut found: Vec<Option<u32>> = vec![None; wanted as usize];
    let bytes = fs::read(dir.join(FILE)).ok()?;
    for item in record::scan(&bytes, 0) {
        let Item::Record { kind: record::COUNTS, at } = item else { continue };
        let payload = &bytes[record::payload(&bytes, &at)];
        let Some(first) = le64(payload) else { continue };
        for (seq, events) in (first..).zip(payload[8..].chunks_exact(4)) {
            if (from..before).contains(&seq) && (seq - from).is_multiple_of(LANES) {
                found[((seq - from) / LANES) as usize] = le32(events);
            }
        }
    }
    found.into_iter().map(|events| events.map(u64::from)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_a_lane_where_all_of_it_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(sum(dir, 5, 5), Some(0), "there is no batch between");
        assert_eq!(sum(dir, 5, 9), None);
        append(dir, 3, &[3, 4, 5, 6]).unwrap();
        append(dir, 7, &[7, 8, 9, 10, 11, 12, 13]).unwrap();
        assert_eq!(sum(dir, 5, 9), Some(5));
        assert_eq!(sum(dir, 4, 12), Some(4 + 8));
        assert_eq!(sum(dir, 5, 17), Some(5 + 9 + 13));
        assert_eq!(sum(dir, 5, 21), None, "17 is not known");
        assert_eq!(sum(dir, 4, 4), Some(0));
        // A segment that a crash made be retired twice counts once.
        append(dir, 7, &[7, 8, 9]).unwrap();
        assert_eq!(sum(dir, 5, 17), Some(5 + 9 + 13));
    }

    #[test]
    fn stays_small_and_knows_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for first in (1..400).step_by(4) {
            append(dir, first, &[1, 2, 3, 4]).unwrap();
            assert!(fs::metadata(dir.join(FILE)).unwrap().len() <= MAX_BYTES);
        }
        assert_eq!(sum(dir, 384, 400), Some(4 * 4));
        assert_eq!(sum(dir, 4, 400), None);
    }
}
