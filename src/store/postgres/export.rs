//! Reads events for an export from Postgres: `COPY (SELECT …) TO STDOUT` in the binary format, whose tuples are
//! encoded rows as they are ([`crate::domain::row`]). Each slice is a transaction of its own, so a long export
//! holds up neither a VACUUM nor the removal of a day.

use std::{pin::pin, time::Instant};

use futures_util::TryStreamExt;
use tokio::sync::mpsc;

use super::{
    PostgresStore,
    errors::Failure,
    event_search::{CANCELED, conditions},
    session::Session,
    swap::day_of,
};
use crate::{
    domain::{
        row::{self, COLUMNS, RowError},
        time::{DAY, Millis},
    },
    sink::SinkErrorKind,
    store::events::export::{
        ExportAsked, ExportKey, ExportPart, ExportSlice, ExportWalk, MOST_BYTES, PartRead,
    },
};

/// COPY's binary header before the length of its extension: signature and flags.
const HEAD: usize = 15;
/// COPY's binary trailer.
const TRAILER: &[u8] = &[0xff, 0xff];

impl PostgresStore {
    /// See [`EventReader::export`](crate::store::events::EventReader::export).
    pub(super) async fn try_export(
        &self,
        asked: &ExportAsked,
        slices: &mpsc::Sender<ExportSlice>,
    ) -> Result<(), Failure> {
        let mut walk = ExportWalk::new(asked);
        if let Some(first) = self.earliest().await? {
            walk.begin_at(first);
        }
        let which: String = conditions(&asked.filter)
            .into_iter()
            .map(|(condition, value)| format!(" AND {}", condition.replace("$?", &quoted(&value))))
            .collect();
        while let Some(part) = walk.next() {
            let started = Instant::now();
            let Some(slice) = self.exported(&part, &which).await? else {
                walk.took(&part, PartRead::too_much());
                continue;
            };
            let (count, last) = counted(&slice, &part)?;
            let took = started.elapsed();
            let read = PartRead { rows: count, bytes: slice.len(), last, took };
            if walk.took(&part, read) && count > 0 && slices.send(slice).await.is_err() {
                // Whoever asked has gone away.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Before which moment (Unix ms) there is no event; `None` where that is not known by the partitions: some were made
    /// by hand, or are on other machines. A walk from the beginning of time would try stretches of years, and read each
    /// in vain that has too much.
    async fn earliest(&self) -> Result<Option<Millis>, Failure> {
        let sql = "SELECT c.relname::text, c.relkind = 'r', pg_relation_size(c.oid) > 0
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'events'::regclass AND c.relname <> 'events_default'";
        let mut first: Option<Millis> = None;
        for row in self.read(sql, &[]).await? {
            let (name, is_table, has_rows): (String, bool, bool) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            match day_of(&name).filter(|_| is_table) {
                None => return Ok(None),
                Some(day) if has_rows => first = Some(first.unwrap_or(Millis::MAX).min(day * DAY)),
                Some(_) => {}
            }
        }
        let Some(first) = first else { return Ok(None) };
        let sql = "SELECT floor(extract(epoch FROM min(time)) * 1000)::bigint FROM events_default";
        let stray: Option<Millis> = self.read(sql, &[]).await?[0].try_get(0)?;
        Ok(Some(stray.map_or(first, |at| at.min(first))))
    }

    /// Reads a part; `None` where a stretch has too much, or takes longer than a statement may.
    async fn exported(
        &self,
        part: &ExportPart,
        which: &str,
    ) -> Result<Option<ExportSlice>, Failure> {
        // A server that takes no writes can still be read.
        match self.ready().await {
            Err(failure) if failure.kind != SinkErrorKind::ReadOnly => return Err(failure),
            _ => {}
        }
        let session = self.exports.get().await?;
        session.begin("READ ONLY").await?;
        // See `try_events`.
        session.run("SET LOCAL enable_seqscan = off").await?;
        let (from, until) = part.stretch();
        let read = match copy_out(&session, &sql(part, which), part).await {
            // The connection is closed, which ends its transaction.
            Err(failure)
                if until - from > 1
                    && failure.code.as_ref().is_some_and(|code| code.code() == CANCELED) =>
            {
                return Ok(None);
            }
            read => read?,
        };
        // The rest of a long answer is on its way, so its connection is of no use any more.
        let Some(read) = read else { return Ok(None) };
        session.run("COMMIT").await?;
        session.done();
        Ok(Some(read))
    }
}

/// The statement that reads a part.
fn sql(part: &ExportPart, which: &str) -> String {
    let (from, until) = part.stretch();
    let at = |ms: i64| format!("(timestamptz 'epoch' + {ms} * interval '1 ms')");
    let page = match part {
        ExportPart::Stretch { .. } => String::new(),
        ExportPart::Page { after, .. } => {
            let key = "id COLLATE \"C\", type COLLATE \"C\", received_at";
            let behind = after.as_ref().map_or(String::new(), |after| {
                let (id, kind) = (quoted(&after.id), quoted(&after.kind));
                format!(" AND ({key}) > ({id}, {kind}, {})", at(after.received_at))
            });
            format!("{behind} ORDER BY {key}")
        }
    };
    format!(
        "COPY (SELECT {COLUMNS} FROM events WHERE time >= {} AND time < {}{which}{page} LIMIT {})
         TO STDOUT (FORMAT binary)",
        at(from),
        at(until),
        part.limit()
    )
}

/// A text as SQL writes it, whatever `standard_conforming_strings` is: COPY takes no parameters.
pub(super) fn quoted(text: &str) -> String {
    let text = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!(" E'{}'", text.replace('\\', "\\\\")),
        false => format!("'{text}'"),
    }
}

/// The tuples of a COPY. `None` where they are more than a stretch may have.
async fn copy_out(
    session: &Session,
    sql: &str,
    part: &ExportPart,
) -> Result<Option<Vec<u8>>, Failure> {
    // The statement is closed when it is dropped, which is before the COMMIT (see `copy::prepare`).
    let statement = session.answer(session.client().prepare(sql)).await?;
    let stream = session.answer(session.client().copy_out(&statement)).await?;
    let mut stream = pin!(stream);
    let mut tuples = Tuples::default();
    while let Some(piece) = session.answer(stream.try_next()).await? {
        tuples.add(&piece)?;
        if tuples.read.len() > MOST_BYTES && matches!(part, ExportPart::Stretch { .. }) {
            return Ok(None);
        }
    }
    tuples.finish().map(Some)
}

/// What a COPY gives, without its header and its trailer. A server sends one tuple in a message, so the trailer is
/// one, too (PostgreSQL 15 documentation, "Message Formats", CopyData).
#[derive(Default)]
pub(super) struct Tuples {
    read: Vec<u8>,
    /// Whether the header was taken off.
    is_begun: bool,
    /// Whether the trailer has come.
    is_ended: bool,
}

impl Tuples {
    /// Adds a message.
    pub fn add(&mut self, mut piece: &[u8]) -> Result<(), Failure> {
        if !self.is_begun {
            let length = piece.get(HEAD..HEAD + 4).and_then(|bytes| bytes.try_into().ok());
            let length = length.map(u32::from_be_bytes).ok_or_else(no_rows)? as usize;
            piece = piece.get(HEAD + 4 + length..).ok_or_else(no_rows)?;
            self.is_begun = true;
        }
        match piece {
            TRAILER => self.is_ended = true,
            tuple => self.read.extend_from_slice(tuple),
        }
        Ok(())
    }

    /// What was read by now, where that is at least so much.
    pub fn take(&mut self, least: usize) -> Option<Vec<u8>> {
        (self.read.len() >= least).then(|| std::mem::take(&mut self.read))
    }

    /// What is left.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        if self.is_ended { Ok(self.read) } else { Err(no_rows()) }
    }
}

fn no_rows() -> Failure {
    Failure::new(SinkErrorKind::Other, "COPY gave something else than rows")
}

/// How many rows these are, and of a page the last one.
fn counted(read: &[u8], part: &ExportPart) -> Result<(usize, Option<ExportKey>), Failure> {
    let strange = |e: RowError| {
        Failure::new(SinkErrorKind::Other, format!("the table events has a strange row: {e}"))
    };
    let (count, last) = row::count(read).map_err(strange)?;
    let last = match part {
        ExportPart::Stretch { .. } => None,
        ExportPart::Page { .. } => row::rows(last).next().transpose().map_err(strange)?,
    };
    Ok((count, last.map(|row| ExportKey::of(&row))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_one_text() {
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted(r"a\'; DROP"), r" E'a\\''; DROP'");
    }
}
