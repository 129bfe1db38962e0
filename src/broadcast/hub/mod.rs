//! The hub: decides for each viewer whether it takes the next frame, gets a snapshot, or has to
//! go. It does no I/O itself; an [`Outlet`] does.
//!
//! ```text
//!              join                                     frame, mailbox full
//!               |                                   +------------------------+
//!               v     first frame or snapshot       |                        v
//!        NeedsSnapshot -----------------------> Following            NeedsSnapshot (slow)
//!        (joining)                                  ^                        |
//!               |                                   | snapshot, once all that|
//!               |                                   | waited was taken       |
//!               |                                   +---- (catching up) -----+
//!               |                                   |                        |
//!               | slow_timeout or silence_timeout   | silence_timeout        | slow_timeout or
//!               v                                   v                        v silence_timeout
//!               +--------------------> Closing: a Close frame was sent <-----+
//!                                        |                        |
//!                       its session ends |                        | close_timeout
//!                                        v                        v
//!                                      gone                 cut from outside
//! ```
//!
//! A viewer of the past is in a state of its own, `Playback`, until it is closed: its player sends it a frame only
//! once it has taken the one before, so it is judged by silence alone.
//!
//! The hub counts what a viewer has not taken yet: what was sent to it, minus what its session
//! says it took. A viewer that falls behind gets nothing more until it has taken everything
//! that waits for it, and then a snapshot in place of what it missed. So a slow viewer costs
//! `stream.mailbox_frames` frames and nothing else.
//!
//! actix does not poll a session whose peer does not read. Such a session takes nothing, answers
//! nothing and can't even stop. Hence the hub judges every deadline, and the last resort is a
//! cut of the connection from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use actix::Message;
use actix_web_actors::ws::CloseCode;
use hashbrown::HashMap;

use crate::broadcast::{
    by_sight::BySight, pass::Pass, playback::PlayedFrame, timeline::Texts, wire_frame::WireFrame,
};

/// The number of a viewer on this node, counted from the start of the process.
pub type ViewerId = u64;

/// What is sent to a viewer's session.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Deliver {
    /// One frame.
    Frame(WireFrame),
    /// The frames that it missed, oldest first.
    Missed(Vec<WireFrame>),
    /// The session sends a Close frame with this code and reason, and ends.
    Close(CloseCode, &'static str),
}

/// Why an offer was not put into a session's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// The mailbox is full.
    Full,
    /// The session has ended.
    Gone,
}

/// The way to one viewer. Neither call ever waits.
pub trait Outlet {
    /// Puts something into the session's mailbox.
    fn offer(&self, what: Deliver) -> Result<(), OfferError>;
    /// Ends the connection from outside.
    fn cut(&self);
}

/// What a session and the hub tell each other without a message. A message would wait in a
/// mailbox, and the hub has to know these things about a session that is not polled.
#[derive(Debug)]
pub struct Pulse {
    /// Messages that the session has taken out of its mailbox.
    taken: AtomicU64,
    /// When the peer last sent something, monotonic ms.
    heard_at: AtomicU64,
    /// Whether a Close is in the mailbox.
    closing: AtomicBool,
}

impl Pulse {
    /// The pulse of a session that starts at `now` (monotonic ms).
    pub fn new(now: u64) -> Pulse {
        Pulse {
            taken: AtomicU64::new(0),
            heard_at: AtomicU64::new(now),
            closing: AtomicBool::new(false),
        }
    }

    /// Notes that the session took one message out of its mailbox.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the peer sent something at `now` (monotonic ms), usually a pong.
    pub fn heard(&self, now: u64) {
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// How many messages the session has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether a Close is in the mailbox. Then the session drops the frames before it, which
    /// would only delay it.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// The limits of one viewer.
#[derive(Clone, Copy, Debug)]
pub struct ViewerLimits {
    /// Frames that may wait for it.
    pub mailbox_frames: u64,
    /// How long it may be unable to take a frame.
    pub slow_timeout_ms: u64,
    /// How long its peer may send nothing, not even a pong.
    pub silence_timeout_ms: u64,
    /// From the Close frame to the cut.
    pub close_timeout_ms: u64,
}

/// Where a viewer stands; the drawing at the top of the file shows the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewerState {
    /// It has been sent every frame so far.
    Following,
    /// It missed a frame, or has just joined. It gets a snapshot as soon as it has taken all
    /// that waits for it.
    NeedsSnapshot { since: u64 },
    /// It watches the past, and is sent what its player has.
    Playback,
    /// It was told to close, and is cut at `until`. An evicted viewer is cut even if its
    /// session has ended, because a peer that does not read can hold the connection open after
    /// that, too.
    Closing { until: u64, evicted: bool },
}

struct Viewer<O> {
    outlet: O,
    pulse: Arc<Pulse>,
    /// By what right it watches.
    pass: Pass,
    /// Messages that were put into its mailbox.
    sent: u64,
    state: ViewerState,
}

impl<O: Outlet> Viewer<O> {
    /// Messages that wait in its mailbox.
    fn outstanding(&self) -> u64 {
        self.sent.saturating_sub(self.pulse.taken())
    }

