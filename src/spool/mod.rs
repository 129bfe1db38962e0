//! The spool: a durable, segmented log between the intake and the sinks. It is the only
//! buffer of the server. One thread appends (the committer, which owns the [`SpoolWriter`]);
//! any thread may read through a [`Spool`]. All calls block on the disk, so a caller on an
//! async runtime has to move them to a thread that may block.
//!
//! ```text
//!              segment 1             segment 41                 segment 97 (active)
//!       +---------------------+ +----------------------+ +---------------------------------+
//!       | header | 1 | .. | 40 | | header | 41 | .. | 96 | | header | 97 | 98 | rows rows ... |
//!       +---------------------+ +----------------------+ +---------------------------------+
//!                            ^              ^                              ^              ^
//!                            |              |                              |              |
//!       store cursor (40) ---+              |             newest sealed batch (98)    open batch: rows
//!       live cursor (61) -------------------+                                         without a seal yet
//! ```
//!
//! Here both sinks have settled batches 1 to 40, so segment 1 may go; segment 41 stays until
//! both cursors have reached 96. Nobody but [`SpoolWriter::retire`] takes a segment that holds
//! sealed batches out of the log, and it keeps to this order:
//!
//! 1. The cursors are written to their file and synced.
//! 2. Client ids that are still within the dedupe window move from the segment to an id file, and
//!    how many events its batches have is noted.
//! 3. The index forgets the segment's batches, so that readers look among the kept segments.
//! 4. The segment is renamed into `kept/` (a damaged one into the quarantine), and both folders are
//!    synced. Kept segments go by age and by size, and before the spool or its disk is full.
//!
//! A *run* is one life of a process on this folder, with a random id. Batches are known by (run,
//! seq), and a segment holds batches of one run only:
//!
//! ```text
//!       run A                  run A        run B                     run C begins with batch 99
//!       +---------------------+ +----------+ +----------------------+ +----
//!       | A | 1 | 2 | ..  | 40 | | A | 41   | | B | 42 | ..     | 98 | | C | rows
//!       +---------------------+ +----------+ +----------------------+ +----
//!                                ^ A left this batch open in its crash. B copied it to a segment
//!                                  of its own and sealed it, still as a batch of A.
//! ```
//!
//! So whoever goes on from a copy of the folder never gives an identity that was given to other
//! contents. A crash leaves one exception: an open batch is sealed as a batch of its run, and where
//! that run goes on elsewhere (the copy was taken while it ran), it seals that batch with more rows
//! behind the same ones.
//!
//! Under [`SpoolOptions::dir`]:
//!
//! | file | what |
//! | --- | --- |
//! | `00000000000000000042.seg` | a segment, named by its first batch: a header (`segment.rs`), then records (`record.rs`, `group.rs`) |
//! | `cursors` | how far each sink has come, and how far the sequence may have run (`cursor.rs`) |
//! | `runs` | which run sealed which batches (`run_file.rs`) |
//! | `ids-00000000000000000001.log` | client ids of a segment that was removed, for the rest of the dedupe window (`ids.rs`) |
//! | `long-ids-00000498765.log`, `long-public-ids-….log` | ids of orders, refunds and webhooks of such segments, by the hour (`long_ids.rs`) |
//! | `counts` | how many events batches had that left the log (`counts.rs`) |
//! | `kept/` | segments that both sinks have settled, for a sink that lost its last writes (`kept.rs`) |
//! | `quarantine/` | damaged segments that no sink needs any more, and files of others, kept for a human to look at |
//!
//! # Invariants
//!
//! 1. A commit that returned `Ok` is on the disk: one write and one fdatasync (and, for a new
//!    segment, an fsync of the folder) come before it.
//! 2. Readers see a batch only once its seal is on the disk. What they have seen never
//!    changes: after a restart the same sequence number ("seq") has the same contents, or it
//!    is a void batch, which holds nothing.
//! 3. A batch lies in one segment. A new segment begins right after a seal.
//! 4. A seq is never given to two different batches of this folder, even if segments or cursors are
//!    lost (see `cursor::RESERVE`), and an identity (run, seq) never to different contents anywhere,
//!    copies of the folder included, but for the open batch of a crash (see above). A run is on the
//!    disk before anything is written under it, and nothing is appended to an earlier run's segment.
//! 5. The sequence has no gap: a batch whose bytes are lost is there as a void batch.
//! 6. Cursors are on the disk before a segment that they have passed leaves the log, and so are
//!    those ids of the segment that the dedupe index still needs.
//! 7. A torn end is cut; any other damage costs the batch it lies in and nothing else. No
//!    state of the files keeps the spool from opening, other than a newer format version or
//!    a disk without room for one segment header.
//! 8. A failed fsync is never retried: the writer refuses everything from then on. Linux
//!    marks pages as clean after a failed fsync, so a second one would succeed without having
//!    written them.
//! 9. A commit returns `Ok` only if the lock of the data dir is still held after its fsync
//!    (`lock.rs`); once it is lost, nothing more is written, renamed or removed.
//! 10. Kept segments delay nothing: no commit fails for want of room while there is one, together
//!    with what is unsettled they stay within `max_bytes`, and opening does not read them.

