//! Kept segments: those that both sinks have settled stay in `kept/` for a while, for a sink that
//! comes back with an older state and has to be given their batches again.
//!
//! ```text
//!   spool/    41.seg  97.seg          in the index, unsettled batches among them
//!                |  settled by both: retire() renames it
//!                v
//!   spool/kept/  1.seg  9.seg  41.seg       oldest go first: by age, by bytes, for room
//! ```
//!
//! Opening the spool looks at the names only, however many there are. Where the batches of a kept
//! segment lie is found out when the first of them is read.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    domain::{
        batch::{Batch, BatchId},
        time::{Millis, now_ms},
    },
    spool::{
        SpoolError, SpoolState, disk, failed,
        group::{SEAL_NUMBERS, parse_seal_numbers},
        reader,
        record::{self, HEAD},
        segment::{self, HEADER},
    },
};

/// The folder of kept segments, inside the spool's.
pub(super) const FOLDER: &str = "kept";

/// Segments whose batches' places are remembered. A sink that is given batches again goes through
/// one segment after the other, its four lanes nearly side by side.
const REMEMBERED: usize = 2;

/// A segment that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptSegment {
    /// Its first batch; the file is named by it.
    pub first: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// When both sinks were done with it, Unix ms.
    pub since: Millis,
}

/// Where a batch lies in its segment.
#[derive(Clone, Copy, Debug)]
struct BatchPlace {
    seq: u64,
    offset: u64,
    len: u64,
    events: u64,
}

/// All kept segments. It does no I/O, so that readers and the writer may share it behind a lock.
#[derive(Debug, Default)]
pub(super) struct KeptSegments {
    /// Ascending by first batch.
    segments: VecDeque<KeptSegment>,
    /// Bytes of all of them.
    bytes: u64,
    /// Where the batches of some segments lie, by first batch of the segment.
    places: VecDeque<(u64, Arc<[BatchPlace]>)>,
}

impl KeptSegments {
    /// The segments in the folder, by their names; none where there is no such folder. The time of
    /// the last change of a file is taken for when it came there; a time in the future is not
    /// believed.
    pub(super) fn list(dir: &Path, now: Millis) -> KeptSegments {
        let mut found: Vec<KeptSegment> = fs::read_dir(dir.join(FOLDER))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let first = segment::parse_name(entry.file_name().to_str()?)?;
                let known = entry.metadata().ok()?;
                let changed = known.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
                let since = Millis::try_from(changed.as_millis()).ok()?.min(now);
                Some(KeptSegment { first, bytes: known.len(), since })
            })
            .collect();
        found.sort_unstable_by_key(|segment| segment.first);
        let bytes = found.iter().map(|segment| segment.bytes).sum();
        KeptSegments { segments: found.into(), bytes, places: VecDeque::new() }
    }

    /// Bytes of all kept segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first batches of all, ascending.
    pub(super) fn firsts(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().map(|segment| segment.first)
    }

    /// The oldest segment.
    pub(super) fn oldest(&self) -> Option<KeptSegment> {
        self.segments.front().copied()
    }

    /// Takes one more segment in, in the place of one with the same name.
    pub(super) fn push(&mut self, new: KeptSegment) {
        self.remove(new.first);
        let at = self.segments.partition_point(|segment| segment.first < new.first);
        self.segments.insert(at, new);
        self.bytes += new.bytes;
    }

    /// Forgets a segment.
    pub(super) fn remove(&mut self, first: u64) {
        if let Ok(at) = self.segments.binary_search_by_key(&first, |segment| segment.first) {
            self.bytes -= self.segments.remove(at).map_or(0, |segment| segment.bytes);
        }
        self.places.retain(|(of, _)| *of != first);
    }

    /// The segment that batch `seq` lies in, if it is here at all; with the places of its batches,
    /// if these are known.
    fn find(&self, seq: u64) -> Option<(u64, Option<Arc<[BatchPlace]>>)> {
        let after = self.segments.partition_point(|segment| segment.first <= seq);
        let first = self.segments.get(after.checked_sub(1)?)?.first;
        let places = self.places.iter().find(|(of, _)| *of == first);
        Some((first, places.map(|(_, places)| places.clone())))
    }

    /// How many events batch `seq` has, if it lies in a segment whose places are remembered.
    pub(super) fn events_of(&self, seq: u64) -> Option<u64> {
        let (_, places) = self.find(seq)?;
        places?.iter().rfind(|place| place.seq == seq).map(|place| place.events)
    }

    fn remember(&mut self, first: u64, places: Arc<[BatchPlace]>) {
        self.places.retain(|(of, _)| *of != first);
        self.places.push_back((first, places));
        if self.places.len() > REMEMBERED {
            self.places.pop_front();
        }
    }
}

