//! The messages to the ingest actor from outside: from the HTTP workers, and when the server stops.

use actix::Message;
use tokio::sync::oneshot;

use super::{Answer, Request, permits::QueuePermits};

/// From an HTTP worker to the ingest actor: take these requests in. It is answered over `reply`
/// once they are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// The requests, one or more.
    pub requests: Vec<Request>,
    /// Their permits to wait. They are given back when the actor begins with the requests.
    pub permits: QueuePermits,
    /// Where the answers go, in the order of the requests.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

/// From an import to the ingest actor: answer when the store has everything that was taken in before this message.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AwaitStored(pub oneshot::Sender<()>);

/// At a stop, to the ingest actor: seal and sync the open batch, and answer when both sinks have
/// everything.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<()>);

/// At a stop, after [`Drain`]: end the committer thread, which persists the cursors, and answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub oneshot::Sender<()>);