mod counts;
mod cursor;
#[cfg(not(test))]
mod disk;
#[cfg(test)]
pub(crate) mod disk;
mod error;
mod group;
mod id_window;
mod ids;
mod index;
mod kept;
mod lock;
mod long_ids;
mod node;
mod own_types_file;
mod quarantine;
mod reader;
mod record;
mod recovery;
mod restored;
mod retire;
mod room;
mod run_file;
mod segment;
/// Defects that the simulation plants, to see that it finds them; for this thread.
#[cfg(test)]
pub(crate) mod planted {
    use std::cell::Cell;

    thread_local! {
        /// A node has one run for all its life.
        pub(crate) static SAME_RUN: Cell<bool> = const { Cell::new(false) };
    }
}
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::domain::{
    batch::{Batch, BatchId, LANES, NodeId},
    runs::Runs,
    sink::Sink,
    time::Millis,
};

pub use error::SpoolError;
use error::failed;
pub use group::Group;
pub use id_window::{IdWindow, IdWindows};
pub use lock::HeldLock;
pub use node::{DataDir, DataDirError};
pub use own_types_file::OwnTypesFile;
pub use recovery::{OpenTail, Recovery};
pub use restored::{RESTORED_FILE, Restored};
pub use retire::Retired;
pub(crate) use segment::fuzzed_segment;
pub use writer::{CommitError, SpoolWriter};

/// Where the spool lies on disk and how much it may hold.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The spool's folder ([`DataDir::spool_dir`]); it is made if it isn't there.
    pub dir: PathBuf,
    /// The node whose batches these are ([`DataDir::node`]).
    pub node: NodeId,
    /// The first seal at or beyond this many bytes ends a segment. At most a quarter of
    /// `max_bytes` takes effect: only whole segments are removed, so a spool of one huge
    /// segment could never shrink.
    pub segment_bytes: u64,
    /// More bytes than this make the spool full ([`Spool::is_full`]).
    pub max_bytes: u64,
    /// For how long a segment is kept once both sinks have settled it, in ms; 0 for not at all.
    pub keep_ms: i64,
    /// How many bytes of such segments are kept; and no more than `max_bytes` leave room for.
    pub keep_bytes: u64,
}

/// What a sink still has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events in sealed batches that the sink has not settled.
    pub events: u64,
    /// Sealed batches that the sink has not settled.
    pub batches: u64,
    /// When the oldest of these batches was sealed, Unix ms; `None` where there is none.
    pub oldest_ms: Option<Millis>,
}

