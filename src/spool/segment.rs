//! Segment files: their names, their header, and how a new one is made. The header is:
//!
//! ```text
//! 8 bytes magic | u32 version | 16 bytes run | u64 first seq | u32 crc32 of all before
//! ```
//!
//! All batches of a segment are of the run in its header. Version 1, from before there were runs,
//! has the node's identity there, which stands for the one run that such a node had. In versions 1 and 2
//! rows have no source and no dialect ([`crate::domain::row`]). The number keeps a program that does not
//! know these from taking such a segment for a foreign one, or its rows for damaged ones.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{
    domain::batch::RunId,
    spool::{
        disk,
        record::{self, le32, le64},
    },
};

/// What a segment file begins with.
const MAGIC: &[u8; 8] = b"FLOODSEG";
/// The format that is written; older ones are read.
pub(super) const VERSION: u32 = 3;
/// Bytes before the first record.
pub(super) const HEADER: usize = 40;

/// The ending of a segment's name.
const ENDING: &str = ".seg";

/// Name of the segment whose first batch is `first`.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}{ENDING}")
}

/// Path of the segment whose first batch is `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(name(first))
}

/// The first batch of a segment, from the file's name; `None` for any other file.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The header of a new segment.
pub(super) fn header(run: RunId, first: u64) -> Vec<u8> {
    header_of(VERSION, run, first)
}

/// A header of this version.
pub(super) fn header_of(version: u32, run: RunId, first: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(run.as_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The format's version ([`VERSION`]).
    pub version: u32,
    /// The run that wrote the segment.
    pub run: RunId,
    /// Its first batch.
    pub first: u64,
}

/// Reads a header; `None` if it is damaged or cut.
pub(super) fn parse_header(bytes: &[u8]) -> Option<Header> {
    let head = bytes.get(..HEADER)?;
    let crc = le32(&head[HEADER - 4..])?;
    if !head.starts_with(MAGIC) || crc32fast::hash(&head[..HEADER - 4]) != crc {
        return None;
    }
    Some(Header {
        version: le32(&head[8..])?,
        run: Uuid::from_slice(&head[12..28]).ok()?,
        first: le64(&head[28..])?,
    })
}

/// Reads the header of a segment file; `None` if it can't be read or is damaged.
pub(super) fn read_header(path: &Path) -> Option<Header> {
    let mut head = [0; HEADER];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    parse_header(&head)
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    /// Open for writing.
    pub file: File,
    /// The run of all its batches.
    pub run: RunId,
    /// Its first batch, which is the number in its name.
    pub first: u64,
    /// Where the next record goes; all bytes before it are on the disk.
    pub offset: u64,
    /// Where the open batch begins: right behind the newest seal.
    pub batch_start: u64,
}

impl Active {
    /// Makes an empty segment. It and its name are on the disk when this returns. On failure
    /// the file is removed again, if the disk allows that.
    pub(super) fn create(dir: &Path, run: RunId, first: u64) -> io::Result<Active> {
        let path = path(dir, first);
        let file = disk::create(&path)?;
        let made = disk::write_at(&file, &header(run, first), 0)
            .and_then(|()| disk::sync(&file))
            .and_then(|()| disk::sync_dir(dir));
        if let Err(error) = made {
            // A leftover that can't be removed does no harm: recovery removes a segment with
            // nothing in it.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Active { file, run, first, offset: HEADER as u64, batch_start: HEADER as u64 })
    }

    /// Whether nothing was written to it yet.
    pub(super) fn is_empty(&self) -> bool {
        self.offset == HEADER as u64
    }

    /// Whether no batch is open in it: it is empty, or ends with a seal.
    pub(super) fn at_seal(&self) -> bool {
        self.batch_start == self.offset
    }
}

/// For fuzzing: the bytes of a segment file that holds `data`. Either `data` follows the
/// header as it is, or (`framed`) it is read as a row of (kind, u16 length, payload) and each
/// of these becomes a record with the right checksums.
pub(crate) fn fuzzed_segment(run: RunId, mut data: &[u8], framed: bool) -> Vec<u8> {
    let mut out = header(run, 1);
    if !framed {
        out.extend_from_slice(data);
        return out;
    }
    while let [kind, low, high, rest @ ..] = data {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let at = record::begin(&mut out);
        out.extend_from_slice(&rest[..len]);
        record::finish(&mut out[at..], *kind);
        data = &rest[len..];
    }
    out
}
