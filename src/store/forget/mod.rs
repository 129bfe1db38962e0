//! Forgets a person: the rows of events, and the dead letters, that name a user or a session. Counters, rollups
//! and the ledger stay, so what all of it adds up to stays, too.
//!
//! ```text
//!  begin ─> Look: sessions of the user ─> Spare: not those in which somebody else was, too
//!        ─> Delete, in steps ─> Late: what came meanwhile ─> dead letters ─> purge ─> receipt
//! ```
//!
//! A step and its progress (`forget_work`) are one transaction, so a kill leaves a request where it was, and the
//! same command goes on with it. The person's id is nowhere in what stays: a receipt has a salted hash of it.

mod archived;
mod person;
mod receipt;

use async_trait::async_trait;
use uuid::Uuid;

pub use archived::ForgetArchived;
pub use person::DataSubject;
pub use receipt::{ForgetReceipt, ForgottenDay, Remains};

use super::{Stores, archive::alone, retention::holding};
use crate::{domain::time::Millis, sink::SinkError};

/// A request to forget somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetRequest {
    /// Its id.
    pub id: String,
    /// `user` or `session`.
    pub subject: String,
    /// The hash of the person ([`DataSubject::hash`]).
    pub person: String,
    /// What the hash was salted with.
    pub salt: String,
    /// When it was made, Unix ms.
    pub asked_at: Millis,
}

/// What is done with the events of a store, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetPhase {
    /// Notes the sessions in which a user was.
    Look,
    /// Takes those off in which another user was, too: their other events may be somebody else's.
    Spare,
    /// Deletes the events.
    Delete,
    /// Deletes what came while that went on.
    Late,
}

impl ForgetPhase {
    /// As `forget_work` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ForgetPhase::Look => "look",
            ForgetPhase::Spare => "spare",
            ForgetPhase::Delete => "delete",
            ForgetPhase::Late => "late",
        }
    }

    /// What `forget_work` has of it once the archive was asked.
    pub(crate) fn in_archive(self) -> &'static str {
        match self {
            ForgetPhase::Look => "archive-look",
            ForgetPhase::Spare => "archive-spare",
            ForgetPhase::Delete | ForgetPhase::Late => "archive",
        }
    }

    /// Whether it deletes.
    pub(crate) fn deletes(self) -> bool {
        matches!(self, ForgetPhase::Delete | ForgetPhase::Late)
    }
}

/// What a request has removed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetCounts {
    /// Rows of events, by day (UTC) such as `2026-11-27`.
    pub days: Vec<(String, u64)>,
    /// Dead letters.
    pub dead_letters: u64,
    /// Sessions whose events went with those of a user.
    pub sessions: u64,
}