    /// Whether it is ready for the snapshot that it needs.
    fn takes_snapshot(&self) -> bool {
        matches!(self.state, ViewerState::NeedsSnapshot { .. }) && self.outstanding() == 0
    }

    fn offer(&mut self, what: Deliver) -> Result<(), OfferError> {
        self.outlet.offer(what)?;
        self.sent += 1;
        Ok(())
    }

    fn close(&mut self, code: CloseCode, why: &'static str, until: u64) {
        self.pulse.closing.store(true, Ordering::Relaxed);
        // If the mailbox is full, the viewer is not told why. The cut follows in any case.
        let _ = self.offer(Deliver::Close(code, why));
        self.state = ViewerState::Closing { until, evicted: is_eviction(code) };
    }
}

/// Whether a viewer that is closed with this code did something wrong.
fn is_eviction(code: CloseCode) -> bool {
    matches!(code, CloseCode::Again | CloseCode::Policy)
}

/// The viewers of this node.
pub struct Hub<O> {
    viewers: HashMap<ViewerId, Viewer<O>>,
    limits: ViewerLimits,
}

impl<O: Outlet> Hub<O> {
    /// No viewers yet.
    pub fn new(limits: ViewerLimits) -> Hub<O> {
        Hub { viewers: HashMap::new(), limits }
    }

    /// How many viewers there are, including those that are closing.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// How many messages wait for all sessions, and for the one for which most wait.
    pub fn waiting(&self) -> [u64; 2] {
        let waiting = self.viewers.values().map(Viewer::outstanding);
        waiting.fold([0, 0], |[all, most], one| [all + one, most.max(one)])
    }

    /// Adds a viewer, which needs a first frame.
    pub fn join(&mut self, id: ViewerId, outlet: O, pulse: Arc<Pulse>, pass: Pass, now: u64) {
        let state = ViewerState::NeedsSnapshot { since: now };
        self.viewers.insert(id, Viewer { outlet, pulse, pass, sent: 0, state });
    }

    /// Adds a viewer that watches the past.
    pub fn join_playback(&mut self, id: ViewerId, outlet: O, pulse: Arc<Pulse>, pass: Pass) {
        let state = ViewerState::Playback;
        self.viewers.insert(id, Viewer { outlet, pulse, pass, sent: 0, state });
    }

    /// Sends a viewer what its player has. At an end of the playback it is closed, and cut if it has not gone
    /// `close_timeout_ms` after `now`.
    pub fn play(&mut self, id: ViewerId, what: PlayedFrame, now: u64) {
        let until = now + self.limits.close_timeout_ms;
        let viewer = self.viewers.get_mut(&id);
        let Some(viewer) = viewer.filter(|it| it.state == ViewerState::Playback) else { return };
        let frame = match what {
            PlayedFrame::Frame(frame) => frame,
            PlayedFrame::End(code, why) => return viewer.close(code, why, until),
        };
        match viewer.offer(Deliver::Frame(frame)) {
            Ok(()) => {}
            // The player waits for what was not taken, so this can't be; a frame that is missed would make every
            // sum after it wrong.
            Err(OfferError::Full) => viewer.close(CloseCode::Again, "too slow; ask again", until),
            Err(OfferError::Gone) => self.leave(id),
        }
    }

    /// Notes that a viewer's session has ended. An evicted viewer stays until it is cut.
    pub fn leave(&mut self, id: ViewerId) {
        let state = self.viewers.get(&id).map(|viewer| viewer.state);
        if !matches!(state, Some(ViewerState::Closing { evicted: true, .. })) {
            self.viewers.remove(&id);
        }
    }

    /// Sends a viewer its first frame or what it missed; from then on it follows.
    pub fn follow(&mut self, id: ViewerId, first: Deliver) {
        let Some(viewer) = self.viewers.get_mut(&id) else { return };
        // A viewer that came back and missed nothing follows at once.
        let nothing = matches!(&first, Deliver::Missed(frames) if frames.is_empty());
        match if nothing { Ok(()) } else { viewer.offer(first) } {
            Ok(()) => viewer.state = ViewerState::Following,
            Err(OfferError::Full) => {}
            Err(OfferError::Gone) => self.leave(id),
        }
    }

