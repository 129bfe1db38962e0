//! Id files: client ids of events whose segment is gone but whose dedupe window still runs.
//!
//! `ids-<first seq of the segment>.log` holds Ids records (see [`super::group`]).

use std::{fs, io, path::Path};

use crate::{
    domain::time::Millis,
    spool::{
        disk,
        group::{IdStats, parse_ids, parse_rows},
        record::{self, Item, le64},
    },
};

/// An id file on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdFile {
    /// First seq of the segment it comes from.
    pub first: u64,
    pub stats: IdStats,
}

pub(super) fn name(first: u64) -> String {
    format!("ids-{first:020}.log")
}

pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("ids-")?.strip_suffix(".log")?;
    digits.parse().ok()
}

/// Takes out of a segment the ids received at `since` or later: the contents of its id file.
pub(super) fn distil(segment: &[u8], since: Millis) -> (Vec<u8>, IdStats) {
    let mut out = Vec::new();
    let mut stats = IdStats::default();
    for item in record::scan(segment, super::segment::HEADER) {
        let Item::Record { kind: record::ROWS, at } = item else {
            continue;
        };
        let rows = parse_rows(&segment[record::payload(segment, &at)]);
        let Some(rows) = rows.filter(|rows| rows.received_at >= since && !rows.ids.is_empty())
        else {
            continue;
        };
        let start = record::begin(&mut out);
        out.extend_from_slice(&rows.received_at.to_le_bytes());
        out.extend_from_slice(rows.ids);
        record::finish(&mut out[start..], record::IDS);
        stats.add(IdStats { count: parse_ids(rows.ids).count() as u64, newest: rows.received_at });
    }
    (out, stats)
}

/// Hands every id of a file to `each`; `Ok(bytes)` says how many bytes were damaged.
pub(super) fn load(
    dir: &Path,
    first: u64,
    mut each: impl FnMut(Millis, &str),
) -> io::Result<(IdStats, usize)> {
    let bytes = fs::read(dir.join(name(first)))?;
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

/// Writes an id file; on the disk when this returns.
pub(super) fn store(dir: &Path, first: u64, bytes: &[u8]) -> io::Result<()> {
    disk::replace(dir, &name(first), bytes)
}
