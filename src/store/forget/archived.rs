//! Forgets a person in the archive, phase by phase beside the store.

use async_trait::async_trait;

use super::{DataSubject, Forget, ForgetPhase, ForgetRequest};
use crate::{sink::SinkError, store::archive::Archived};

/// Forgets somebody in the archive, which has the rows that the store has no more.
#[async_trait]
pub trait ForgetArchived: Send + Sync + 'static {
    /// The sessions in which a user was.
    async fn sessions_of(&self, user: &str) -> Result<Vec<String>, SinkError>;

    /// Those of these sessions in which another user was.
    async fn shared(&self, user: &str, sessions: &[String]) -> Result<Vec<String>, SinkError>;

    /// Removes the rows of the person, and those without a user in these sessions, and notes how many that were.
    /// Called again, it goes on.
    async fn erase(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
        sessions: &[String],
    ) -> Result<(), SinkError>;
}

/// Does for the archive what a phase has done for the store.
pub(super) async fn in_archive(
    store: &dyn Forget,
    archived: &dyn Archived,
    (request, person): (&ForgetRequest, &DataSubject),
    phase: ForgetPhase,
) -> Result<(), SinkError> {
    match phase {
        // What is noted once is not looked for again: sessions may have been spared since.
        ForgetPhase::Look | ForgetPhase::Spare if store.is_noted(request, phase).await? => Ok(()),
        ForgetPhase::Look => {
            let sessions = archived.sessions_of(person.id()).await?;
            store.note_sessions(request, phase, &sessions).await
        }
        ForgetPhase::Spare => {
            let noted = store.noted_sessions(request).await?;
            let shared = archived.shared(person.id(), &noted).await?;
            store.note_sessions(request, phase, &shared).await
        }
        ForgetPhase::Delete => {
            let noted = store.noted_sessions(request).await?;
            archived.erase(request, person, &noted).await
        }
        ForgetPhase::Late => Ok(()),
    }
}
