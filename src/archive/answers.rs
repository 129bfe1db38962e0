//! Answers questions about events from the store and the archive together.
//!
//! Rows move while questions are answered. So the list of files is read before the store and again behind it: as
//! long as it is the same, no row was in both or in neither. Where it has changed, the question is asked again. The
//! list is that of the database itself; what a replica still has beside it is told apart by time, id, type and receipt.

use std::{ops::ControlFlow, sync::Arc, time::Instant};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    exported::Exported,
    objects::ArchiveObjects,
    scan::{FileScan, RecentGroups},
};
use crate::{
    domain::{
        bot,
        row::Row,
        time::{DAY, Millis},
    },
    sink::{SinkError, SinkErrorKind},
    store::{
        Stores,
        archive::{ArchiveFile, ArchiveStore, FileState},
        events::{
            EventReader, EventsAsked, StoredEvent,
            export::{ExportAsked, ExportSlice},
            search::{
                EventSearch, FirstEvents, FoundEvent, SearchWalk, SearchedEvents, SliceRead,
                merged, of_one_place,
            },
            visitors::{MOST, SeenVisitor, VisitorsAsked, WITHIN},
        },
        rollup::remake::ArchivedRows,
    },
};

/// How often a question is asked that rows move under.
const TRIES: u32 = 5;
/// Bytes of rows that are handed on at once.
const PIECE_BYTES: usize = 1 << 20;

/// Reads events, wherever they are.
pub struct ArchivedEvents {
    pub(super) store: Arc<dyn EventReader>,
    pub(super) list: Arc<dyn ArchiveStore>,
    /// `None` where the configuration says nothing of an archive.
    pub(super) objects: Option<Arc<ArchiveObjects>>,
    recent: Arc<RecentGroups>,
}

impl ArchivedEvents {
    /// Of a store, with the archive of its configuration.
    pub fn new(stores: &Stores, objects: Option<Arc<ArchiveObjects>>) -> ArchivedEvents {
        ArchivedEvents {
            store: stores.events.clone(),
            list: stores.archive.clone(),
            objects,
            recent: Arc::default(),
        }
    }

    /// The files that may have events of these types (`None`: of every one) in a span.
    pub(super) async fn files(
        &self,
        span: (Millis, Millis),
        kinds: Option<&[String]>,
    ) -> Result<Vec<ArchiveFile>, SinkError> {
        let mut files = self.list.archive_files(Some(span)).await?;
        files.retain(|file| file.state == FileState::Kept && is_of(file, kinds));
        if !files.is_empty() && self.objects.is_none() {
            return Err(SinkError::new(
                SinkErrorKind::Unavailable,
                "events of these days are in the archive, and archive.url does not say where that is",
            ));
        }
        Ok(files)
    }