impl Lag {
    /// How long the oldest unsettled batch has waited at `now`, in ms; 0 where none waits.
    pub fn waits_ms(&self, now: Millis) -> Millis {
        // A batch that was lost to damage has no time of its own.
        self.oldest_ms.filter(|oldest| *oldest > 0).map_or(0, |oldest| (now - oldest).max(0))
    }
}

/// What [`Spool::open`] hands out.
#[derive(Debug)]
pub struct Opened {
    /// The handle for readers.
    pub spool: Spool,
    /// The one writer, for the committer thread.
    pub writer: SpoolWriter,
    /// What was found on disk, and what has to be sealed first.
    pub recovery: Recovery,
}

/// The handle of those who read the spool and settle its batches. A clone is a handle on the
/// same spool.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<SpoolState>,
}

/// What the readers' handles and the writer share.
#[derive(Debug)]
struct SpoolState {
    options: SpoolOptions,
    /// Locked for moments only and never across a disk access: both sinks' writers, the
    /// dispatch and the committer go through it for every batch.
    index: Mutex<index::SpoolIndex>,
    /// Segments that both sinks have settled. Where both locks are taken, the index is first.
    kept: Mutex<kept::KeptSegments>,
    /// Which run sealed which batches.
    runs: Mutex<Runs>,
    /// Batches lost to damage.
    damaged: AtomicU64,
    /// Bytes of the request that was last refused because the spool is full.
    refused: AtomicU64,
}

impl Spool {
    /// Opens the folder, repairs what a crash or a bad disk left, and hands out both ends.
    /// `now` (Unix ms) is where the id window ends. The caller holds the [`DataDir`], whose
    /// lock keeps other processes out.
    pub fn open(
        options: SpoolOptions,
        ids: impl Into<IdWindows>,
        now: Millis,
    ) -> Result<Opened, SpoolError> {
        recovery::open(options, ids.into(), now)
    }

    /// Reads a sealed batch from disk and checks every checksum. A batch whose bytes are
    /// damaged or missing comes back void, after an error in the log and a count in
    /// [`Spool::damaged`]. An error may be tried again.
    pub fn read(&self, seq: u64) -> Result<Batch, SpoolError> {
        reader::read(&self.shared, seq)
    }

    /// Notes that a sink is done with a batch. Batches may be settled in any order; a batch
    /// that the spool doesn't know is ignored, since a sink may settle it twice after a replay.
    pub fn settle(&self, sink: Sink, seq: u64) {
        self.shared.index.lock().settle(sink, seq);
    }

    /// The first sealed batch of `lane` after batch `after` that the sink has not settled.
    pub fn next(&self, sink: Sink, lane: u64, after: u64) -> Option<u64> {
        self.shared.index.lock().next(sink, lane, after)
    }

    /// The oldest sealed batch that has not left the log. Older ones may be in the kept segments
    /// ([`Spool::oldest_readable`]).
    pub fn oldest(&self) -> Option<u64> {
        self.shared.index.lock().oldest()
    }

    /// The oldest sealed batch that [`Spool::read`] may still find, in the log or in a kept segment.
    /// Some of those after it may be gone all the same, where a file was damaged.
    pub fn oldest_readable(&self) -> Option<u64> {
        let oldest = self.oldest();
        let kept = self.shared.kept.lock().oldest().map(|segment| segment.first);
        oldest.into_iter().chain(kept).min()
    }

    /// The newest batch that was ever sealed, removed ones included; 0 before the first.
    pub fn newest_sealed(&self) -> u64 {
        self.shared.index.lock().next_seq() - 1
    }

    /// The sink's cursor: it has settled this batch and all before it.
    pub fn settled(&self, sink: Sink) -> u64 {
        self.shared.index.lock().settled()[sink as usize]
    }

    /// How far a sink is behind.
    pub fn lag(&self, sink: Sink) -> Lag {
        self.shared.index.lock().lag(sink)
    }

