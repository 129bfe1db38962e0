//! Permits to watch. There are `stream.max_viewers` of them; a viewer acquires one before its
//! WebSocket opens and holds it until its session ends.
//!
//! A permit counts a connection, which the hub can't: the hub forgets a viewer as soon as it
//! cuts it, while the session may live until the HTTP worker notices.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use actix::{Message, Recipient};

use crate::{
    broadcast::hub::ViewerId,
    telemetry::queue::{Depth, QueuePlace},
};

/// A viewer's session has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Its viewer.
    pub id: ViewerId,
    /// Its place among what waits for the broadcaster.
    pub place: QueuePlace,
}

/// Why a viewer gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// All `stream.max_viewers` permits are held.
    #[error("stream.max_viewers ({0}) watch already")]
    Full(usize),
    /// The server is going away.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// The permits of this node. A clone hands out the same ones.
#[derive(Clone)]
pub struct ViewerPermits(Arc<PermitState>);

struct PermitState {
    /// How many permits there are.
    max: usize,
    /// How many are held.
    taken: AtomicUsize,
    /// The id of the next viewer.
    next: AtomicU64,
    /// No more permits are given, since the server stops.
    closed: AtomicBool,
    /// Who is told when a permit is given back.
    leave: Recipient<Leave>,
    /// How many sessions have come or gone and wait for the broadcaster to take note.
    depth: Depth,
}

impl ViewerPermits {
    /// `max` permits, none of which is held.
    pub fn new(max: usize, leave: Recipient<Leave>) -> ViewerPermits {
        ViewerPermits(Arc::new(PermitState {
            max,
            taken: AtomicUsize::new(0),
            next: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            leave,
            depth: Depth::of("broadcaster"),
        }))
    }

    /// Refuses everyone from now on. Viewers that hold a permit keep it.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    /// Takes a permit, if one is free.
    pub fn acquire(&self) -> Result<ViewerPermit, AcquireError> {
        let state = &self.0;
        if state.closed.load(Ordering::Relaxed) || !state.leave.connected() {
            return Err(AcquireError::ShuttingDown);
        }
        let one_more = |taken| (taken < state.max).then_some(taken + 1);
        match state.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => {
                let id = state.next.fetch_add(1, Ordering::Relaxed);
                Ok(ViewerPermit { id, permits: self.clone() })
            }
            Err(_) => Err(AcquireError::Full(state.max)),
        }
    }
}

/// One viewer's permit. Dropping it gives it back and tells the broadcaster.
pub struct ViewerPermit {
    /// The viewer that holds it.
    pub id: ViewerId,
    permits: ViewerPermits,
}

impl ViewerPermit {
    /// A place among what waits for the broadcaster.
    pub(super) fn place(&self) -> QueuePlace {
        self.permits.0.depth.enter()
    }
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        self.permits.0.taken.fetch_sub(1, Ordering::Relaxed);
        // `do_send` ignores the mailbox's limit. That is safe, since each permit sends one `Leave`.
        let place = self.place();
        self.permits.0.leave.do_send(Leave { id: self.id, place });
    }
}
