//! What the ingest actor is told from outside: by the HTTP workers, and at a stop.

use actix::Message;
use tokio::sync::oneshot;

use super::{Answer, Request, permits::QueuePermits};

/// An HTTP worker to the ingest actor: take these requests in. Answered over `reply` once they
/// are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// One or more.
    pub requests: Vec<Request>,
    /// Their permits to wait; given back when the actor begins with them.
    pub permits: QueuePermits,
    /// Where the answers go, in the order of the requests.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

/// Seal and sync what is open, and answer when both sinks have everything.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<()>);

/// After [`Drain`]: stop the committer thread (cursors are persisted) and answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub oneshot::Sender<()>);
