//! The way of a decoded request to a sealed batch on disk.
//!
//! ```text
//!  HTTP worker ──Append──> IngestActor ──Work──> committer thread ──> the spool
//!   (hand_over)             (dedupe,              one write and one fdatasync
//!                            open_batch)          for each group of requests
//!                              └──WriteBatch──> the writers of both sinks
//! ```
//!
//! HTTP workers hand requests over ([`hand_over`]), but only so many may wait ([`permits`]).
//! [`actor::IngestActor`] takes them in, drops duplicates ([`dedupe`]), and adds their rows to the
//! open batch ([`open_batch`]). All requests that come while the committer thread ([`committer`])
//! is busy make one group, which is then written and synced at once. Batches that are sealed and on
//! disk go to the writers of both sinks, lane by lane ([`crate::sink`]).

pub mod actor;
pub mod committer;
pub mod dedupe;
pub mod hand_over;
pub mod messages;
pub mod open_batch;
pub mod permits;

use tokio::sync::oneshot;

use crate::{
    domain::{batch::DeadLetter, time::Millis},
    telemetry::otlp::spans::SpanIds,
};

/// The part of `/readyz` that is in trouble while events are refused.
pub const INTAKE: &str = "intake";

/// The events of one request, which the HTTP worker has checked and encoded.
#[derive(Debug, Default)]
pub struct Request {
    /// When it was received, Unix ms.
    pub received_at: Millis,
    /// Encoded rows, one after the other.
    pub rows: Vec<u8>,
    /// How many rows there are.
    pub events: u32,
    /// The ids that the client gave, each with the index of its row; ascending.
    pub client_ids: Vec<(u32, String)>,
    /// The indexes of rows whose id is on some node's disk already (`dedupe.shared`); ascending.
    pub known: Vec<u32>,
    /// The ids of rows of the past that are imported, each with the index of its row; ascending. They are looked up
    /// in the index and not added to it: a year of them would push out what the shop may send again.
    pub past_ids: Vec<(u32, String)>,
    /// The events of the request that were refused.
    pub dead_letters: Vec<DeadLetter>,
    /// Its span, if it is traced.
    pub span: Option<SpanIds>,
}

/// What became of a request that is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many of its events are new, and now on disk.
    pub accepted: u32,
    /// How many of its events had come before, by their id.
    pub duplicates: u32,
}

/// Why a request was not taken in. The client may try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The spool has reached `spool.max_bytes`, or its disk is full. Nothing of the request is
    /// stored or counted.
    #[error("the spool is full")]
    Full,
    /// The spool's disk failed, and intake has stopped until a restart. Only the restart shows
    /// whether the request has reached the disk.
    #[error("the spool's disk failed: {0}")]
    Failed(String),
}

/// What became of a request, either way.
pub type Answer = Result<Accepted, NotTaken>;

/// The requests of one message, while they wait for the disk.
#[derive(Debug)]
pub struct Waiting {
    /// What each request is told once the group is on disk, in the order of the requests. An error
    /// says that this request was not taken in, whatever becomes of the group.
    pub answers: Vec<Answer>,
    /// Where the answers go.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

impl Waiting {
    /// Answers all requests. `result` says whether those that were taken in are on disk.
    pub fn answer(mut self, result: &Result<(), NotTaken>) {
        if let Err(refused) = result {
            let taken = self.answers.iter_mut().filter(|answer| answer.is_ok());
            taken.for_each(|answer| *answer = Err(refused.clone()));
        }
        // The error is ignored: a worker that has ended does not read the answers.
        let _ = self.reply.send(self.answers);
    }
}
