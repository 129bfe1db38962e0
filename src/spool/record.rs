//! How a record is framed, and how intact records are found among damaged bytes.
//!
//! ```text
//! u32 len of payload | u32 crc32 of kind and payload | u8 kind | u24 check | payload
//! ```
//!
//! Integers are little-endian. `check` is the low 24 bits of the crc32 of the nine bytes
//! before it. It tells that a length can be trusted although the payload is damaged, so only
//! that record is lost. It also makes the search for the next record behind a damaged length
//! cheap: nearly every wrong guess fails at these 12 bytes, without a crc over a payload.

use std::ops::Range;

/// Bytes before the payload.
pub(super) const HEAD: usize = 12;

/// The events of one request, with the ids that its client gave them.
pub(super) const ROWS: u8 = 1;
/// The end of a batch.
pub(super) const SEAL: u8 = 2;
/// Refused events as earlier versions wrote them, without source and dialect.
pub(super) const PLAIN_DEAD_LETTERS: u8 = 3;
/// Client ids without their rows. Such records are only in id files.
pub(super) const IDS: u8 = 4;
/// How many events batches have that left the disk. Such records are only in the file `counts`.
pub(super) const COUNTS: u8 = 5;
/// Refused events.
pub(super) const DEAD_LETTERS: u8 = 6;

/// Starts a record at the end of `out` and returns its offset. The caller appends the payload
/// and then calls [`finish`] with the bytes from that offset on.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD]);
    at
}

/// Fills in the head of a record. `record` is the whole of it, head and payload.
pub(super) fn finish(record: &mut [u8], kind: u8) {
    let (head, payload) = record.split_at_mut(HEAD);
    let len = u32::try_from(payload.len()).expect("a request and a delta are far below 4 GiB");
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4..8].copy_from_slice(&checksum(kind, payload).to_le_bytes());
    head[8] = kind;
    let check = crc32fast::hash(&head[..9]).to_le_bytes();
    head[9..].copy_from_slice(&check[..3]);
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.finalize()
}

/// A part of a file: a record, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A record whose checksums are right.
    Record {
        /// Its kind.
        kind: u8,
        /// Where it lies, including its head.
        at: Range<usize>,
    },
    /// Bytes that are no intact record.
    Damage {
        /// The kind of the record, if only its payload is damaged.
        kind: Option<u8>,
        /// Where the bytes lie.
        at: Range<usize>,
    },
}

impl Item {
    /// Where this part lies.
    pub(super) fn at(&self) -> &Range<usize> {
        match self {
            Item::Record { at, .. } | Item::Damage { at, .. } => at,
        }
    }
}

/// Where the payload of the record at `at` lies.
pub(super) fn payload(bytes: &[u8], at: &Range<usize>) -> Range<usize> {
    debug_assert!(at.len() >= HEAD && at.end <= bytes.len());
    at.start + HEAD..at.end
}

/// The kind and the payload's length, if the head is intact.
pub(super) fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let head = bytes.get(..HEAD)?;
    let kind = head[8];
    // Some file systems leave zeros behind after a crash. They are no record of length 0.
    if kind == 0 || crc32fast::hash(&head[..9]).to_le_bytes()[..3] != head[9..] {
        return None;
    }
    Some((kind, le32(head)? as usize))
}

fn is_intact(bytes: &[u8], kind: u8, len: usize) -> bool {
    let crc = bytes.get(4..8).and_then(le32);
    let payload = bytes.get(HEAD..HEAD + len);
    matches!((crc, payload), (Some(crc), Some(payload)) if crc == checksum(kind, payload))
}

/// Walks over all of `bytes` from `start` on. Returns every intact record and, between them,
/// the damage; together these cover all bytes.
pub(super) fn scan(bytes: &[u8], start: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = start.min(bytes.len());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let item = match head(rest) {
            Some((kind, len)) if is_intact(rest, kind, len) => {
                Item::Record { kind, at: at..at + HEAD + len }
            }
            // Only the payload is damaged: the head says where the next record begins.
            Some((kind, len)) if HEAD + len < rest.len() => {
                Item::Damage { kind: Some(kind), at: at..at + HEAD + len }
            }
            _ => Item::Damage { kind: None, at: at..at + 1 + resync(&rest[1..]) },
        };
        at = item.at().end;
        items.push(item);
    }
    items
}

/// The intact records that `bytes` begins with, up to the first that is damaged or cut: the kind
/// of each and where it lies.
pub(super) fn leading(bytes: &[u8]) -> impl Iterator<Item = (u8, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &bytes[at..];
        let (kind, len) = head(rest).filter(|(kind, len)| is_intact(rest, *kind, *len))?;
        let record = at..at + HEAD + len;
        at = record.end;
        Some((kind, record))
    })
}

/// How many bytes come before the next intact record; all of them if there is none.
fn resync(bytes: &[u8]) -> usize {
    (0..bytes.len())
        .find(|&at| {
            // The kind is looked at first, since that rules out nearly every position.
            let known = bytes.get(at + 8).is_some_and(|kind| (1..=DEAD_LETTERS).contains(kind));
            let rest = &bytes[at..];
            known && head(rest).is_some_and(|(kind, len)| is_intact(rest, kind, len))
        })
        .unwrap_or(bytes.len())
}

/// The first four bytes as a little-endian number.
pub(super) fn le32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// The first eight bytes as a little-endian number.
pub(super) fn le64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<Item>) {
        let mut bytes = b"header".to_vec();
        let mut items = Vec::new();
        for payload in payloads {
            let at = begin(&mut bytes);
            bytes.extend_from_slice(payload);
            finish(&mut bytes[at..], ROWS);
            items.push(Item::Record { kind: ROWS, at: at..bytes.len() });
        }
        (bytes, items)
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..60);
        proptest::collection::vec(payload, 1..8)
    }

    proptest! {
        #[test]
        fn what_is_framed_is_found(payloads in payloads()) {
            let (bytes, items) = file(&payloads);
            prop_assert_eq!(scan(&bytes, 6), items);
        }

        #[test]
        fn one_bad_byte_costs_one_record(payloads in payloads(), at: prop::sample::Index, flip in 1..=255u8) {
            let (mut bytes, items) = file(&payloads);
            let at = 6 + at.index(bytes.len() - 6);
            bytes[at] ^= flip;
            let found = scan(&bytes, 6);
            for item in items {
                prop_assert_eq!(found.contains(&item), !item.at().contains(&at));
            }
            // Nothing is left out: the items cover the file without gap or overlap.
            let end = found.iter().try_fold(6, |end, item| (item.at().start == end).then_some(item.at().end));
            prop_assert_eq!(end, Some(bytes.len()));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(0..6u8, 0..400)) {
            let end = scan(&bytes, 0).last().map_or(0, |item| item.at().end);
            prop_assert_eq!(end, bytes.len());
        }
    }
}
