//! Moves rows out of SQLite: those of a day and type, in one transaction that deletes them and counts what it
//! deletes. They are found by the runs of rowids that reach into the day ([`super::runs`]), and by what lies
//! between runs.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::{
    SqliteStore, alerts::numbered, chain, events::whole_row, forget::replace_file, overwriting,
    retention::gaps, with,
};
use crate::{
    domain::time::{DAY, LATEST, Millis, SECOND, now_ms},
    sink::{SinkError, SinkErrorKind},
    store::{
        archive::{
            ArchiveFile, ArchiveStore, ArchiveUnit, CHECK_FILE, FILES, FORGET_FILE, FileState,
            ForgottenRows, MOVE_FILE, NOTE_FILE, REMOVED_OF_DAY, RowSums, UnitPiece, UnitSnapshot,
        },
        retention::{NOTE, RemovalReason, UtcDay, date_of},
    },
};

/// Rows are handed on once they have so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// The rows in runs, by rowid: `?1` is what [`runs_within`] gives.
// The order of the tables is held to: runs are few, rows are many.
pub(super) const IN_RUNS: &str = "json_each(?1) AS run CROSS JOIN events AS e
    ON e.rowid BETWEEN run.value ->> 0 AND run.value ->> 1";

/// The runs of rowids whose rows may lie in `[from, until)`, as JSON, each rowid in one of them.
pub(super) fn runs_within(
    conn: &Connection,
    from: Millis,
    until: Millis,
) -> Result<String, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT first_row, last_row FROM event_runs WHERE last_second > ?1 AND first_second < ?2
         UNION ALL SELECT first_row, last_row FROM ledger
         WHERE first_row IS NOT NULL AND last_second > ?1 AND first_second < ?2",
    )?;
    let run = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = select.query_map([from.saturating_sub(SECOND), until], run)?;
    let mut runs: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
    runs.extend(gaps(conn)?);
    runs.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(runs.len());
    for (first, last) in runs {
        match apart.last_mut().filter(|known| first <= known.1 + 1) {
            Some(known) => known.1 = known.1.max(last),
            None => apart.push((first, last)),
        }
    }
    Ok(serde_json::to_string(&apart).expect("numbers always encode"))
}

fn units(conn: &mut Connection, before: UtcDay) -> Result<Vec<ArchiveUnit>, SinkError> {
    let tx = conn.transaction()?;
    let horizon = before.saturating_mul(DAY);
    let runs = runs_within(&tx, 0, horizon)?;
    let mut select = tx.prepare(&format!(
        "SELECT e.time / {DAY}, e.type, count(*) FROM {IN_RUNS} WHERE e.time < ?2
         GROUP BY 1, 2 ORDER BY 1, 2"
    ))?;
    let unit = |row: &rusqlite::Row<'_>| {
        let (kind, rows) = (Some(row.get(1)?), row.get::<_, i64>(2)? as u64);
        Ok(ArchiveUnit { day: row.get(0)?, kind, strays: false, rows })
    };
    let found = select.query_map(params![runs, horizon], unit)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The day and the type of a unit.
fn parts(unit: &ArchiveUnit) -> (Millis, Millis, &str) {
    let (from, kind) = (unit.day * DAY, unit.kind.as_deref().unwrap_or_default());
    (from, from + DAY, kind)
}

fn read(
    conn: &mut Connection,
    unit: &ArchiveUnit,
    pieces: &mpsc::Sender<UnitPiece>,
) -> Result<UnitSnapshot, SinkError> {
    let (from, until, kind) = parts(unit);
    let tx = conn.transaction()?;
    let runs = runs_within(&tx, from, until)?;
    let sums = tx.query_row(
        &format!(
            "SELECT count(*), coalesce(sum(e.time % {DAY}), 0),
                    coalesce(sum(e.received_at % {DAY}), 0),
                    coalesce(sum(octet_length(e.id)), 0),
                    coalesce(sum(octet_length(e.properties)), 0)
             FROM {IN_RUNS} WHERE e.time >= ?2 AND e.time < ?3 AND e.type = ?4"
        ),
        params![runs, from, until, kind],
        |row| {
            Ok(RowSums {
                rows: row.get(0)?,
                times: row.get(1)?,
                received: row.get(2)?,
                id_bytes: row.get(3)?,
                property_bytes: row.get(4)?,
            })
        },
    )?;
    let sql = "SELECT coalesce(max(rowid), 0) FROM events";
    let last_row = tx.query_row(sql, [], |row| row.get(0))?;
    let removed = removed(&tx, unit.day)?;
    send(pieces, UnitPiece::Kind(kind.to_owned()))?;
    let mut select = tx.prepare(&format!(
        "SELECT {} FROM {IN_RUNS}
         WHERE e.time >= ?2 AND e.time < ?3 AND e.type = ?4
         ORDER BY e.time, e.id, e.received_at",
        chain::EVENT
    ))?;
    let mut rows = select.query(params![runs, from, until, kind])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        whole_row(row)?.encode(&mut bytes);
        if bytes.len() >= PIECE_BYTES {
            send(pieces, UnitPiece::Rows(std::mem::take(&mut bytes)))?;
        }
    }
    if !bytes.is_empty() {
        send(pieces, UnitPiece::Rows(bytes))?;
    }
    Ok(UnitSnapshot { sums: vec![(kind.to_owned(), sums)], table: 0, last_row, removed })
}