/// Forgets somebody, step by step.
#[async_trait]
pub trait Forget: Send + Sync + 'static {
    /// The requests that are under way.
    async fn open_requests(&self) -> Result<Vec<ForgetRequest>, SinkError>;

    /// Notes a new request.
    async fn begin_forgetting(&self, request: &ForgetRequest) -> Result<(), SinkError>;

    /// Does a step of a phase. Answers whether the phase is over.
    async fn forget_step(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError>;

    /// Looks through some dead letters, and deletes those that name the person. Answers whether that was all.
    async fn forget_letters(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
    ) -> Result<bool, SinkError>;

    /// Whether a phase has noted what the archive has said of sessions.
    async fn is_noted(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError>;

    /// Adds sessions ([`ForgetPhase::Look`]) to those that go with a user, or takes them off
    /// ([`ForgetPhase::Spare`]), and notes that the phase has done so.
    async fn note_sessions(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
        sessions: &[String],
    ) -> Result<(), SinkError>;

    /// The sessions that go with the user.
    async fn noted_sessions(&self, request: &ForgetRequest) -> Result<Vec<String>, SinkError>;

    /// Makes sure that what was deleted is in no file of the store any more.
    async fn purge(&self, request: &ForgetRequest) -> Result<(), SinkError>;

    /// What the request has removed so far.
    async fn forgotten(&self, request: &ForgetRequest) -> Result<ForgetCounts, SinkError>;

    /// Notes that the request is done, with its receipt, and drops what was noted for going on with it.
    async fn end_forgetting(
        &self,
        request: &ForgetRequest,
        receipt: &str,
        at: Millis,
    ) -> Result<(), SinkError>;
}

/// Begins a request, or finds the one for the same person that is under way.
async fn request_of(
    store: &dyn Forget,
    person: &DataSubject,
    now: Millis,
) -> Result<ForgetRequest, SinkError> {
    let known = store.open_requests().await?;
    let same =
        |it: &ForgetRequest| it.subject == person.subject() && it.person == person.hash(&it.salt);
    if let Some(known) = known.into_iter().find(same) {
        return Ok(known);
    }
    let salt = Uuid::new_v4().simple().to_string();
    let request = ForgetRequest {
        id: Uuid::new_v4().to_string(),
        subject: person.subject().to_owned(),
        person: person.hash(&salt),
        salt,
        asked_at: now,
    };
    store.begin_forgetting(&request).await?;
    Ok(request)
}

/// Forgets a person, beside servers that run. `None` where another process removes rows at the moment.
///
/// # Errors
/// The store can't be read or written to. What was removed stays so; called again for the same person, this
/// goes on.
pub async fn forget(
    stores: &Stores,
    person: &DataSubject,
    now: Millis,
) -> Result<Option<(ForgetRequest, ForgetCounts)>, SinkError> {
    let (store, holder) = (&*stores.forget, Uuid::new_v4().to_string());
    let work = async {
        let request = request_of(store, person, now).await?;
        let mut phases = vec![ForgetPhase::Delete, ForgetPhase::Late];
        if matches!(person, DataSubject::User(_)) {
            phases.splice(..0, [ForgetPhase::Look, ForgetPhase::Spare]);
        }
        for phase in phases {
            while !store.forget_step(&request, person, phase).await? {}
            if let Some(archive) = &stores.archived {
                archived::in_archive(store, archive.as_ref(), (&request, person), phase).await?;
            }
        }
        while !store.forget_letters(&request, person).await? {}
        store.purge(&request).await?;
        let counts = store.forgotten(&request).await?;
        Ok((request, counts))
    };
    // Where there are files, nobody else writes any meanwhile.
    match stores.archive.archive_files(None).await?.is_empty() {
        true => holding(&*stores.retention, &holder, work).await,
        false => alone(&*stores.archive, &*stores.retention, &holder, work).await,
    }
}

/// SQL for both stores: adds `$4` to what a request has noted of `$2`, `$3`.
pub(crate) const ADD_WORK: &str = "INSERT INTO forget_work (request, what, value, rows)
    VALUES ($1, $2, $3, $4) ON CONFLICT (request, what, value) DO UPDATE
    SET rows = forget_work.rows + excluded.rows";

/// SQL for both stores: whether something was noted.
pub(crate) const IS_NOTED: &str =
    "SELECT count(*) FROM forget_work WHERE request = $1 AND what = $2 AND value = ''";

/// SQL for both stores: the sessions that go with a user.
pub(crate) const SESSIONS: &str =
    "SELECT value FROM forget_work WHERE request = $1 AND what = 'session'";

/// SQL for both stores: adds a session to them.
pub(crate) const ADD_SESSION: &str = "INSERT INTO forget_work (request, what, value, rows)
    VALUES ($1, 'session', $2, 0) ON CONFLICT DO NOTHING";

/// SQL for both stores: takes a session off.
pub(crate) const SPARE_SESSION: &str =
    "DELETE FROM forget_work WHERE request = $1 AND what = 'session' AND value = $2";

/// SQL for both stores: the requests under way.
pub(crate) const OPEN: &str = "SELECT request, subject, person, salt, asked_at FROM forgotten
    WHERE done_at IS NULL ORDER BY asked_at";

/// SQL for both stores: what a request has removed.
pub(crate) const COUNTS: &str = "SELECT what, value, rows FROM forget_work
    WHERE request = $1 AND what IN ('day', 'letters', 'session') ORDER BY what, value";

impl ForgetCounts {
    /// Adds a row of [`COUNTS`].
    pub(crate) fn add(&mut self, what: &str, value: String, rows: u64) {
        match what {
            "day" => self.days.push((value, rows)),
            "letters" => self.dead_letters += rows,
            _ => self.sessions += 1,
        }
    }
}
