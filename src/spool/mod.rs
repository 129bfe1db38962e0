//! The spool: a durable, segmented log between the intake and the sinks. It is the only
//! buffer of the server. One thread appends ([`SpoolWriter`], the committer's), any thread
//! reads ([`Spool`]). Blocking I/O only; who calls is responsible for the thread.
//!
//! Under [`SpoolOptions::dir`]:
//!
//! | file | what |
//! | --- | --- |
//! | `00000000000000000042.seg` | a segment, named by its first batch: header, then records (`record.rs`, `group.rs`) |
//! | `cursors` | how far each sink is, how far the sequence may have run (`cursor.rs`) |
//! | `ids-00000000000000000001.log` | client ids of a segment that is gone, within the dedupe window (`ids.rs`) |
//! | `quarantine/` | damaged segments that are no longer needed, kept for a human to look at |
//!
//! # Invariants
//!
//! 1. A commit that returned `Ok` is on the disk: one write, one fdatasync (and, for a new
//!    segment, an fsync of the folder) come before it.
//! 2. Readers see a batch only once its seal is on the disk. What they have seen never
//!    changes: after a restart the same seq has the same contents, or is void.
//! 3. A batch lies in one segment. Segments roll right after a seal.
//! 4. A seq is never given to two different batches, even if segments or cursors are lost (see
//!    `cursor::RESERVE`) or both are (the node gets a new identity, see [`DataDir`]). Beyond it:
//!    a disk that cuts the end of the newest file after it said that it was kept.
//! 5. The sequence has no gap: a batch whose bytes are lost is there as a void batch.
//! 6. Cursors are on the disk before a segment that they have passed is unlinked, and so are
//!    its ids that the dedupe index still needs.
//! 7. A torn end is cut; any other damage costs the batch it lies in and nothing else. No
//!    state of the files keeps the spool from opening, other than a newer format version or
//!    a disk without room for one segment header.
//! 8. A failed fsync is never retried: the writer refuses everything from then on.

mod cursor;
mod disk;
mod group;
mod ids;
mod index;
mod node;
mod quarantine;
mod reader;
mod record;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::domain::{
    batch::{Batch, NodeId},
    delta::DeltaError,
    time::Millis,
};

pub use group::Group;
pub use node::{DataDir, DataDirError};
pub use recovery::{OpenTail, Recovery};
pub use writer::{CommitError, Retired, SpoolWriter};

/// Where the spool lies and how much it may hold.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Its folder, made if it isn't there ([`DataDir::spool_dir`]).
    pub dir: PathBuf,
    /// Whose batches these are ([`DataDir::node`]).
    pub node: NodeId,
    /// A segment rolls at the first seal at or beyond this; at most a quarter of `max_bytes`
    /// takes effect, so that a full spool can always shrink.
    pub segment_bytes: u64,
    /// Where [`Spool::is_full`] begins.
    pub max_bytes: u64,
}

/// Which client ids are kept for the dedupe index.
#[derive(Clone, Copy, Debug)]
pub struct IdWindow {
    /// Not older than this, in ms.
    pub window_ms: i64,
    /// Not more than these many; the oldest go first.
    pub max_ids: usize,
}

/// A kind of consumer. Each has its own cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sink {
    /// Where events are kept for good.
    Store,
    /// The live counters.
    Live,
}

impl Sink {
    /// Both.
    pub const ALL: [Sink; 2] = [Sink::Store, Sink::Live];

    /// The metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Sink::Store => "store",
            Sink::Live => "live",
        }
    }
}

impl std::fmt::Display for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a sink still has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events in sealed batches that it has not settled.
    pub events: u64,
    /// Those batches.
    pub batches: u64,
    /// When the oldest of them was sealed, Unix ms.
    pub oldest_ms: Option<Millis>,
}

impl Lag {
    /// How long the oldest of them has waited at `now`, in ms; 0 where none waits.
    pub fn waits_ms(&self, now: Millis) -> Millis {
        self.oldest_ms.map_or(0, |oldest| (now - oldest).max(0))
    }
}