fn send(pieces: &mpsc::Sender<UnitPiece>, piece: UnitPiece) -> Result<(), SinkError> {
    let gone = "nobody takes the rows any more";
    pieces.blocking_send(piece).map_err(|_| SinkError::new(SinkErrorKind::Other, gone))
}

fn removed(conn: &Connection, day: UtcDay) -> Result<i64, SinkError> {
    Ok(conn.query_row(&numbered(REMOVED_OF_DAY), [date_of(day)], |row| row.get(0))?)
}

/// Deletes what was read, where that is all still there, and lets its files take its place.
fn drop_unit(
    conn: &mut Connection,
    unit: &ArchiveUnit,
    snapshot: &UnitSnapshot,
    paths: &[String],
) -> Result<bool, SinkError> {
    let (from, until, kind) = parts(unit);
    let runs = runs_within(conn, from, until)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT coalesce(max(rowid), 0) FROM events";
    let end: i64 = tx.query_row(sql, [], |row| row.get(0))?;
    let mut gone = RowSums::default();
    {
        let mut delete = tx.prepare(&format!(
            "DELETE FROM events WHERE rowid IN
                 (SELECT e.rowid FROM {IN_RUNS}
                  WHERE e.rowid <= ?5 AND e.time >= ?2 AND e.time < ?3 AND e.type = ?4)
             RETURNING time % {DAY}, received_at % {DAY}, octet_length(id), octet_length(properties)"
        ))?;
        let mut rows = delete.query(params![runs, from, until, kind, snapshot.last_row])?;
        while let Some(row) = rows.next()? {
            gone.rows += 1;
            gone.times += row.get::<_, i64>(0)?;
            gone.received += row.get::<_, i64>(1)?;
            gone.id_bytes += row.get::<_, i64>(2)?;
            gone.property_bytes += row.get::<_, i64>(3)?;
        }
    }
    // Where this returns early, the transaction is rolled back.
    let is_same = snapshot.sums.iter().all(|(_, sums)| *sums == gone);
    if !is_same || removed(&tx, unit.day)? != snapshot.removed {
        return Ok(false);
    }
    for path in paths {
        if !move_file(&tx, path, FileState::Checked, FileState::Kept)? {
            return Ok(false);
        }
    }
    let (date, reason) = (date_of(unit.day), RemovalReason::Archive.name());
    tx.execute(&numbered(NOTE), params![date, kind, reason, gone.rows, now_ms(), None::<i64>])?;
    tx.execute(
        "INSERT INTO event_end (only_row, last_row) VALUES (1, ?1) ON CONFLICT (only_row) DO UPDATE
         SET last_row = max(last_row, excluded.last_row)",
        [end],
    )?;
    // Runs of which nothing is left would be looked through for ever.
    tx.execute(
        "DELETE FROM event_runs WHERE last_second >= ?1 AND last_second < ?2 AND NOT EXISTS
             (SELECT 1 FROM events WHERE rowid BETWEEN first_row AND event_runs.last_row)",
        [from, until],
    )?;
    crate::failpoint::kill_point!("archive-dropping");
    tx.commit()?;
    Ok(true)
}

pub(super) fn move_file(
    tx: &Transaction<'_>,
    path: &str,
    from: FileState,
    to: FileState,
) -> Result<bool, SinkError> {
    let moved = params![path, from.name(), to.name(), now_ms()];
    Ok(tx.execute(&numbered(MOVE_FILE), moved)? == 1)
}

/// Makes sure that the rows which are written next get rowids that none had before: a row at the end of all that
/// were, which the caller removes in the same transaction, once they are written.
pub(super) fn hold_end(tx: &Connection) -> Result<Option<i64>, SinkError> {
    let end: Option<i64> = tx
        .prepare_cached(
            "SELECT last_row FROM event_end
             WHERE last_row > (SELECT coalesce(max(rowid), 0) FROM events)",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    if let Some(end) = end {
        tx.execute(
            "INSERT INTO events (rowid, time, received_at, id, type, properties)
             VALUES (?, 0, 0, '', '', '{}')",
            [end],
        )?;
    }
    Ok(end)
}

