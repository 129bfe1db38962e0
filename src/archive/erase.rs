//! Forgets a person in the archive: files with rows of the person are written anew without them. The new file takes
//! the place of the old one, and what went is noted, in one transaction; then the old one is deleted.

use std::{ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use hashbrown::HashSet;
use tokio::{runtime::Handle, sync::mpsc};

use super::{answers::ArchivedEvents, mover::tidy, write::FileWriter};
use crate::{
    domain::{row::Row, time::LATEST},
    sink::{SinkError, SinkErrorKind},
    store::{
        archive::{ArchiveFile, ForgottenRows, UnitPiece},
        chain::GoneRows,
        forget::{DataSubject, ForgetArchived, ForgetRequest},
        retention::day_named,
    },
};

/// Bytes of rows that are handed on at once.
const PIECE_BYTES: usize = 1 << 20;

/// Whose rows go.
#[derive(Clone)]
struct Erased {
    person: DataSubject,
    /// The sessions that go with a user.
    sessions: Arc<HashSet<String>>,
}

impl Erased {
    fn has(&self, row: &Row<'_>) -> bool {
        match &self.person {
            DataSubject::User(id) => match row.user_id {
                Some(user) => user == id,
                None => row.session_id.is_some_and(|it| self.sessions.contains(it)),
            },
            DataSubject::Session(id) => row.session_id == Some(id),
        }
    }
}

impl ArchivedEvents {
    async fn all_files(&self) -> Result<Vec<ArchiveFile>, SinkError> {
        self.files((i64::MIN, LATEST + 1), None).await
    }

    /// The sessions of rows that `of` chooses.
    async fn sessions(
        &self,
        of: impl Fn(&Row<'_>) -> bool + Send + 'static,
    ) -> Result<Vec<String>, SinkError> {
        let files = self.all_files().await?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        self.scan(files, move |scan| {
            let mut found = HashSet::new();
            let _ = scan.each((i64::MIN, LATEST + 1), &mut |row| {
                if of(row)
                    && let Some(session) = row.session_id
                    && !found.contains(session)
                {
                    found.insert(session.to_owned());
                }
                ControlFlow::Continue(())
            })?;
            Ok(found.into_iter().collect())
        })
        .await
    }

    /// Writes a file anew without some rows, where it has any of them.
    async fn without(
        &self,
        request: &ForgetRequest,
        erased: &Erased,
        file: &ArchiveFile,
    ) -> Result<(), SinkError> {
        let is_theirs = erased.clone();
        let has_any = self
            .scan(vec![file.clone()], move |scan| {
                scan.each((i64::MIN, LATEST + 1), &mut |row| match is_theirs.has(row) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })
            .await?
            .is_break();
        let Some(objects) = self.objects.clone().filter(|_| has_any) else { return Ok(()) };
        let (pieces, taken) = mpsc::channel(2);
        let writer = FileWriter {
            objects: objects.clone(),
            list: self.list.clone(),
            handle: Handle::current(),
            day: day_named(&file.day).unwrap_or_default(),
        };
        let writing = tokio::task::spawn_blocking(move || writer.write(taken));
        let (is_theirs, kind) = (erased.clone(), file.kind.clone());
        let copied = self.scan(vec![file.clone()], move |scan| {
            let (mut gone, mut rows, mut kept) = (GoneRows::default(), 0_u64, Vec::new());
            let mut is_taken = pieces.blocking_send(UnitPiece::Kind(kind)).is_ok();
            let _ = scan.each((i64::MIN, LATEST + 1), &mut |row| {
                match is_theirs.has(row) {
                    true => {
                        gone.add(row);
                        rows += 1;
                    }
                    false => row.encode(&mut kept),
                }
                if kept.len() >= PIECE_BYTES {
                    is_taken &=
                        pieces.blocking_send(UnitPiece::Rows(std::mem::take(&mut kept))).is_ok();
                }
                if is_taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if !kept.is_empty() {
                is_taken &= pieces.blocking_send(UnitPiece::Rows(kept)).is_ok();
            }
            Ok((gone, rows, is_taken))
        });
        let copied = copied.await;
        let ended = |e| SinkError::new(SinkErrorKind::Other, format!("archive: {e}"));
        let written = writing.await.map_err(ended)??;
        let (gone, rows, is_whole) = copied?;
        let left: u64 = written.files.iter().map(|it| it.rows).sum();
        let new = written.files.first().map(|it| it.path.as_str());
        if !is_whole || left + rows != file.rows || written.files.len() > 1 {
            let words = format!("archive: {} has other rows than the list says", file.path);
            return Err(SinkError::new(SinkErrorKind::Other, words));
        }
        crate::failpoint::kill_point!("archive-erasing");
        let (day, kind) = (file.day.clone(), file.kind.clone());
        let forgotten = ForgottenRows { request: request.id.clone(), day, kind, rows, gone };
        if !self.list.replace_file(&file.path, new, &forgotten).await? {
            let words = "archive: another process has changed the list of files; try again";
            return Err(SinkError::new(SinkErrorKind::Other, words));
        }
        Ok(())
    }
}

#[async_trait]
impl ForgetArchived for ArchivedEvents {
    async fn sessions_of(&self, user: &str) -> Result<Vec<String>, SinkError> {
        let user = user.to_owned();
        self.sessions(move |row| row.user_id == Some(&user)).await
    }

    async fn shared(&self, user: &str, sessions: &[String]) -> Result<Vec<String>, SinkError> {
        let (user, sessions) = (user.to_owned(), sessions.iter().cloned().collect::<HashSet<_>>());
        self.sessions(move |row| {
            row.user_id.is_some_and(|it| it != user)
                && row.session_id.is_some_and(|it| sessions.contains(it))
        })
        .await
    }

    async fn erase(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
        sessions: &[String],
    ) -> Result<(), SinkError> {
        let sessions = Arc::new(sessions.iter().cloned().collect());
        let erased = Erased { person: person.clone(), sessions };
        for file in self.all_files().await? {
            self.without(request, &erased, &file).await?;
        }
        match &self.objects {
            Some(objects) => tidy(objects, &*self.list).await,
            None => Ok(()),
        }
    }
}