/// Why the spool could not be opened, read or tidied up.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk or the permissions don't allow it.
    #[error("spool: can't {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version of Floodmark wrote this.
    #[error(
        "spool: {path} has format version {version}, this floodmark reads version \
         {current}: start the version that wrote it", current = segment::VERSION
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// Not in the spool: never sealed, or settled by both sinks and removed.
    #[error("spool: batch {seq} is not here")]
    Gone {
        /// The batch asked for.
        seq: u64,
    },
    /// Its bytes are intact, but a later version wrote its delta.
    #[error("spool: batch {seq}: {source}: start the version that wrote it")]
    Undecodable {
        /// The batch asked for.
        seq: u64,
        /// What is wrong with it.
        source: DeltaError,
    },
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SpoolError + 'a {
    move |source| SpoolError::Io { what, path: path.to_owned(), source }
}

/// An opened spool.
#[derive(Debug)]
pub struct Opened {
    /// For readers.
    pub spool: Spool,
    /// For the committer thread.
    pub writer: SpoolWriter,
    /// What was found.
    pub recovery: Recovery,
}

/// The readers' handle; a clone is the same spool.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<SpoolState>,
}

#[derive(Debug)]
struct SpoolState {
    options: SpoolOptions,
    index: Mutex<index::SpoolIndex>,
    damaged: AtomicU64,
    /// Bytes of what was last refused because the spool is full.
    refused: AtomicU64,
}

impl Spool {
    /// Opens the folder, repairs what a crash or a bad disk left, and hands out both ends.
    /// `now` (Unix ms) is where the id window ends. The caller holds the [`DataDir`], whose
    /// lock keeps other processes out.
    pub fn open(options: SpoolOptions, ids: IdWindow, now: Millis) -> Result<Opened, SpoolError> {
        recovery::open(options, ids, now)
    }

    /// Reads a sealed batch from disk and checks every checksum. A batch whose bytes are
    /// damaged or missing comes back void, after an error in the log and a count in
    /// [`Spool::damaged`]. An error may be tried again.
    pub fn read(&self, seq: u64) -> Result<Batch, SpoolError> {
        reader::read(&self.shared, seq)
    }

    /// Notes that a sink is done with a batch, in whatever order. Unknown ones are ignored.
    pub fn settle(&self, sink: Sink, seq: u64) {
        self.shared.index.lock().settle(sink, seq);
    }

    /// The first unsettled sealed batch of this lane after `after`.
    pub fn next(&self, sink: Sink, lane: u64, after: u64) -> Option<u64> {
        self.shared.index.lock().next(sink, lane, after)
    }

    /// The oldest sealed batch that can be read.
    pub fn oldest(&self) -> Option<u64> {
        self.shared.index.lock().oldest()
    }

    /// The newest sealed batch there ever was; 0 for none.
    pub fn newest_sealed(&self) -> u64 {
        self.shared.index.lock().next_seq() - 1
    }

    /// This batch and all before it are settled by the sink.
    pub fn settled(&self, sink: Sink) -> u64 {
        self.shared.index.lock().settled()[sink as usize]
    }

    /// What a sink still has before it.
    pub fn lag(&self, sink: Sink) -> Lag {
        self.shared.index.lock().lag(sink)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.index.lock().bytes()
    }

    /// Whether `incoming` more bytes would be beyond `max_bytes`.
    pub fn is_full(&self, incoming: u64) -> bool {
        self.bytes().saturating_add(incoming) > self.shared.options.max_bytes
    }

    /// Notes that so many bytes were refused because it is full.
    pub fn refuse(&self, incoming: u64) {
        // One that hardly ever fits must not make it look full when it is nearly empty.
        let noted = incoming.min(self.shared.options.max_bytes / 2);
        self.shared.refused.store(noted, Ordering::Relaxed);
    }

    /// Whether what was last refused for want of room would be refused again.
    pub fn refuses(&self) -> bool {
        self.is_full(self.shared.refused.load(Ordering::Relaxed))
    }

    /// Bytes that its disk has room for.
    pub fn room(&self) -> io::Result<u64> {
        fs4::available_space(&self.shared.options.dir)
    }

    /// Batches lost to damage since the process started, those found at opening included.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// Whose batches these are.
    pub fn node(&self) -> NodeId {
        self.shared.options.node
    }
}

impl SpoolState {
    /// Counts and reports a batch lost to damage, once.
    fn lost(&self, seq: u64, why: &str) {
        self.index.lock().mark_void(seq);
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(seq, why, "spool: a batch is damaged, its events are lost");
    }
}

/// For fuzzing: a segment that holds `data`, either as it is or cut into records by (kind, u16
/// length, payload), each with the right checksums.
pub(crate) fn fuzzed_segment(node: NodeId, mut data: &[u8], framed: bool) -> Vec<u8> {
    let mut out = segment::header(node, 1);
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