fn file(row: &rusqlite::Row<'_>) -> rusqlite::Result<ArchiveFile> {
    Ok(ArchiveFile {
        path: row.get(0)?,
        day: row.get(1)?,
        kind: row.get(2)?,
        state: FileState::named(&row.get::<_, String>(3)?),
        rows: row.get::<_, i64>(4)? as u64,
        bytes: row.get::<_, i64>(5)? as u64,
        times: (row.get(6)?, row.get(7)?),
        digest: row.get(8)?,
    })
}

#[async_trait]
impl ArchiveStore for SqliteStore {
    async fn lead_archive(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError> {
        let (holder, ttl) = (holder.to_owned(), ttl.as_millis() as i64);
        with(&self.writer, move |conn| {
            let now = now_ms();
            let taken = conn.execute(
                "INSERT INTO archive_lease (only_row, holder, until) VALUES (1, ?1, ?2)
                 ON CONFLICT (only_row) DO UPDATE SET holder = excluded.holder, until = excluded.until
                 WHERE archive_lease.holder = excluded.holder OR archive_lease.until < ?3",
                params![holder, now + ttl, now],
            )?;
            Ok(taken == 1)
        })
        .await
    }

    async fn resign_archive(&self, holder: &str) -> Result<(), SinkError> {
        let holder = holder.to_owned();
        with(&self.writer, move |conn| {
            conn.execute("DELETE FROM archive_lease WHERE holder = ?", [holder])?;
            Ok(())
        })
        .await
    }

    async fn tidy_archive(&self, _: UtcDay) -> Result<(), SinkError> {
        Ok(())
    }

    async fn archive_units(&self, before: UtcDay) -> Result<Vec<ArchiveUnit>, SinkError> {
        with(&self.moved, move |conn| units(conn, before)).await
    }

    async fn read_unit(
        &self,
        unit: &ArchiveUnit,
        pieces: mpsc::Sender<UnitPiece>,
    ) -> Result<UnitSnapshot, SinkError> {
        let unit = unit.clone();
        with(&self.moved, move |conn| read(conn, &unit, &pieces)).await
    }

    async fn abandon_unit(&self, _: &ArchiveUnit) -> Result<(), SinkError> {
        Ok(())
    }

    async fn drop_unit(
        &self,
        unit: &ArchiveUnit,
        snapshot: &UnitSnapshot,
        paths: &[String],
    ) -> Result<bool, SinkError> {
        let (unit, snapshot, paths) = (unit.clone(), snapshot.clone(), paths.to_vec());
        with(&self.writer, move |conn| drop_unit(conn, &unit, &snapshot, &paths)).await
    }

    async fn archive_files(
        &self,
        span: Option<(Millis, Millis)>,
    ) -> Result<Vec<ArchiveFile>, SinkError> {
        let (from, until) = span.unwrap_or((i64::MIN, LATEST + 1));
        with(&self.charts, move |conn| {
            let mut select = conn.prepare_cached(&numbered(FILES))?;
            let files = select.query_map([from, until], file)?;
            Ok(files.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn note_file(&self, file: &ArchiveFile) -> Result<(), SinkError> {
        let it = file.clone();
        with(&self.writer, move |conn| {
            let noted = params![
                it.path,
                it.day,
                it.kind,
                it.state.name(),
                it.rows as i64,
                it.bytes as i64,
                it.times.0,
                it.times.1,
                it.digest,
                now_ms()
            ];
            conn.execute(&numbered(NOTE_FILE), noted)?;
            Ok(())
        })
        .await
    }

    async fn check_file(&self, file: &ArchiveFile) -> Result<bool, SinkError> {
        let it = file.clone();
        with(&self.writer, move |conn| {
            let (rows, bytes) = (it.rows as i64, it.bytes as i64);
            let checked =
                params![it.path, rows, bytes, it.times.0, it.times.1, it.digest, now_ms()];
            Ok(conn.execute(&numbered(CHECK_FILE), checked)? == 1)
        })
        .await
    }

    async fn leave_file(&self, path: &str, from: FileState) -> Result<bool, SinkError> {
        let path = path.to_owned();
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let moved = move_file(&tx, &path, from, FileState::Leaving)?;
            tx.commit()?;
            Ok(moved)
        })
        .await
    }

    async fn forget_file(&self, path: &str) -> Result<(), SinkError> {
        let path = path.to_owned();
        with(&self.writer, move |conn| {
            conn.execute(&numbered(FORGET_FILE), [path])?;
            Ok(())
        })
        .await
    }

    async fn replace_file(
        &self,
        old: &str,
        new: Option<&str>,
        forgotten: &ForgottenRows,
    ) -> Result<bool, SinkError> {
        let (old, new, forgotten) = (old.to_owned(), new.map(str::to_owned), forgotten.clone());
        let replace = move |conn: &mut _| replace_file(conn, &old, new.as_deref(), forgotten);
        with(&self.writer, |conn| overwriting(conn, replace)).await
    }
}
