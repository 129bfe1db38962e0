//! The file `runs`: which run sealed which batches of the spool ([`Runs`]).
//!
//! It is replaced as a whole, and before anything is written under a new run. If it is lost, it is
//! made again from the headers of the segments, each of which names its run.
//!
//! ```text
//! 8 bytes magic | u32 version | for each run: 16 bytes run, u64 its first batch
//! | u32 crc32 of all before                                           (little-endian)
//! ```

use std::{fs, io, path::Path};

use uuid::Uuid;

use crate::{
    domain::{
        batch::{BatchId, LANES, NodeId, RunId},
        runs::Runs,
    },
    failpoint::kill_point,
    spool::{
        SpoolWriter, disk, kept,
        record::{le32, le64},
        segment,
    },
};

/// How many runs are remembered at least, each in 24 bytes. A sink that comes back with an old state
/// may have nothing newer than the batches of one of them, and is then known to lack what came after.
pub(super) const REMEMBERED: usize = 256;

pub(super) const FILE: &str = "runs";
const MAGIC: &[u8; 8] = b"FLOODRUN";
const VERSION: u32 = 1;
/// Bytes before the first run.
const HEAD: usize = 12;
/// Bytes of a run.
const ENTRY: usize = 24;

/// Reads the file. `Ok(None)` means that there is no such file; the error says in words why an
/// existing one can't be used.
pub(super) fn load(dir: &Path) -> Result<Option<Runs>, String> {
    match fs::read(dir.join(FILE)) {
        Ok(bytes) => decode(&bytes).map(Some).ok_or_else(|| "is damaged".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("can't be read: {error}")),
    }
}

/// Replaces the file. The new contents are on the disk when this returns.
pub(super) fn store(dir: &Path, runs: &Runs) -> io::Result<()> {
    disk::replace(dir, FILE, &encode(runs))
}

/// Finds out from the headers of the segments and of the kept segments (each by its first batch)
/// what the file said. A data dir from before there were runs has the node's identity in all
/// headers: that node had one run, which began with batch 1.
pub(super) fn rebuild(dir: &Path, node: NodeId, segments: &[u64], kept: &[u64]) -> Runs {
    let kept_dir = dir.join(kept::FOLDER);
    let mut headers: Vec<segment::Header> = kept
        .iter()
        .map(|&first| segment::path(&kept_dir, first))
        .chain(segments.iter().map(|&first| segment::path(dir, first)))
        .filter_map(|path| segment::read_header(&path))
        .filter(|header| header.first < u64::MAX / 2)
        .collect();
    headers.sort_by_key(|header| header.first);
    let mut runs = Runs::default();
    for header in headers {
        if runs.newest().is_none_or(|(run, _)| run != header.run) {
            let is_first = runs.newest().is_none() && header.run == node;
            runs.begin(header.run, if is_first { 1 } else { header.first });
        }
    }
    runs
}

impl SpoolWriter {
    /// Begins a new run, and returns its first batch. The open batch, if one is on the disk, is
    /// still sealed under the run before. A run that has sealed nothing is as good as a new one,
    /// so it goes on then.
    pub fn begin_run(&mut self) -> BatchId {
        let first = self.next_seq + u64::from(!self.active.at_seal());
        let mut runs = self.shared.runs.lock();
        match runs.newest() {
            Some((run, begins)) if begins >= first => BatchId { run, seq: begins },
            _ => {
                let id = BatchId { run: RunId::new_v4(), seq: first };
                runs.begin(id.run, first);
                self.runs_stored = false;
                id
            }
        }
    }

    /// The run that batch `seq` belongs to.
    pub(super) fn run_of(&self, seq: u64) -> RunId {
        self.shared.runs.lock().batch(seq).map_or(RunId::nil(), |id| id.run)
    }

    /// Writes the file of runs, without those that no batch here needs any more.
    pub(super) fn store_runs(&mut self) -> io::Result<()> {
        let shared = &self.shared;
        let kept = shared.kept.lock().oldest().map(|segment| segment.first);
        let oldest = shared.index.lock().oldest().into_iter().chain(kept).min();
        let runs = {
            let mut runs = shared.runs.lock();
            let oldest = oldest.unwrap_or(self.next_seq).saturating_sub(LANES);
            runs.forget_before(oldest, REMEMBERED);
            runs.clone()
        };
        store(&shared.options.dir, &runs)?;
        kill_point!("spool-run-stored");
        self.runs_stored = true;
        Ok(())
    }
}

fn encode(runs: &Runs) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    for (run, first) in runs.iter() {
        out.extend_from_slice(run.as_bytes());
        out.extend_from_slice(&first.to_le_bytes());
    }
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Runs> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let entries = body.get(HEAD..)?;
    let whole = body.starts_with(MAGIC) && le32(&body[8..])? == VERSION;
    if !whole || entries.len() % ENTRY != 0 || crc32fast::hash(body) != le32(crc)? {
        return None;
    }
    let mut runs = Runs::default();
    for entry in entries.chunks_exact(ENTRY) {
        runs.begin(Uuid::from_slice(&entry[..16]).ok()?, le64(&entry[16..])?);
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), Ok(None));
        let mut runs = Runs::default();
        runs.begin(Uuid::from_u128(7), 1);
        runs.begin(Uuid::from_u128(8), 41);
        store(dir.path(), &runs).unwrap();
        assert_eq!(load(dir.path()), Ok(Some(runs.clone())));
        let bytes = encode(&runs);
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped), None);
        }
    }
}
