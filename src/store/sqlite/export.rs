//! Reads events for an export from SQLite, a slice at a time, so that several exports share one connection.

use std::{sync::Arc, time::Instant};

use rusqlite::{Connection, params};
use tokio::sync::{Mutex, mpsc};

use super::{
    events::{CLOCK_EVERY, whole_row},
    with,
};
use crate::{
    domain::{event_filter::EventFilter, time::SECOND},
    sink::SinkError,
    store::events::export::{
        ExportAsked, ExportKey, ExportPart, ExportSlice, ExportWalk, MOST_BYTES, PartRead, SLOW,
    },
};

/// See [`EventReader::export`](crate::store::events::EventReader::export).
pub(super) async fn send(
    conn: &Arc<Mutex<Connection>>,
    asked: &ExportAsked,
    slices: &mpsc::Sender<ExportSlice>,
) -> Result<(), SinkError> {
    let mut walk = ExportWalk::new(asked);
    while let Some(part) = walk.next() {
        let (filter, next) = (asked.filter.clone(), part.clone());
        let (slice, read) = with(conn, move |conn| read(conn, &filter, &next)).await?;
        if walk.took(&part, read) && !slice.is_empty() && slices.send(slice).await.is_err() {
            // Whoever asked has gone away.
            return Ok(());
        }
    }
    Ok(())
}

/// Reads a part, without the rows that the filter can tell to be others.
fn read(
    conn: &Connection,
    filter: &EventFilter,
    part: &ExportPart,
) -> Result<(ExportSlice, PartRead), SinkError> {
    let started = Instant::now();
    let page = match part {
        ExportPart::Stretch { .. } => String::new(),
        ExportPart::Page { after, .. } => {
            let behind = match after {
                Some(_) => " AND (id, type, received_at) > (?3, ?4, ?5)",
                None => "",
            };
            // With a limit only so many rows are sorted.
            format!("{behind} ORDER BY id, type, received_at LIMIT {}", part.limit())
        }
    };
    let mut select = conn.prepare_cached(&format!(
        "SELECT time, received_at, id, type, user_id, session_id, properties, source, dialect
         FROM events_near WHERE last_second > ?1 - {SECOND} AND first_second < ?2
         AND time >= ?1 AND time < ?2{page}"
    ))?;
    let (from, until) = part.stretch();
    let mut rows = match part {
        ExportPart::Page { after: Some(key), .. } => {
            select.query(params![from, until, key.id, key.kind, key.received_at])?
        }
        _ => select.query(params![from, until])?,
    };
    let is_page = matches!(part, ExportPart::Page { .. });
    let (mut slice, mut read, mut looked_at) = (Vec::new(), PartRead::default(), 0_usize);
    while let Some(row) = rows.next()? {
        let row = whole_row(row)?;
        looked_at += 1;
        let passes = filter.may_pass(&row);
        if passes {
            row.encode(&mut slice);
        }
        // Of a page all rows count, since its limit is one of the statement.
        read.rows += usize::from(passes || is_page);
        if is_page && looked_at == part.limit() {
            read.last = Some(ExportKey::of(&row));
        }
        let is_late = looked_at.is_multiple_of(CLOCK_EVERY) && started.elapsed() > 2 * SLOW;
        let has_too_much = slice.len() > MOST_BYTES || (is_late && until - from > 1);
        if has_too_much && !is_page {
            return Ok((Vec::new(), PartRead::too_much()));
        }
        if read.rows == part.limit() {
            break;
        }
    }
    (read.bytes, read.took) = (slice.len(), started.elapsed());
    Ok((slice, read))
}
