//! A group: the records of many requests, framed by the ingest actor and committed with one
//! write and one fsync. An fsync costs about the same for one request as for a thousand, so
//! requests that come in while one is under way share the next.
//!
//! The payloads of the records (integers are little-endian):
//!
//! ```text
//! Rows         u32 events | i64 received_at | u32 len of ids | ids | encoded rows
//!              an id: u16 len, text
//! Seal         u64 seq | i64 sealed_at | u64 events | u64 bytes of the batch before the seal
//!              | u32 len of cells | cells | visitors        (domain::delta's encodings)
//! DeadLetters  postcard of Vec<DeadLetter>; in earlier spools, of Vec<PlainDeadLetter>
//! Ids          i64 received_at | ids
//! ```
//!
//! Client ids lie in the same record as their rows, so that a crash keeps both or neither. If
//! the rows alone survived, a client's retry would be counted twice; if the ids alone did, the
//! retry would not be counted at all.

use crate::{
    domain::{batch::DeadLetter, delta::Delta, time::Millis},
    spool::record::{self, HEAD, le32, le64},
};

/// Framed records that are not on disk yet. A group is used again after [`Group::clear`],
/// which keeps its memory, so that the hot path does not allocate.
#[derive(Debug, Default)]
pub struct Group {
    bytes: Vec<u8>,
    pub(super) seals: Vec<SealMark>,
    pub(super) ids: IdStats,
}

/// Where in a group a seal lies; the batch ends with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealMark {
    /// Offset of the seal record's first byte in the group.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
    /// What the seal says.
    pub seal: Seal,
}

/// The fixed part of a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// The batch's sequence number.
    pub seq: u64,
    /// When it was sealed, Unix ms.
    pub sealed_at: Millis,
    /// Its events.
    pub events: u64,
    /// Bytes of the batch's records before the seal. The seal thereby says where its batch
    /// begins, even if the seal of the batch before it is damaged.
    pub bytes: u64,
}

/// How many client ids a file or group holds, and when the newest of them arrived. This
/// decides without reading the file whether the dedupe window still needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IdStats {
    /// How many ids.
    pub count: u64,
    /// Arrival of the newest one, Unix ms.
    pub newest: Millis,
}

impl IdStats {
    /// Adds the ids of another part.
    pub(super) fn add(&mut self, other: IdStats) {
        self.count += other.count;
        self.newest = self.newest.max(other.newest);
    }
}

/// Offset of a seal's `bytes` in its record: behind seq, sealed_at and events.
const SEAL_BYTES_AT: usize = HEAD + 24;
/// Bytes of the numbers that a seal's payload begins with.
pub(super) const SEAL_NUMBERS: usize = 32;
/// Bytes of a seal's payload before the cells: four u64 and the u32 length of the cells.
const SEAL_FIXED: usize = 36;

