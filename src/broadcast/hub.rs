//! The hub: for each viewer, whether it takes the next frame, gets a snapshot, or has to
//! go. Pure but for what an [`Outlet`] does.
//!
//! What a viewer has not taken yet is counted here: what was sent to it, minus what its
//! session says it took. A viewer that falls behind gets nothing more until it has taken all
//! that waits for it, and then a snapshot in place of what it missed; so a slow viewer costs
//! `stream.mailbox_frames` and nothing else. A session whose peer does not read is not
//! polled: it takes nothing, answers nothing and can't even stop; hence every deadline is
//! judged here, and the last word is a cut from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use actix::Message;
use actix_web_actors::ws::CloseCode;
use hashbrown::HashMap;

use crate::broadcast::wire_frame::WireFrame;

/// A viewer on this node, since its start.
pub type ViewerId = u64;

/// What is sent to a viewer's session.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Deliver {
    /// One frame.
    Frame(WireFrame),
    /// Frames it missed, oldest first.
    Missed(Vec<WireFrame>),
    /// Say this and end.
    Close(CloseCode, &'static str),
}

/// Why a session did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// Its mailbox is full.
    Full,
    /// It has ended.
    Gone,
}

/// The way to one viewer. Neither call ever waits.
pub trait Outlet {
    /// Puts something into the session's mailbox.
    fn offer(&self, what: Deliver) -> Result<(), OfferError>;
    /// Ends the connection from outside.
    fn cut(&self);
}

/// What session and hub tell each other without a message.
#[derive(Debug)]
pub struct Pulse {
    taken: AtomicU64,
    heard_at: AtomicU64,
    closing: AtomicBool,
}

impl Pulse {
    /// A session that starts now (monotonic ms).
    pub fn new(now: u64) -> Pulse {
        Pulse {
            taken: AtomicU64::new(0),
            heard_at: AtomicU64::new(now),
            closing: AtomicBool::new(false),
        }
    }

    /// The session took one message out of its mailbox.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// The peer sent something, a pong above all (monotonic ms).
    pub fn heard(&self, now: u64) {
        self.heard_at.store(now, Ordering::Relaxed);
    }

    /// A Close is in the mailbox: frames before it would only keep it from arriving.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// The limits of one viewer.
#[derive(Clone, Copy, Debug)]
pub struct ViewerLimits {
    /// Frames that may wait for it.
    pub mailbox_frames: u64,
    /// How long it may stay unable to take a frame.
    pub slow_timeout_ms: u64,
    /// How long its peer may send nothing, not even a pong.
    pub silence_timeout_ms: u64,
    /// From the Close frame to the cut.
    pub close_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewerState {
    /// Has had every frame so far.
    Following,
    /// Has lost the thread (or never had it), and gets a snapshot as soon as it has taken
    /// all that waits for it.
    NeedsSnapshot { since: u64 },
    /// Was told to close, and is cut at `until`. An evicted one is cut even if its session
    /// has ended: a peer that does not read can hold the connection up after that, too.
    Closing { until: u64, evicted: bool },
}

struct Viewer<O> {
    outlet: O,
    pulse: Arc<Pulse>,
    sent: u64,
    state: ViewerState,
}

impl<O: Outlet> Viewer<O> {
    fn outstanding(&self) -> u64 {
        self.sent.saturating_sub(self.pulse.taken.load(Ordering::Relaxed))
    }

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
        // Refused or not, the cut follows.
        let _ = self.offer(Deliver::Close(code, why));
        self.state = ViewerState::Closing { until, evicted: code != CloseCode::Away };
    }
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

    /// Viewers, the closing ones included.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// A new viewer, which needs a first frame.
    pub fn join(&mut self, id: ViewerId, outlet: O, pulse: Arc<Pulse>, now: u64) {
        let state = ViewerState::NeedsSnapshot { since: now };
        self.viewers.insert(id, Viewer { outlet, pulse, sent: 0, state });
    }

    /// A viewer's session has ended.
    pub fn leave(&mut self, id: ViewerId) {
        let state = self.viewers.get(&id).map(|viewer| viewer.state);
        if !matches!(state, Some(ViewerState::Closing { evicted: true, .. })) {
            self.viewers.remove(&id);
        }
    }

    /// Puts a viewer on the thread: after `first` it follows.
    pub fn follow(&mut self, id: ViewerId, first: Deliver) {
        let Some(viewer) = self.viewers.get_mut(&id) else { return };
        // One that missed nothing needs nothing to follow.
        let nothing = matches!(&first, Deliver::Missed(frames) if frames.is_empty());
        match if nothing { Ok(()) } else { viewer.offer(first) } {
            Ok(()) => viewer.state = ViewerState::Following,
            Err(OfferError::Full) => {}
            Err(OfferError::Gone) => self.leave(id),
        }
    }

    /// Sends a frame to everyone who follows. Who has no room for it falls out and needs a
    /// snapshot. A frame that `is_snapshot` also serves those who need one.
    pub fn send(&mut self, frame: &WireFrame, is_snapshot: bool, now: u64) {
        let room = self.limits.mailbox_frames;
        self.viewers.retain(|_, viewer| {
            let takes = match viewer.state {
                ViewerState::Following => viewer.outstanding() < room,
                ViewerState::NeedsSnapshot { .. } if is_snapshot => viewer.outstanding() == 0,
                ViewerState::NeedsSnapshot { .. } | ViewerState::Closing { .. } => return true,
            };
            match takes.then(|| viewer.offer(Deliver::Frame(frame.clone()))) {
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

    /// Whether someone needs a snapshot and could take it.
    pub fn wants_snapshot(&self) -> bool {
        self.viewers.values().any(Viewer::takes_snapshot)
    }

    /// Puts everyone who needs a snapshot, and has room, back on the thread.
    pub fn serve_snapshot(&mut self, snapshot: &WireFrame) {
        self.viewers.retain(|_, viewer| {
            if viewer.takes_snapshot() {
                match viewer.offer(Deliver::Frame(snapshot.clone())) {
                    Ok(()) => viewer.state = ViewerState::Following,
                    Err(OfferError::Full) => {}
                    Err(OfferError::Gone) => return false,
                }
            }
            true
        });
    }

    /// Closes the slow (1013) and the silent (1008), cuts those that did not end after a
    /// Close. Returns how many were found slow or silent.
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
                ViewerState::Following | ViewerState::NeedsSnapshot { .. } => None,
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

    /// Tells up to `n` viewers that the server goes away; each is cut at `until` if it has
    /// not gone by then.
    pub fn close_some(&mut self, n: usize, until: u64) {
        let open = |viewer: &&mut Viewer<O>| !matches!(viewer.state, ViewerState::Closing { .. });
        for viewer in self.viewers.values_mut().filter(open).take(n) {
            viewer.close(CloseCode::Away, "the server stops; reconnect", until);
        }
    }

    /// Cuts everyone who is left; returns how many.
    pub fn cut_all(&mut self) -> usize {
        self.viewers.drain().map(|(_, viewer)| viewer.outlet.cut()).count()
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
