//! Who follows, who needs a snapshot, who has to go.
//!
//! A viewer that reads takes each frame as it comes. One whose mailbox is full gets nothing
//! more until there is room, and then a snapshot instead of what it missed; so a slow viewer
//! costs its mailbox and nothing else. One that still has no room after
//! `stream.slow_timeout_ms`, or that has answered no ping for `stream.silence_timeout_ms`, is
//! cut off from outside, since its session may not be polled any more.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix::{Addr, dev::SendError};
use bytestring::ByteString;
use hashbrown::HashMap;

use crate::broadcast::{
    VIEWER_EVICTIONS, VIEWERS,
    connection::ConnectionHandle,
    session::{Deliver, Goodbye, ViewerSession},
};

/// A viewer's number.
pub type ViewerId = u64;

/// When a viewer was last heard of, in monotonic ms: written by its session, judged here.
pub type Pulse = Arc<AtomicU64>;

/// One viewer, as the hub knows it.
pub struct Viewer {
    /// The one address that frames are sent to: each clone could exceed the mailbox's limit
    /// by one.
    pub session: Addr<ViewerSession>,
    /// For cutting it off. `None` where the connection is no TCP socket.
    pub connection: Option<ConnectionHandle>,
    /// When it was last heard of.
    pub pulse: Pulse,
    /// Since when it lacks something and waits for a snapshot, monotonic ms.
    pub lacking_since: Option<u64>,
}

/// All viewers of this node.
pub struct Hub {
    viewers: HashMap<ViewerId, Viewer>,
    slow_timeout_ms: u64,
    silence_timeout_ms: u64,
}

impl Hub {
    /// Nobody yet.
    pub fn new(slow_timeout_ms: u64, silence_timeout_ms: u64) -> Hub {
        Hub { viewers: HashMap::new(), slow_timeout_ms, silence_timeout_ms }
    }

    /// Adds a viewer.
    pub fn join(&mut self, id: ViewerId, viewer: Viewer) {
        self.viewers.insert(id, viewer);
        self.count();
    }

    /// A viewer has gone by itself.
    pub fn leave(&mut self, id: ViewerId) {
        self.viewers.remove(&id);
        self.count();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Sends a delta to those who follow.
    pub fn send_delta(&mut self, text: &ByteString, monotonic: u64) {
        self.send(text, monotonic, |viewer| viewer.lacking_since.is_none());
    }

    /// Sends a snapshot to everyone.
    pub fn send_snapshot(&mut self, text: &ByteString, monotonic: u64) {
        self.send(text, monotonic, |_| true);
    }

    /// Whether someone waits for a snapshot.
    pub fn someone_lacks(&self) -> bool {
        self.viewers.values().any(|viewer| viewer.lacking_since.is_some())
    }

    /// Sends the snapshot of the newest frame to those who wait for one.
    pub fn catch_up(&mut self, text: &ByteString, monotonic: u64) {
        self.send(text, monotonic, |viewer| viewer.lacking_since.is_some());
    }

    fn send(&mut self, text: &ByteString, monotonic: u64, to: impl Fn(&Viewer) -> bool) {
        let mut gone = false;
        self.viewers.retain(|_, viewer| {
            if !to(viewer) {
                return true;
            }
            match viewer.session.try_send(Deliver(text.clone())) {
                Ok(()) => viewer.lacking_since = None,
                Err(SendError::Full(_)) => {
                    viewer.lacking_since.get_or_insert(monotonic);
                }
                Err(SendError::Closed(_)) => {
                    gone = true;
                    return false;
                }
            }
            true
        });
        if gone {
            self.count();
        }
    }

    /// Cuts off those who can't keep up or have gone silent.
    pub fn evict(&mut self, monotonic: u64) {
        let (slow, silence) = (self.slow_timeout_ms, self.silence_timeout_ms);
        let mut evicted = 0;
        self.viewers.retain(|id, viewer| {
            let is_slow = viewer.lacking_since.is_some_and(|since| monotonic >= since + slow);
            let silent = monotonic >= viewer.pulse.load(Ordering::Relaxed) + silence;
            if !is_slow && !silent {
                return true;
            }
            tracing::info!(viewer = id, is_slow, silent, "viewer evicted");
            // Arrives only if the session is still polled; the cut does in any case.
            let _ = viewer.session.try_send(Goodbye::TooSlow);
            if let Some(connection) = &viewer.connection {
                connection.cut();
            }
            evicted += 1;
            false
        });
        if evicted > 0 {
            metrics::counter!(VIEWER_EVICTIONS).increment(evicted);
            self.count();
        }
    }

    /// Tells up to `n` viewers that the server stops, and lets go of them. Those whose mailbox
    /// is full are cut off.
    pub fn dismiss(&mut self, n: usize) {
        let ids: Vec<ViewerId> = self.viewers.keys().copied().take(n).collect();
        for id in ids {
            if let Some(viewer) = self.viewers.remove(&id)
                && viewer.session.try_send(Goodbye::Shutdown).is_err()
                && let Some(connection) = &viewer.connection
            {
                connection.cut();
            }
        }
        self.count();
    }

    fn count(&self) {
        metrics::gauge!(VIEWERS).set(self.viewers.len() as f64);
    }
}