impl Group {
    /// Appends the encoded rows ([`crate::domain::row`]) of `events` events, received at
    /// `received_at` (Unix ms), and the ids that the client gave them (not those the server
    /// made), each up to 65,535 bytes.
    pub fn rows<'a>(
        &mut self,
        events: u32,
        rows: &[u8],
        received_at: Millis,
        ids: impl IntoIterator<Item = &'a str>,
    ) {
        self.bytes.reserve(rows.len() + HEAD + 16);
        let at = record::begin(&mut self.bytes);
        self.bytes.extend_from_slice(&events.to_le_bytes());
        self.bytes.extend_from_slice(&received_at.to_le_bytes());
        // The length of the ids is known once they are written; its place is kept free.
        let len_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut count = 0;
        for id in ids {
            put_id(&mut self.bytes, id);
            count += 1;
        }
        let len = (self.bytes.len() - len_at - 4) as u32;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(rows);
        record::finish(&mut self.bytes[at..], record::ROWS);
        if count > 0 {
            self.ids.add(IdStats { count, newest: received_at });
        }
    }

    /// Appends refused events. They belong to the batch that the next seal ends.
    pub fn dead_letters(&mut self, letters: &[DeadLetter]) {
        if letters.is_empty() {
            return;
        }
        let at = record::begin(&mut self.bytes);
        self.bytes = postcard::to_extend(letters, std::mem::take(&mut self.bytes))
            .expect("plain data always encodes");
        record::finish(&mut self.bytes[at..], record::DEAD_LETTERS);
    }

    /// Ends batch `seq` with a seal record. The batch is all records since the seal before,
    /// in this group and in groups that were committed earlier. `delta` is what its rows add
    /// to the counters.
    pub fn seal(&mut self, seq: u64, sealed_at: Millis, events: u64, delta: &Delta) {
        let cells = delta.encode_cells();
        let start = record::begin(&mut self.bytes);
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&sealed_at.to_le_bytes());
        self.bytes.extend_from_slice(&events.to_le_bytes());
        // The bytes of the batch: the writer fills them in (`finish_seal`), since it alone
        // knows where the batch begins. It also writes the head with the checksums then.
        self.bytes.extend_from_slice(&[0; 8]);
        let len = cells.len() as u32;
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&cells);
        self.bytes.extend_from_slice(&delta.encode_visitors());
        self.seals.push(SealMark {
            start,
            end: self.bytes.len(),
            seal: Seal { seq, sealed_at, events, bytes: 0 },
        });
    }

    /// Bytes framed so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets all records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.seals.clear();
        self.ids = IdStats::default();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes into seal `index` how long its batch is, and finishes the record.
    pub(super) fn finish_seal(&mut self, index: usize, batch_bytes: u64) {
        let mark = &mut self.seals[index];
        mark.seal.bytes = batch_bytes;
        let record = &mut self.bytes[mark.start..mark.end];
        record[SEAL_BYTES_AT..SEAL_BYTES_AT + 8].copy_from_slice(&batch_bytes.to_le_bytes());
        record::finish(record, record::SEAL);
    }
}

/// Appends one id as `Rows` and `Ids` records hold it.
pub(super) fn put_id(out: &mut Vec<u8>, id: &str) {
    let len = u16::try_from(id.len()).expect("ids are limited to 128 bytes at the door");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(id.as_bytes());
}

/// The payload of a Rows record, taken apart.
pub(super) struct RowsPayload<'a> {
    /// How many rows follow.
    pub events: u32,
    /// When the request arrived, Unix ms.
    pub received_at: Millis,
    /// The encoded client ids ([`parse_ids`]).
    pub ids: &'a [u8],
    /// Where in the payload the rows begin.
    pub rows_at: usize,
}

/// Takes a Rows payload apart; `None` if it is malformed.
pub(super) fn parse_rows(payload: &[u8]) -> Option<RowsPayload<'_>> {
    let len = le32(payload.get(12..)?)? as usize;
    Some(RowsPayload {
        events: le32(payload)?,
        received_at: le64(payload.get(4..)?)? as Millis,
        ids: payload.get(16..16 + len)?,
        rows_at: 16 + len,
    })
}

/// A seal's fixed part, its encoded cells and its encoded visitors; `None` if it is malformed.
pub(super) fn parse_seal(payload: &[u8]) -> Option<(Seal, &[u8], &[u8])> {
    let len = le32(payload.get(SEAL_FIXED - 4..)?)? as usize;
    let seal = parse_seal_numbers(payload)?;
    let (cells, visitors) = payload.get(SEAL_FIXED..)?.split_at_checked(len)?;
    Some((seal, cells, visitors))
}

/// The fixed part of a seal, from the first [`SEAL_NUMBERS`] bytes of its payload.
pub(super) fn parse_seal_numbers(payload: &[u8]) -> Option<Seal> {
    let word = |at: usize| le64(payload.get(at..)?);
    Some(Seal { seq: word(0)?, sealed_at: word(8)? as Millis, events: word(16)?, bytes: word(24)? })
}

/// Walks over encoded ids; ends at the first malformed one.
pub(super) fn parse_ids(mut bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_at_checked(2)?;
        let len = u16::from_le_bytes([len[0], len[1]]) as usize;
        let (id, rest) = rest.split_at_checked(len)?;
        bytes = rest;
        std::str::from_utf8(id).ok()
    })
}
