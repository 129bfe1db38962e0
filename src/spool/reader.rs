//! Reading a batch back from its segment, with every checksum checked.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use bytes::Bytes;

use crate::{
    domain::{
        batch::{Batch, BatchId, DeadLetter},
        dead_letter::PlainDeadLetter,
        delta::Delta,
    },
    spool::{
        SpoolError, SpoolState, failed,
        group::{parse_rows, parse_seal},
        kept,
        record::{self, Item},
        segment,
    },
};

/// Reads a batch. See [`Spool::read`](super::Spool::read).
pub(super) fn read(shared: &SpoolState, seq: u64) -> Result<Batch, SpoolError> {
    let (id, after) = {
        let runs = shared.runs.lock();
        (runs.batch(seq).ok_or(SpoolError::Gone { seq })?, runs.before(seq))
    };
    let placed = |batch| Batch {
        after,
        after_events: shared.events_before(seq),
        node: shared.options.node,
        ..batch
    };
    let entry = |seq| shared.index.lock().get(seq).copied();
    let found = match entry(seq) {
        Some(found) if !found.gone => found,
        _ => return kept::read(shared, id).map(placed),
    };
    if found.void {
        return Ok(placed(Batch::void(id)));
    }
    let path = segment::path(&shared.options.dir, found.segment);
    let mut bytes = vec![0; found.len as usize];
    // The file is opened anew for each batch. A batch is megabytes, so an open costs little
    // beside it, and a long outage leaves more segments than a process may hold open.
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, found.offset));
    match read {
        Ok(()) => {}
        Err(error) => match error.kind() {
            // `retire` moved the segment after the index was asked above.
            io::ErrorKind::NotFound if entry(seq).is_none() => {
                return kept::read(shared, id).map(placed);
            }
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                shared.lost(seq, "its segment is missing or cut");
                return Ok(placed(Batch::void(id)));
            }
            _ => return Err(failed("read", &path)(error)),
        },
    }
    match decode(id, Bytes::from(bytes))? {
        Some(batch) => Ok(placed(batch)),
        None => {
            shared.lost(seq, "a checksum does not match");
            Ok(placed(Batch::void(id)))
        }
    }
}

/// The batch that the records in `bytes` make, from its first record to its seal; `None` if
/// any of them is damaged.
pub(super) fn decode(id: BatchId, bytes: Bytes) -> Result<Option<Batch>, SpoolError> {
    let mut items = record::scan(&bytes, 0);
    let Some(Item::Record { kind: record::SEAL, at }) = items.pop() else {
        return Ok(None);
    };
    let Some((seal, cells, visitors)) = parse_seal(&bytes[record::payload(&bytes, &at)]) else {
        return Ok(None);
    };
    if seal.seq != id.seq {
        return Ok(None);
    }
    let delta = Delta::decode(cells, Some(visitors))
        .map_err(|source| SpoolError::Undecodable { seq: id.seq, source })?;
    let Some(contents) = Contents::of(&bytes, &items) else {
        return Ok(None);
    };
    // If the numbers differ, the rows are right: clients were answered for them.
    if contents.events != seal.events {
        let (seq, rows) = (id.seq, contents.events);
        tracing::error!(seq, rows, seal = seal.events, "a seal counts other events than it covers");
    }
    Ok(Some(Batch {
        sealed_at: seal.sealed_at,
        events: contents.events,
        rows: contents.rows.into_iter().map(|at| bytes.slice(at)).collect(),
        dead_letters: contents.dead_letters,
        delta: delta.into(),
        ..Batch::void(id)
    }))
}

/// The records between two seals, decoded.
#[derive(Default)]
pub(super) struct Contents {
    /// How many rows there are.
    pub events: u64,
    /// Where the rows of each record lie in the bytes.
    pub rows: Vec<Range<usize>>,
    /// The refused events.
    pub dead_letters: Vec<DeadLetter>,
}

impl Contents {
    /// Decodes `items`; `None` if any of them is damaged or is a record that has no place in
    /// a batch.
    pub(super) fn of(bytes: &[u8], items: &[Item]) -> Option<Contents> {
        let mut contents = Contents::default();
        for item in items {
            let Item::Record { kind, at } = item else {
                return None;
            };
            let payload = record::payload(bytes, at);
            match *kind {
                record::ROWS => {
                    let rows = parse_rows(&bytes[payload.clone()])?;
                    contents.events += u64::from(rows.events);
                    contents.rows.push(payload.start + rows.rows_at..payload.end);
                }
                record::DEAD_LETTERS => {
                    let letters: Vec<DeadLetter> = postcard::from_bytes(&bytes[payload]).ok()?;
                    contents.dead_letters.extend(letters);
                }
                record::PLAIN_DEAD_LETTERS => {
                    let letters: Vec<PlainDeadLetter> =
                        postcard::from_bytes(&bytes[payload]).ok()?;
                    contents.dead_letters.extend(letters.into_iter().map(DeadLetter::from));
                }
                _ => return None,
            }
        }
        Some(contents)
    }
}