    /// Does work with these files on a thread that may block.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        files: Vec<ArchiveFile>,
        work: impl FnOnce(&mut FileScan) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let Some(objects) = self.objects.clone() else {
            return Err(SinkError::new(SinkErrorKind::Other, "there is no archive"));
        };
        let mut scan = FileScan::new(objects, Handle::current(), files, self.recent.clone());
        let done = tokio::task::spawn_blocking(move || work(&mut scan)).await;
        done.map_err(|e| SinkError::new(SinkErrorKind::Other, format!("archive: {e}")))?
    }

    async fn try_search(
        &self,
        asked: &EventSearch,
        files: Vec<ArchiveFile>,
    ) -> Result<SearchedEvents, SinkError> {
        if files.is_empty() {
            return self.store.search(asked).await;
        }
        let of_one = of_one_place(asked);
        let of_store = self.store.search(&of_one).await?;
        let of_archive = self.scan(files, move |scan| search(scan, &of_one)).await?;
        Ok(merged(asked, vec![of_store, of_archive]))
    }

    async fn try_events(
        &self,
        asked: &EventsAsked,
        files: Vec<ArchiveFile>,
    ) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
        let mut windows = self.store.events(asked).await?;
        if files.is_empty() {
            return Ok(windows);
        }
        let asked = asked.clone();
        self.scan(files, move |scan| {
            for (window, events) in asked.windows.iter().zip(&mut windows) {
                let _ = scan.each(*window, &mut |row| {
                    let of_kind = |kinds: &Vec<String>| kinds.iter().any(|it| it == row.kind);
                    if asked.kinds.as_ref().is_none_or(of_kind) {
                        events.push(stored(row));
                    }
                    if events.len() >= 4 * asked.limit.max(1_000) {
                        first(events, asked.limit);
                    }
                    ControlFlow::Continue(())
                })?;
                first(events, asked.limit);
            }
            Ok(windows)
        })
        .await
    }

    async fn try_visitors(
        &self,
        asked: &VisitorsAsked,
        files: Vec<ArchiveFile>,
    ) -> Result<Option<Vec<SeenVisitor>>, SinkError> {
        let Some(mut seen) = self.store.visitors(asked).await? else { return Ok(None) };
        if files.is_empty() {
            return Ok(Some(seen));
        }
        let asked = asked.clone();
        self.scan(files, move |scan| {
            let (started, mut found) = (Instant::now(), hashbrown::HashMap::new());
            let over = scan.each((asked.from, asked.until), &mut |row| {
                let is_wanted = match &asked.users {
                    None => row.visitor().is_some(),
                    Some(users) => {
                        row.session_id.is_some()
                            && row.user_id.is_some_and(|it| users.iter().any(|user| user == it))
                    }
                };
                if is_wanted && !bot::is_labelled(row.kind, row.properties) {
                    let key = (row.user_id.map(str::to_owned), row.session_id.map(str::to_owned));
                    let at = found.entry(key).or_insert(row.time);
                    *at = row.time.max(*at);
                }
                match started.elapsed() > WITHIN || found.len() > MOST {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
            if over.is_break() {
                return Ok(None);
            }
            seen.extend(found.into_iter().map(|((user, session), at)| SeenVisitor {
                user,
                session,
                at,
            }));
            Ok(Some(seen))
        })
        .await
    }
}

/// Whether a file may have events of these types.
pub(super) fn is_of(file: &ArchiveFile, kinds: Option<&[String]>) -> bool {
    kinds.is_none_or(|kinds| kinds.contains(&file.kind))
}

fn stored(row: &Row<'_>) -> StoredEvent {
    StoredEvent {
        time: row.time,
        id: row.id.to_owned(),
        kind: row.kind.to_owned(),
        properties: row.properties.to_owned(),
        source: row.source.map(str::to_owned),
    }
}

/// Keeps the first events of a window.
fn first(events: &mut Vec<StoredEvent>, limit: usize) {
    events.sort_by(|a, b| (a.time, &a.id, &a.kind).cmp(&(b.time, &b.id, &b.kind)));
    // A replica that is behind has rows for a moment that are in the archive already.
    events.dedup();
    events.truncate(limit);
}

fn search(scan: &mut FileScan, asked: &EventSearch) -> Result<SearchedEvents, SinkError> {
    let mut walk = SearchWalk::new(asked);
    while let Some(slice) = walk.next_slice() {
        let started = Instant::now();
        let mut first = FirstEvents::new(&slice, asked.newest_first);
        let is_late = || slice.within.is_some_and(|limit| started.elapsed() > limit);
        let over = scan.each((slice.from, slice.until), &mut |row| {
            if asked.filter.may_pass(row) {
                first.push(FoundEvent::of(row));
            }
            if is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let read = if over.is_break() { SliceRead::TooLong } else { first.finish() };
        walk.take(&slice, read);
    }
    Ok(walk.finish())
}

/// Asks again where the list of files has changed meanwhile.
macro_rules! steadily {
    ($self:expr, $span:expr, $kinds:expr, |$files:ident| $ask:expr) => {{
        for _ in 0..TRIES {
            let before = $self.files($span, $kinds).await?;
            let $files = before.clone();
            let answer = $ask;
            if $self.files($span, $kinds).await? == before {
                return answer;
            }
        }
        let message = "these rows move to the archive at the moment: ask again";
        Err(SinkError::new(SinkErrorKind::Unavailable, message))
    }};
}

#[async_trait]
impl EventReader for ArchivedEvents {
    async fn events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
        let from = asked.windows.iter().map(|it| it.0).min().unwrap_or(0);
        let until = asked.windows.iter().map(|it| it.1).max().unwrap_or(0);
        let kinds = asked.kinds.as_deref();
        steadily!(self, (from, until), kinds, |files| self.try_events(asked, files).await)
    }

    async fn search(&self, asked: &EventSearch) -> Result<SearchedEvents, SinkError> {
        let kinds = asked.filter.kind.as_ref().map(std::slice::from_ref);
        let span = (asked.from, asked.until);
        steadily!(self, span, kinds, |files| self.try_search(asked, files).await)
    }

    async fn visitors(&self, asked: &VisitorsAsked) -> Result<Option<Vec<SeenVisitor>>, SinkError> {
        let span = (asked.from, asked.until);
        steadily!(self, span, None, |files| self.try_visitors(asked, files).await)
    }

    /// Day by day where files have events, and as a whole where none has.
    async fn export(
        &self,
        asked: &ExportAsked,
        slices: mpsc::Sender<ExportSlice>,
    ) -> Result<(), SinkError> {
        let kinds = asked.filter.kind.as_ref().map(std::slice::from_ref);
        let mut asked = asked.clone();
        let until = asked.until;
        while asked.from < until {
            let files = self.files((asked.from, until), kinds).await?;
            let first = files.iter().map(|file| file.times.0).min();
            let day = first.map_or(until, |first| first.div_euclid(DAY) * DAY);
            if asked.from < day {
                asked.until = day.min(until);
                match self.export_plain(&asked, kinds, &slices).await? {
                    Exported::Whole => {}
                    Exported::NobodyTakes => return Ok(()),
                    Exported::Upto(None) => continue,
                    Exported::Upto(Some(key)) => {
                        asked.from = asked.from.max(key.time);
                        asked.after = Some(key);
                        continue;
                    }
                }
            } else {
                asked.until = ((asked.from.div_euclid(DAY) + 1) * DAY).min(until);
                if !self.export_day(&asked, kinds, &slices).await? {
                    return Ok(());
                }
            }
            asked.from = asked.until;
        }
        Ok(())
    }
}

impl ArchivedRows for ArchivedEvents {
    fn rows(&self, from: Millis, until: Millis) -> mpsc::Receiver<Result<Vec<u8>, SinkError>> {
        let (pieces, given) = mpsc::channel(2);
        let (list, objects, recent) =
            (self.list.clone(), self.objects.clone(), self.recent.clone());
        let of = ArchivedEvents { store: self.store.clone(), list, objects, recent };
        tokio::spawn(async move {
            let send = pieces.clone();
            let read = async {
                let files = of.files((from, until), None).await?;
                if files.is_empty() {
                    return Ok(());
                }
                of.scan(files, move |scan| {
                    let mut bytes = Vec::new();
                    let over = scan.each((from, until), &mut |row| {
                        row.encode(&mut bytes);
                        let is_full = bytes.len() >= PIECE_BYTES;
                        match is_full && send.blocking_send(Ok(std::mem::take(&mut bytes))).is_err()
                        {
                            true => ControlFlow::Break(()),
                            false => ControlFlow::Continue(()),
                        }
                    })?;
                    if over.is_continue() && !bytes.is_empty() {
                        // Nobody may wait for it any more.
                        let _ = send.blocking_send(Ok(bytes));
                    }
                    Ok(())
                })
                .await
            };
            if let Err(e) = read.await {
                let _ = pieces.send(Err(e)).await;
            }
        });
        given
    }
}
