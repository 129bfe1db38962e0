//! The places of the viewers: how many there are, who has one, and whether any are given.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use actix::{Message, Recipient};

use crate::broadcast::hub::ViewerId;

/// A viewer's session has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave(pub ViewerId);

/// Why a viewer gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// `stream.max_viewers` watch already.
    #[error("stream.max_viewers ({0}) watch already")]
    Full(usize),
    /// The server is going away.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// All places; a clone is the same room.
#[derive(Clone)]
pub struct ViewerPermits(Arc<PermitState>);

struct PermitState {
    max: usize,
    taken: AtomicUsize,
    next: AtomicU64,
    closed: AtomicBool,
    /// Who is told when a place is given back.
    leave: Recipient<Leave>,
}

impl ViewerPermits {
    /// An empty room of `max` places.
    pub fn new(max: usize, leave: Recipient<Leave>) -> ViewerPermits {
        ViewerPermits(Arc::new(PermitState {
            max,
            taken: AtomicUsize::new(0),
            next: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            leave,
        }))
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }

    /// Takes a place, if there is one.
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

/// One viewer's place. Dropping it gives it back and says so.
pub struct ViewerPermit {
    /// Whose it is.
    pub id: ViewerId,
    permits: ViewerPermits,
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        self.permits.0.taken.fetch_sub(1, Ordering::Relaxed);
        // do_send: at most one for each permit.
        self.permits.0.leave.do_send(Leave(self.id));
    }
}
