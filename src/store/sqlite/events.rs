//! Reads events from SQLite.

use std::time::Instant;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::{SqliteStore, export, visitors, with};
use crate::{
    domain::{row::Row, time::SECOND},
    sink::{SinkError, SinkErrorKind},
    store::{
        events::{
            EventReader, EventsAsked, StoredEvent,
            export::{ExportAsked, ExportSlice},
            search::{
                EventSearch, EventSlice, FirstEvents, FoundEvent, SearchWalk, SearchedEvents,
                SliceRead,
            },
            visitors::{SeenVisitor, VisitorsAsked},
        },
        sqlite::rollups::CHART_TIMEOUT,
    },
};

fn read(conn: &Connection, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
    let started = Instant::now();
    // The types are names of the configuration or of a query, so they are given as one JSON array.
    let kinds = asked.kinds.as_ref().map(|kinds| serde_json::json!(kinds).to_string());
    let of_kinds = match kinds {
        None => "",
        Some(_) => "AND type IN (SELECT value FROM json_each(?4))",
    };
    // The view finds runs of rows by the seconds that they span.
    let mut select = conn.prepare_cached(&format!(
        "SELECT time, id, type, properties, source FROM events_near
         WHERE last_second > ?1 - {SECOND} AND first_second < ?2
         AND time >= ?1 AND time < ?2 {of_kinds} ORDER BY time, id LIMIT ?3"
    ))?;
    let mut windows = Vec::with_capacity(asked.windows.len());
    for (from, to) in &asked.windows {
        if started.elapsed() > CHART_TIMEOUT {
            return Err(too_slow());
        }
        let limit = asked.limit as i64;
        let event = |row: &rusqlite::Row<'_>| {
            Ok(StoredEvent {
                time: row.get(0)?,
                id: row.get(1)?,
                kind: row.get(2)?,
                properties: row.get(3)?,
                source: row.get(4)?,
            })
        };
        let rows: rusqlite::Result<Vec<_>> = match &kinds {
            None => select.query_map(params![from, to, limit], event)?.collect(),
            Some(kinds) => select.query_map(params![from, to, limit, kinds], event)?.collect(),
        };
        windows.push(rows.map_err(SinkError::from)?);
    }
    Ok(windows)
}

fn too_slow() -> SinkError {
    let seconds = CHART_TIMEOUT.as_secs();
    let message = format!("SQLite: the events could not be read within {seconds} s");
    SinkError::new(SinkErrorKind::Unavailable, message)
}

/// Rows between two looks at the clock.
pub(super) const CLOCK_EVERY: usize = 256;

fn search(conn: &Connection, asked: &EventSearch) -> Result<SearchedEvents, SinkError> {
    let mut walk = SearchWalk::new(asked);
    while let Some(slice) = walk.next_slice() {
        let read = slice_of(conn, asked, &slice)?;
        walk.take(&slice, read);
    }
    Ok(walk.finish())
}

/// Looks through a slice, row by row: no row is copied that the filter refuses.
fn slice_of(
    conn: &Connection,
    asked: &EventSearch,
    slice: &EventSlice,
) -> Result<SliceRead, SinkError> {
    let started = Instant::now();
    let mut select = conn.prepare_cached(&format!(
        "SELECT time, received_at, id, type, user_id, session_id, properties, source, dialect
         FROM events_near WHERE last_second > ?1 - {SECOND} AND first_second < ?2
         AND time >= ?1 AND time < ?2"
    ))?;
    let mut rows = select.query(params![slice.from, slice.until])?;
    let mut first = FirstEvents::new(slice, asked.newest_first);
    let mut looked_at = 0usize;
    while let Some(found) = rows.next()? {
        let row = whole_row(found)?;
        if asked.filter.may_pass(&row) {
            first.push(FoundEvent::of(&row));
        }
        looked_at += 1;
        if looked_at.is_multiple_of(CLOCK_EVERY) {
            match slice.within {
                Some(limit) if started.elapsed() > limit => return Ok(SliceRead::TooLong),
                None if started.elapsed() > CHART_TIMEOUT => return Err(too_slow()),
                _ => {}
            }
        }
    }
    Ok(first.finish())
}

/// A row, borrowed from SQLite.
pub(super) fn whole_row<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Row<'a>> {
    // SQLite's texts come from our own rows, which are UTF-8.
    let text = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?);
    let some = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?);
    Ok(Row {
        time: row.get(0)?,
        received_at: row.get(1)?,
        id: text(2)?,
        kind: text(3)?,
        user_id: some(4)?,
        session_id: some(5)?,
        properties: text(6)?,
        source: some(7)?,
        dialect: some(8)?,
    })
}

#[async_trait]
impl EventReader for SqliteStore {
    async fn events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| read(conn, &asked)).await
    }

    async fn search(&self, asked: &EventSearch) -> Result<SearchedEvents, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| search(conn, &asked)).await
    }

    async fn visitors(&self, asked: &VisitorsAsked) -> Result<Option<Vec<SeenVisitor>>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| visitors::read(conn, &asked)).await
    }

    async fn export(
        &self,
        asked: &ExportAsked,
        slices: mpsc::Sender<ExportSlice>,
    ) -> Result<(), SinkError> {
        export::send(&self.exports, asked, &slices).await
    }
}