    /// Tells how many batches of a lane the sink has not settled, for as long as the spool is open. It does
    /// not keep the spool open.
    pub fn lane_batches(&self, sink: Sink, lane: u64) -> impl Fn() -> Option<usize> + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || Some(shared.upgrade()?.index.lock().lane_batches(sink, lane) as usize)
    }

    /// Bytes of all segment files that a sink has not settled yet.
    pub fn bytes(&self) -> u64 {
        self.shared.index.lock().bytes()
    }

    /// Bytes of the segment files that both sinks have settled and that are kept for a while. They
    /// go before the spool is full.
    pub fn kept_bytes(&self) -> u64 {
        self.shared.kept.lock().bytes()
    }

    /// How many events the batches of a lane have that lie strictly between the batches `after` and
    /// `before` of this lane, also where these have left the disk; with 0 for `after`, all before
    /// `before`. `None` where that is not known: they left the disk before this was noted, or too
    /// many batches ago.
    pub fn events_of_lane(&self, after: u64, before: u64) -> Option<u64> {
        let from = match after {
            0 => (before + LANES - 1) % LANES + 1,
            _ => after.saturating_add(LANES),
        };
        // The index comes first: what leaves it is in the file by then.
        let (here, first) = self.shared.index.lock().events_of_lane(from, before)?;
        Some(here + counts::sum(&self.shared.options.dir, from, first)?)
    }

    /// Whether the spool would exceed `max_bytes` with `incoming` more bytes.
    pub fn is_full(&self, incoming: u64) -> bool {
        self.bytes().saturating_add(incoming) > self.shared.options.max_bytes
    }

    /// Notes that a request of `incoming` bytes was refused because the spool is full.
    pub fn refuse(&self, incoming: u64) {
        // A huge request, which hardly ever fits, must not make a nearly empty spool look
        // full to `refuses`.
        let noted = incoming.min(self.shared.options.max_bytes / 2);
        self.shared.refused.store(noted, Ordering::Relaxed);
    }

    /// Whether the request that was last refused because the spool is full would be refused
    /// again now.
    pub fn refuses(&self) -> bool {
        self.is_full(self.shared.refused.load(Ordering::Relaxed))
    }

    /// Bytes that are free on the spool's disk.
    pub fn room(&self) -> io::Result<u64> {
        fs4::available_space(&self.shared.options.dir)
    }

    /// `spool.max_bytes`: with so many bytes that a sink has not settled, requests are refused.
    pub fn max_bytes(&self) -> u64 {
        self.shared.options.max_bytes
    }

    /// Batches lost to damage since the process started, including those found at opening.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// The node whose batches these are.
    pub fn node(&self) -> NodeId {
        self.shared.options.node
    }

    /// The identity of batch `seq`; `None` where nobody knows any more which run sealed it.
    pub fn batch_id(&self, seq: u64) -> Option<BatchId> {
        self.shared.runs.lock().batch(seq)
    }

    /// The batch before batch `seq` in its lane; `None` where there is none, or where nobody
    /// knows any more which run sealed it.
    pub fn before(&self, seq: u64) -> Option<BatchId> {
        self.shared.runs.lock().before(seq)
    }

    /// How many events batch `seq` has, also where it has left the disk; `None` where that is not known.
    pub fn events_of(&self, seq: u64) -> Option<u64> {
        self.shared.events_of(seq)
    }

    /// How many events the batch before batch `seq` in its lane has; 0 where there is none or where
    /// that is not known.
    pub fn events_before(&self, seq: u64) -> u64 {
        self.shared.events_before(seq)
    }

    /// The runs of this data dir that are still known.
    pub fn runs(&self) -> Runs {
        self.shared.runs.lock().clone()
    }
}

impl SpoolState {
    /// Counts and reports a batch whose bytes were found damaged. It is void from now on, so
    /// it is reported once.
    fn lost(&self, seq: u64, why: &str) {
        self.index.lock().mark_void(seq);
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(seq, why, "spool: a batch is damaged, its events are lost");
    }
}