/// Where a kept segment lies.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    segment::path(&dir.join(FOLDER), first)
}

/// Moves a segment that both sinks have settled among the kept ones. Both folders have to be
/// synced afterwards, this one first, so that a power cut leaves two names and not none.
pub(super) fn take(dir: &Path, first: u64) -> io::Result<()> {
    fs::create_dir_all(dir.join(FOLDER))?;
    let from = segment::path(dir, first);
    // After a restart the file's time says since when it is kept. A wrong one makes it go too
    // early or too late, which is no reason not to keep it.
    let _ = File::options()
        .write(true)
        .open(&from)
        .and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_millis(now_ms() as u64)));
    disk::rename(&from, &path(dir, first))
}

/// Reads a batch from the kept segments, with every checksum checked. What is damaged here was
/// delivered to both sinks before, so it is reported and counts as gone.
pub(super) fn read(shared: &SpoolState, id: BatchId) -> Result<Batch, SpoolError> {
    let gone = SpoolError::Gone { seq: id.seq };
    let Some((first, places)) = shared.kept.lock().find(id.seq) else { return Err(gone) };
    let dir = &shared.options.dir;
    let file = match open(dir, first) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone),
        Err(error) => return Err(failed("read", &path(dir, first))(error)),
    };
    let places = match places {
        Some(places) => places,
        None => {
            let places: Arc<[BatchPlace]> =
                places_in(&file, id).map_err(failed("read", &path(dir, first)))?.into();
            shared.kept.lock().remember(first, places.clone());
            places
        }
    };
    let Some(place) = places.iter().rfind(|place| place.seq == id.seq) else { return Err(gone) };
    let mut bytes = vec![0; place.len as usize];
    match file.read_exact_at(&mut bytes, place.offset) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(failed("read", &path(dir, first))(error));
        }
        read => {
            if read.is_ok()
                && let Some(batch) = reader::decode(id, Bytes::from(bytes))?
            {
                return Ok(batch);
            }
        }
    }
    let (seq, path) = (id.seq, path(dir, first));
    tracing::error!(seq, ?path, "spool: a kept batch is damaged and counts as gone");
    Err(gone)
}

/// Opens a kept segment. One that `retire` has announced and not moved yet is still in the spool's
/// folder.
fn open(dir: &Path, first: u64) -> io::Result<File> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let kept = || File::open(path(dir, first));
    match kept() {
        Err(error) if missing(&error) => match File::open(segment::path(dir, first)) {
            Err(error) if missing(&error) => kept(),
            opened => opened,
        },
        opened => opened,
    }
}

/// Where the batches of a segment lie. Only the heads of its records are read, and the numbers of
/// its seals; whoever reads a batch checks its bytes. The places end with the first head that is
/// damaged. There are none if the segment is not of the run that `id` names.
fn places_in(file: &File, id: BatchId) -> io::Result<Vec<BatchPlace>> {
    let len = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    reader.seek(SeekFrom::Start(0))?;
    let mut places = Vec::new();
    let mut header = [0; HEADER];
    if len < HEADER as u64 {
        return Ok(places);
    }
    reader.read_exact(&mut header)?;
    if segment::parse_header(&header).is_none_or(|header| header.run != id.run) {
        let seq = id.seq;
        tracing::error!(seq, "spool: a kept segment has a damaged header or is of another run");
        return Ok(places);
    }
    let mut at = HEADER as u64;
    let mut head = [0; HEAD];
    while at + (HEAD as u64) < len {
        reader.read_exact(&mut head)?;
        let Some((kind, payload)) = record::head(&head) else { break };
        let end = at + (HEAD + payload) as u64;
        if end > len {
            break;
        }
        let mut read = 0;
        if kind == record::SEAL && payload >= SEAL_NUMBERS {
            let mut numbers = [0; SEAL_NUMBERS];
            reader.read_exact(&mut numbers)?;
            read = SEAL_NUMBERS;
            if let Some(seal) = parse_seal_numbers(&numbers)
                && let Some(offset) = at.checked_sub(seal.bytes)
            {
                let (seq, events, len) = (seal.seq, seal.events, end - offset);
                places.push(BatchPlace { seq, offset, len, events });
            }
        }
        reader.seek_relative((payload - read) as i64)?;
        at = end;
    }
    if at < len {
        let seq = id.seq;
        tracing::error!(seq, at, len, "spool: a kept segment has bytes that are no whole batch");
    }
    Ok(places)
}
