//! Id files: client ids of events whose segment is gone but whose dedupe window still runs.
//! Without them, a restart would forget these ids, and a client's retry would be counted again.
//!
//! `ids-<first seq of the segment>.log` holds Ids records (see [`super::group`]). Ids that are kept for
//! long have files of their own ([`super::long_ids`]).

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use crate::{
    domain::{ids::IdClass, time::Millis},
    spool::{
        disk,
        group::{IdStats, parse_ids, parse_rows, put_id},
        record::{self, Item, le64},
        segment,
    },
};

/// An id file on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdFile {
    /// First seq of the segment that the ids come from.
    pub first: u64,
    /// What it holds.
    pub stats: IdStats,
}

/// Name of the id file for the segment whose first batch is `first`.
pub(super) fn name(first: u64) -> String {
    format!("ids-{first:020}.log")
}

/// The segment's first batch, from an id file's name.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("ids-")?.strip_suffix(".log")?;
    digits.parse().ok()
}

/// Bytes of a segment that are looked at together, unless one record is longer. Small in
/// tests, so that records cross the borders of windows.
const WINDOW: usize = if cfg!(test) { 64 } else { 4 << 20 };

/// Takes the ids of each class that arrived at `since` or later out of a segment: the contents of
/// its id files. The segment is read window by window, since it is too large to hold in memory beside
/// everything else. Only the part behind damage is read at once, because the search for the
/// next intact record needs all of it.
pub(super) fn distil(mut segment: impl Read, since: [Millis; 3]) -> io::Result<Distilled> {
    let mut distilled = Distilled { since, logs: Default::default() };
    io::copy(&mut segment.by_ref().take(segment::HEADER as u64), &mut io::sink())?;
    let mut window = Vec::new();
    let mut size = WINDOW;
    loop {
        let missing = size - window.len();
        window.reserve_exact(missing);
        let read = segment.by_ref().take(missing as u64).read_to_end(&mut window)?;
        if read < missing {
            // The end of the file: a full scan, which also finds records behind damage.
            for item in record::scan(&window, 0) {
                if let Item::Record { kind, at } = item {
                    distilled.add(kind, &window[record::payload(&window, &at)]);
                }
            }
            return Ok(distilled);
        }
        let mut done = 0;
        for (kind, at) in record::leading(&window) {
            distilled.add(kind, &window[record::payload(&window, &at)]);
            done = at.end;
        }
        window.drain(..done);
        // Nothing was intact: a record is longer than the window, or it is damaged. A larger
        // window tells which.
        size = if done > 0 { WINDOW.max(window.len() + 1) } else { size * 2 };
    }
}

/// The contents of the id files of a segment, for each class.
pub(super) struct Distilled {
    since: [Millis; 3],
    /// The records, and what they hold.
    pub logs: [(Vec<u8>, IdStats); 3],
}

impl Distilled {
    fn add(&mut self, kind: u8, payload: &[u8]) {
        let rows = Some(kind).filter(|kind| *kind == record::ROWS);
        let Some(rows) = rows.and_then(|_| parse_rows(payload)) else { return };
        let mut ids: [Vec<u8>; 3] = Default::default();
        let mut counts = [0; 3];
        for id in parse_ids(rows.ids) {
            let class = IdClass::of(id) as usize;
            if rows.received_at >= self.since[class] {
                put_id(&mut ids[class], id);
                counts[class] += 1;
            }
        }
        for ((log, stats), (ids, count)) in self.logs.iter_mut().zip(ids.iter().zip(counts)) {
            if count > 0 {
                let start = record::begin(log);
                log.extend_from_slice(&rows.received_at.to_le_bytes());
                log.extend_from_slice(ids);
                record::finish(&mut log[start..], record::IDS);
                stats.add(IdStats { count, newest: rows.received_at });
            }
        }
    }
}

/// Hands every id of a file to `each`. Returns what the file holds, and how many of its bytes
/// are damaged.
pub(super) fn load(
    path: &Path,
    mut each: impl FnMut(Millis, &str),
) -> io::Result<(IdStats, usize)> {
    let bytes = fs::read(path)?;
    let mut stats = IdStats::default();
    let mut damaged = 0;
    for item in record::scan(&bytes, 0) {
        let Item::Record { kind: record::IDS, at } = item else {
            damaged += item.at().len();
            continue;
        };
        let payload = &bytes[record::payload(&bytes, &at)];
        let Some(received_at) = le64(payload) else {
            continue;
        };
        let newest = received_at as Millis;
        let mut count = 0;
        for id in parse_ids(&payload[8..]) {
            each(newest, id);
            count += 1;
        }
        stats.add(IdStats { count, newest });
    }
    Ok((stats, damaged))
}

/// Writes an id file. It is on the disk when this returns.
pub(super) fn store(dir: &Path, first: u64, bytes: &[u8]) -> io::Result<()> {
    disk::replace(dir, &name(first), bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment of these requests (received at, ids, bytes of rows).
    fn segment_of(requests: &[(Millis, Vec<String>, usize)]) -> Vec<u8> {
        let mut bytes = vec![0; segment::HEADER];
        for (received_at, ids, len) in requests {
            let mut put = Vec::new();
            ids.iter().for_each(|id| put_id(&mut put, id));
            let at = record::begin(&mut bytes);
            bytes.extend_from_slice(&1u32.to_le_bytes());
            bytes.extend_from_slice(&received_at.to_le_bytes());
            bytes.extend_from_slice(&(put.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&put);
            bytes.resize(bytes.len() + len, 7);
            record::finish(&mut bytes[at..], record::ROWS);
        }
        bytes
    }

    proptest! {
        #[test]
        fn in_windows_the_same_ids_are_found_as_at_once(
            requests in proptest::collection::vec(
                (0..9i64, proptest::collection::vec("[a-z]{1,9}(\0(purchase|view)(\0p)?)?", 0..4), 0..200usize),
                0..12,
            ),
            flip in proptest::option::of(any::<prop::sample::Index>()),
            cut in 0..40usize,
        ) {
            let mut bytes = segment_of(&requests);
            bytes.truncate(bytes.len().saturating_sub(cut).max(segment::HEADER));
            if let Some(flip) = flip.filter(|_| bytes.len() > segment::HEADER) {
                let at = segment::HEADER + flip.index(bytes.len() - segment::HEADER);
                bytes[at] ^= 1;
            }
            let mut at_once = Distilled { since: [4, 2, 0], logs: Default::default() };
            for item in record::scan(&bytes, segment::HEADER) {
                if let Item::Record { kind, at } = item {
                    at_once.add(kind, &bytes[record::payload(&bytes, &at)]);
                }
            }
            let in_windows = distil(&*bytes, [4, 2, 0]).unwrap();
            prop_assert_eq!(in_windows.logs, at_once.logs);
        }
    }
}
