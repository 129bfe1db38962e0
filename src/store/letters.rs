//! The dead letters of a store, for those who look at them and send them again.
//!
//! ```text
//!  waiting ──> sending ─┬─ the server has its event ──> sent
//!                       └─ the event is refused again ─> waiting
//! ```
//!
//! `sending` is written before the event leaves. So wherever a retry is killed, the next one knows of
//! which letters it can't know what became, and looks for their events first.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{domain::time::Millis, sink::SinkError};

/// The most groups of one answer.
pub const MAX_GROUPS: usize = 100;
/// How much of a letter a sample has, in characters.
pub const SAMPLE_CHARS: usize = 2_000;

/// Which letters are meant. `None` is any.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// The reason's code.
    pub code: Option<String>,
    /// The name of the source; empty for those that have none.
    pub source: Option<String>,
    /// The fingerprint of the write key; empty for those that have none.
    pub key: Option<String>,
    /// Received at this time or later, Unix ms.
    pub from: Millis,
    /// Received before this time, Unix ms.
    pub to: Millis,
}

/// Letters with the same code, source and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterGroup {
    /// The reason's code.
    pub code: String,
    /// The name of the source; empty where there is none.
    pub source: String,
    /// The fingerprint of the write key; empty where there is none.
    pub key: String,
    /// How many have not been sent again.
    pub waiting: u64,
    /// How many have been.
    pub sent: u64,
    /// When the first was received, Unix ms.
    pub first: Millis,
    /// When the last was received, Unix ms.
    pub last: Millis,
    /// The newest ones that wait.
    pub samples: Vec<LetterSample>,
}

/// A letter, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterSample {
    /// When it was received, Unix ms.
    pub received_at: Millis,
    /// The reason in words.
    pub message: String,
    /// The format in which it came; empty where that is not known.
    pub dialect: String,
    /// At most [`SAMPLE_CHARS`] of it, in the native format where it has one.
    pub text: String,
}

/// A letter, to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// Names it.
    pub letter: Uuid,
    /// When it was received, Unix ms.
    pub received_at: Millis,
    /// The event in the native format, as far as it is known.
    pub event: String,
    /// Whether only the beginning of it was kept.
    pub cut: bool,
    /// The event's own time, Unix ms.
    pub time: Option<Millis>,
    /// The name of the source that sent it; empty where it has none.
    pub source: String,
    /// Whether it was on its way to a server before, and nobody knows what became of it.
    pub sending: bool,
}

/// An event of the store that has an id which was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventWithId {
    /// The id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The name of its source; `None` where it was stored before there were sources.
    pub source: Option<String>,
}

/// How far a letter has come on its second way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterState {
    /// Its event was not taken.
    Waiting,
    /// Its event is on its way.
    Sending,
    /// Its event was taken in.
    Sent,
}

impl LetterState {
    /// As the tables have it.
    pub fn name(self) -> &'static str {
        match self {
            LetterState::Waiting => "waiting",
            LetterState::Sending => "sending",
            LetterState::Sent => "sent",
        }
    }
}

/// The dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// The largest [`MAX_GROUPS`] groups, each with at most `samples` of its letters.
    async fn letter_groups(
        &self,
        filter: &LetterFilter,
        samples: usize,
    ) -> Result<Vec<LetterGroup>, SinkError>;

    /// At most `limit` letters that were not sent, from the oldest on, behind `after` (when it was
    /// received, and its name).
    async fn letters(
        &self,
        filter: &LetterFilter,
        after: (Millis, Uuid),
        limit: usize,
    ) -> Result<Vec<StoredLetter>, SinkError>;

    /// Notes at `at` (Unix ms) how far these letters have come.
    async fn mark_letters(
        &self,
        letters: &[Uuid],
        state: LetterState,
        at: Millis,
    ) -> Result<(), SinkError>;

    /// The events with one of these ids and a time from `from` to `to` (Unix ms).
    async fn events_with_ids(
        &self,
        ids: &[String],
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EventWithId>, SinkError>;
}

/// Puts samples into their groups. Both are known by code, source and key.
pub(super) fn with_samples(
    mut groups: Vec<LetterGroup>,
    samples: impl IntoIterator<Item = ([String; 3], LetterSample)>,
) -> Vec<LetterGroup> {
    for ([code, source, key], sample) in samples {
        let of = |group: &&mut LetterGroup| {
            (&group.code, &group.source, &group.key) == (&code, &source, &key)
        };
        if let Some(group) = groups.iter_mut().find(of) {
            group.samples.push(sample);
        }
    }
    groups
}
