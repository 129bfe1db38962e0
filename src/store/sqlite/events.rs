//! Reads events from SQLite.

use std::time::Instant;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, with};
use crate::{
    domain::time::SECOND,
    sink::{SinkError, SinkErrorKind},
    store::{
        events::{EventReader, EventsAsked, StoredEvent},
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
            let seconds = CHART_TIMEOUT.as_secs();
            let message = format!("SQLite: the events could not be read within {seconds} s");
            return Err(SinkError::new(SinkErrorKind::Unavailable, message));
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

#[async_trait]
impl EventReader for SqliteStore {
    async fn events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| read(conn, &asked)).await
    }
}