    /// Sends a frame to all viewers that follow. One without room for it stops following and
    /// needs a snapshot. If the frame itself `is_snapshot`, it also goes to those that need one.
    /// Each gets the text of its sight.
    pub fn send(&mut self, frame: &Texts, is_snapshot: bool, now: u64) {
        let room = self.limits.mailbox_frames;
        self.viewers.retain(|_, viewer| {
            let takes = match viewer.state {
                ViewerState::Following => viewer.outstanding() < room,
                ViewerState::NeedsSnapshot { .. } if is_snapshot => viewer.outstanding() == 0,
                ViewerState::NeedsSnapshot { .. }
                | ViewerState::Playback
                | ViewerState::Closing { .. } => return true,
            };
            // Whoever has joined has a text. Should one be missing, the viewer needs a snapshot.
            let text = frame[viewer.pass.sight].as_ref().filter(|_| takes);
            match text.map(|text| viewer.offer(Deliver::Frame(text.clone()))) {
                Some(Ok(())) => viewer.state = ViewerState::Following,
                Some(Err(OfferError::Gone)) => return false,
                Some(Err(OfferError::Full)) | None => {
                    if viewer.state == ViewerState::Following {
                        viewer.state = ViewerState::NeedsSnapshot { since: now };
                    }
                }
            }
            true
        });
    }

    /// The sights of the viewers that need a snapshot and are ready for it.
    pub fn wants_snapshot(&self) -> BySight<bool> {
        self.sights(Viewer::takes_snapshot)
    }

    /// The sights that viewers of the live stream have.
    pub fn watched(&self) -> BySight<bool> {
        self.sights(|viewer| viewer.state != ViewerState::Playback)
    }

    /// The sights of some viewers.
    fn sights(&self, of: impl Fn(&Viewer<O>) -> bool) -> BySight<bool> {
        let mut sights = BySight::default();
        for viewer in self.viewers.values().filter(|viewer| of(viewer)) {
            sights[viewer.pass.sight] = true;
        }
        sights
    }

    /// Sends a snapshot to all viewers that need one and are ready for it, where there is one for their
    /// sight. They follow from then on.
    pub fn serve_snapshot(&mut self, snapshots: &Texts) {
        self.viewers.retain(|_, viewer| {
            if viewer.takes_snapshot()
                && let Some(snapshot) = &snapshots[viewer.pass.sight]
            {
                match viewer.offer(Deliver::Frame(snapshot.clone())) {
                    Ok(()) => viewer.state = ViewerState::Following,
                    Err(OfferError::Full) => {}
                    Err(OfferError::Gone) => return false,
                }
            }
            true
        });
    }

    /// Closes slow viewers (1013) and silent ones (1008), and cuts those that did not end in
    /// time after a Close. Returns how many were found slow or silent.
    pub fn judge(&mut self, now: u64) -> u64 {
        let ViewerLimits { slow_timeout_ms, silence_timeout_ms, close_timeout_ms, .. } =
            self.limits;
        let mut evicted = 0;
        self.viewers.retain(|id, viewer| {
            let heard_at = viewer.pulse.heard_at.load(Ordering::Relaxed);
            let silent = now.saturating_sub(heard_at) > silence_timeout_ms;
            let verdict = match viewer.state {
                ViewerState::Closing { until, .. } if now >= until => {
                    viewer.outlet.cut();
                    return false;
                }
                ViewerState::Closing { .. } => None,
                ViewerState::NeedsSnapshot { since }
                    if now.saturating_sub(since) > slow_timeout_ms =>
                {
                    Some((CloseCode::Again, "too slow; reconnect later"))
                }
                _ if silent => Some((CloseCode::Policy, "no pong")),
                ViewerState::Following
                | ViewerState::Playback
                | ViewerState::NeedsSnapshot { .. } => None,
            };
            if let Some((code, why)) = verdict {
                tracing::info!(viewer = id, why, "viewer evicted");
                viewer.close(code, why, now + close_timeout_ms);
                evicted += 1;
            }
            true
        });
        evicted
    }

    /// Closes the viewers whose passes hold no more (1008): their session is over, or what let them in was
    /// revoked.
    pub fn expel(&mut self, now: u64) {
        let until = now + self.limits.close_timeout_ms;
        for viewer in self.viewers.values_mut() {
            let open = !matches!(viewer.state, ViewerState::Closing { .. });
            if open && !viewer.pass.holds() {
                viewer.close(CloseCode::Policy, "access has ended", until);
            }
        }
    }

    /// Tells up to `n` viewers that the server stops (1001). Each is cut at `until` if it has
    /// not gone by then.
    pub fn close_some(&mut self, n: usize, until: u64) {
        let open = |viewer: &&mut Viewer<O>| !matches!(viewer.state, ViewerState::Closing { .. });
        for viewer in self.viewers.values_mut().filter(open).take(n) {
            viewer.close(CloseCode::Away, "the server stops; reconnect", until);
        }
    }

    /// Cuts all viewers that are left, and returns how many.
    pub fn cut_all(&mut self) -> usize {
        self.viewers.drain().map(|(_, viewer)| viewer.outlet.cut()).count()
    }
}

#[cfg(test)]
mod tests;
