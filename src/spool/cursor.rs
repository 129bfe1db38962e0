//! The cursor file: how far each sink has come, and how far the sequence may have run.
//!
//! The file is always replaced as a whole. If it is lost, every batch that is still in the
//! spool is delivered again, which the guards of the sinks make harmless; events are never
//! lost with it.
//!
//! ```text
//! 8 bytes magic | 16 bytes node | u64 settled by the store | u64 settled by the live side
//! | u64 reserved | u64 active segment | u32 crc32 of all before      (little-endian)
//! ```

use std::{fs, io, path::Path};

use uuid::Uuid;

use crate::{
    domain::batch::NodeId,
    spool::{
        disk,
        record::{le32, le64},
    },
};

pub(super) const FILE: &str = "cursors";
const MAGIC: &[u8; 8] = b"FLOODCUR";
const LEN: usize = 8 + 16 + 4 * 8 + 4;

/// Sequence numbers that may be sealed before the cursor file is written again. If the
/// newest segment is lost, the sequence goes on behind them all: a number that a sink has
/// seen is never given to other events. 1,024 is more than a busy node seals between two
/// runs of `retire`, which writes the file anyway, so commits hardly ever have to write it.
pub(super) const RESERVE: u64 = 1024;

/// The contents of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursors {
    /// The node whose spool this is.
    pub node: NodeId,
    /// For each sink: it has settled this batch and all before it.
    pub settled: [u64; 2],
    /// No batch with a higher number than this has been sealed.
    pub reserved: u64,
    /// The first batch of the newest segment. If no segment on disk is that new, it was lost.
    pub active: u64,
}

impl Cursors {
    /// The cursors of a node that has sealed nothing yet.
    pub(super) fn new(node: NodeId) -> Cursors {
        Cursors { node, settled: [0; 2], reserved: 0, active: 0 }
    }

    /// Reads the file. `Ok(None)` means that there is no such file; the error says in words
    /// why an existing file can't be used.
    pub(super) fn load(dir: &Path) -> Result<Option<Cursors>, String> {
        match fs::read(dir.join(FILE)) {
            Ok(bytes) => match Cursors::decode(&bytes) {
                Some(cursors) => Ok(Some(cursors)),
                None => Err("it is damaged".to_owned()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("it can't be read: {error}")),
        }
    }

    /// Replaces the file. The new contents are on the disk when this returns.
    ///
    /// On a disk without room for a second file, the old one is overwritten in place.
    /// Otherwise no segment could ever be removed, and there would never be room again. A
    /// crash in the middle of overwriting damages the file, which costs replays.
    pub(super) fn store(&self, dir: &Path) -> io::Result<()> {
        let bytes = self.encode();
        match disk::replace(dir, FILE, &bytes) {
            Err(error) if disk::may_pass(&error) => {
                disk::overwrite(&dir.join(FILE), &bytes).map_err(|_| error)
            }
            done => done,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.node.as_bytes());
        for number in [self.settled[0], self.settled[1], self.reserved, self.active] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Cursors> {
        let (body, crc) = bytes.split_at_checked(LEN - 4)?;
        let whole = body.starts_with(MAGIC) && crc.len() == 4;
        if !whole || crc32fast::hash(body) != le32(crc)? {
            return None;
        }
        let number = |index: usize| le64(&body[24 + index * 8..]);
        Some(Cursors {
            node: Uuid::from_slice(&body[8..24]).ok()?,
            settled: [number(0)?, number(1)?],
            reserved: number(2)?,
            active: number(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_overwritten_where_there_is_no_room_for_a_second_one() {
        let dir = tempfile::tempdir().unwrap();
        let old = Cursors::new(Uuid::from_u128(7));
        disk::faults::no_room(true);
        assert!(old.store(dir.path()).is_err(), "there is none to overwrite");
        disk::faults::no_room(false);
        old.store(dir.path()).unwrap();
        let new = Cursors { settled: [5, 4], ..old };
        disk::faults::no_room(true);
        new.store(dir.path()).unwrap();
        disk::faults::no_room(false);
        assert_eq!(Cursors::load(dir.path()), Ok(Some(new)));
    }

    #[test]
    fn comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cursors::load(dir.path()), Ok(None));
        let cursors =
            Cursors { node: Uuid::from_u128(7), settled: [3, 2], reserved: 1027, active: 1 };
        cursors.store(dir.path()).unwrap();
        assert_eq!(Cursors::load(dir.path()), Ok(Some(cursors)));
        let bytes = cursors.encode();
        for at in 0..bytes.len() {
            assert_eq!(Cursors::decode(&bytes[..at]), None);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Cursors::decode(&flipped), None);
        }
    }
}
