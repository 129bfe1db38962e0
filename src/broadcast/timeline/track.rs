//! The frames of one sight. All sights have the same frames with the same numbers, and what is in a frame
//! differs; so each has an epoch of its own, and nobody who sees something else from now on goes on from
//! frames of before.

use crate::{
    broadcast::{
        by_sight::BySight,
        history::{FrameHistory, HistoryLimits},
        timeline::CachedSnapshot,
    },
    domain::access::Sight,
};

/// What is kept of the frames of one sight.
pub(super) struct Track {
    /// The name of this run of its frames.
    pub epoch: String,
    /// The newest frames, for viewers that come back.
    pub history: FrameHistory,
    /// The newest snapshot.
    pub snapshot: Option<CachedSnapshot>,
    /// When a viewer was last seen to follow it, monotonic ms.
    watched_at: u64,
}

/// The tracks of the sights that are watched. That of those who see everything is always there.
pub(super) struct Tracks {
    all: BySight<Option<Track>>,
    /// The name of the run of the stream.
    epoch: String,
    kept: HistoryLimits,
    /// How many tracks were laid so far.
    laid: usize,
}

impl Tracks {
    /// The track of those who see everything, before the first frame.
    pub fn new(epoch: String, kept: HistoryLimits, monotonic: u64) -> Tracks {
        let mut tracks = Tracks { all: BySight::default(), epoch, kept, laid: 0 };
        tracks.lay(Sight::Everything, 0, monotonic);
        tracks
    }

    /// The track of a sight that has a viewer now. Where it is new, it begins after frame `seq`.
    pub fn lay(&mut self, sight: Sight, seq: u64, monotonic: u64) -> &mut Track {
        let Tracks { all, epoch, kept, laid } = self;
        let track = all[sight].get_or_insert_with(|| {
            // Without frames of its own since then, a track that was there before is another one.
            let name = if *laid == 0 { epoch.clone() } else { format!("{epoch}.{laid}") };
            *laid += 1;
            let history = FrameHistory::new(*kept, seq);
            Track { epoch: name, history, snapshot: None, watched_at: monotonic }
        });
        track.watched_at = monotonic;
        track
    }

    /// The track of a sight, if it has one.
    pub fn get(&mut self, sight: Sight) -> Option<&mut Track> {
        self.all[sight].as_mut()
    }

    /// Makes something of each track.
    pub fn map<T>(&mut self, mut make: impl FnMut(Sight, &mut Track) -> T) -> BySight<Option<T>> {
        self.all.map(|sight, track| track.as_mut().map(|track| make(sight, track)))
    }

    /// Gives up the tracks that nobody has followed for `idle_ms`: a viewer that was away for longer gets a
    /// snapshot in any case.
    pub fn prune(&mut self, watched: &BySight<bool>, monotonic: u64, idle_ms: u64) {
        for sight in Sight::ALL {
            let Some(track) = &mut self.all[sight] else { continue };
            if watched[sight] || sight == Sight::Everything {
                track.watched_at = monotonic;
            } else if monotonic > track.watched_at + idle_ms {
                self.all[sight] = None;
            }
        }
    }
}
