//! From a decoded request to a sealed batch on disk.
//!
//! HTTP workers hand requests over ([`hand_over`]), as many as may wait ([`permits`]).
//! [`actor::IngestActor`] takes them in, drops duplicates ([`dedupe`]), adds their rows to the
//! open batch ([`open_batch`]), and hands groups of them to the committer thread ([`committer`]):
//! one write and one fdatasync for all requests that came meanwhile. What is sealed and on disk
//! goes to the writers of both sinks, lane by lane ([`crate::sink`]).

pub mod actor;
pub mod committer;
pub mod dedupe;
pub mod hand_over;
pub mod messages;
pub mod open_batch;
pub mod permits;

use tokio::sync::oneshot;

use crate::domain::{batch::DeadLetter, time::Millis};

/// The events of one request, checked and encoded.
#[derive(Debug, Default)]
pub struct Request {
    /// When it was received, Unix ms.
    pub received_at: Millis,
    /// Encoded rows, one after the other.
    pub rows: Vec<u8>,
    /// How many rows.
    pub events: u32,
    /// (index of the row, id) where the client gave an id; ascending.
    pub client_ids: Vec<(u32, String)>,
    /// Rows whose id is on some node's disk already (`dedupe.shared`); ascending.
    pub known: Vec<u32>,
    /// The refused ones.
    pub dead_letters: Vec<DeadLetter>,
}

/// What became of a request: on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Events that are now on disk.
    pub accepted: u32,
    /// Events that had come before, by their id.
    pub duplicates: u32,
}

/// Why a request was not taken in. The client may try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The spool has reached `spool.max_bytes`, or its disk is full. Nothing of the request is
    /// stored or counted.
    #[error("the spool is full")]
    Full,
    /// The spool's disk failed; intake has stopped until a restart. Only that shows whether the
    /// request has reached the disk.
    #[error("the spool's disk failed: {0}")]
    Failed(String),
}

/// What became of a request.
pub type Answer = Result<Accepted, NotTaken>;

/// The requests of one message, while they wait for the disk.
#[derive(Debug)]
pub struct Waiting {
    /// What each is told once the others are on disk, in their order; an error says that this
    /// one was not taken in.
    pub answers: Vec<Answer>,
    /// Where the answers go.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

impl Waiting {
    /// Those that were taken in are on disk, or not.
    pub fn answer(mut self, result: &Result<(), NotTaken>) {
        if let Err(refused) = result {
            let taken = self.answers.iter_mut().filter(|answer| answer.is_ok());
            taken.for_each(|answer| *answer = Err(refused.clone()));
        }
        // A worker that has ended doesn't read them.
        let _ = self.reply.send(self.answers);
    }
}
