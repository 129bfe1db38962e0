//! Moves rows out of Postgres. A day is a partition, which is exchanged for a table that has only the late rows
//! since the snapshot ([`super::swap`]), so nothing is deleted row by row, and nobody waits but for the moment of
//! the exchange. What lies in the default partition, too far from today, is deleted by day.

use std::pin::pin;

use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;

use super::{
    PostgresStore, chain,
    errors::Failure,
    export::{Tuples, quoted},
    forget::{TOUCHED, add_work},
    partitions::partition,
    retention::{note, note_date},
    session::{Parameter, Session},
    swap::{COPY, DayTable, LONG, Leftover},
};
use crate::{
    domain::{
        row::COLUMNS,
        time::{DAY, now_ms},
    },
    sink::SinkErrorKind,
    store::{
        archive::{
            ArchiveUnit, FileState, ForgottenRows, MOVE_FILE, REMOVED_OF_DAY, RowSums, UnitPiece,
            UnitSnapshot,
        },
        retention::{RemovalReason, UtcDay, date_of},
    },
};

/// Rows are handed on once they have so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// The sums of some rows, for `SELECT` and `RETURNING`.
fn sums(rows: &str) -> String {
    let of_day = |column: &str| {
        format!("coalesce(sum((extract(epoch FROM {column}) * 1000)::bigint % {DAY}), 0)::bigint")
    };
    format!(
        "SELECT type, count(*), {}, {}, coalesce(sum(octet_length(id)), 0)::bigint,
                coalesce(sum(octet_length(properties::text)), 0)::bigint
         FROM {rows} GROUP BY type ORDER BY type COLLATE \"C\"",
        of_day("time"),
        of_day("received_at")
    )
}

fn read_sums(rows: &[tokio_postgres::Row]) -> Result<Vec<(String, RowSums)>, Failure> {
    let of = |row: &tokio_postgres::Row| {
        let sums = RowSums {
            rows: row.try_get(1)?,
            times: row.try_get(2)?,
            received: row.try_get(3)?,
            id_bytes: row.try_get(4)?,
            property_bytes: row.try_get(5)?,
        };
        Ok((row.try_get(0)?, sums))
    };
    rows.iter().map(of).collect()
}

/// The rows of a day in the default partition.
fn strays_of(day: UtcDay) -> String {
    let at = |day: UtcDay| format!("to_timestamp({})", day * DAY / 1_000);
    format!("events_default WHERE time >= {} AND time < {}", at(day), at(day + 1))
}

impl PostgresStore {
    /// See [`ArchiveStore::tidy_archive`](crate::store::archive::ArchiveStore::tidy_archive).
    pub(super) async fn try_tidy_archive(&self, before: UtcDay) -> Result<(), Failure> {
        let (days, leftovers) = self.day_tables().await?;
        for leftover in leftovers {
            match leftover {
                Leftover::Gone(day) => self.count_and_drop(day).await.map(drop)?,
                Leftover::Copy { table, day } => self.take_back_copy(&table, day).await?,
            }
        }
        for table in days.iter().filter(|it| it.day < before && it.bytes == 0) {
            self.drop_empty(table).await?;
        }
        Ok(())
    }

    /// Drops the partition of a day, unless rows have come.
    async fn drop_empty(&self, table: &DayTable) -> Result<(), Failure> {
        let name = &table.name;
        let session = self.with_events_locked(None, "").await?;
        let found = session.rows(&format!("SELECT count(*) FROM {name}")).await?;
        if found[0][0].as_deref() == Some("0") {
            let sql = format!("ALTER TABLE events DETACH PARTITION {name}; DROP TABLE {name}");
            session.run(&sql).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }

    /// See [`ArchiveStore::archive_units`](crate::store::archive::ArchiveStore::archive_units).
    pub(super) async fn try_archive_units(
        &self,
        before: UtcDay,
    ) -> Result<Vec<ArchiveUnit>, Failure> {
        let mut units = Vec::new();
        let (mut days, _) = self.day_tables().await?;
        days.sort_unstable_by_key(|it| it.day);
        for table in days.iter().filter(|it| it.day < before && it.bytes > 0) {
            let sql = format!(
                "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = '{}'::regclass",
                table.name
            );
            let rows: i64 = self.read(&sql, &[]).await?[0].try_get(0)?;
            let (day, rows) = (table.day, rows as u64);
            units.push(ArchiveUnit { day, kind: None, strays: false, rows });
        }
        let sql = "SELECT floor(extract(epoch FROM time) / 86400)::bigint, count(*)
            FROM events_default WHERE time < to_timestamp($1) GROUP BY 1 ORDER BY 1";
        let horizon = (before * DAY / 1_000) as f64;
        for row in self.read(sql, &[(&horizon, Type::FLOAT8)]).await? {
            let (day, rows): (UtcDay, i64) = (row.try_get(0)?, row.try_get(1)?);
            units.push(ArchiveUnit { day, kind: None, strays: true, rows: rows as u64 });
        }
        Ok(units)
    }

    /// See [`ArchiveStore::read_unit`](crate::store::archive::ArchiveStore::read_unit).
    pub(super) async fn try_read_unit(
        &self,
        unit: &ArchiveUnit,
        pieces: &mpsc::Sender<UnitPiece>,
    ) -> Result<UnitSnapshot, Failure> {
        let name = partition(unit.day);
        let (session, table, rows) = match unit.strays {
            true => {
                let session = self.removal("ISOLATION LEVEL REPEATABLE READ").await?;
                (session, 0, strays_of(unit.day))
            }
            false => {
                let table = self.oid_of(&name).await?;
                let session = self.begin_copy(unit.day, &format!("{name}{COPY}")).await?;
                (session, table, format!("{name} WHERE true"))
            }
        };
        let removed = removed(&session, unit.day).await?;
        let found = session.query_within(LONG, &sums(&rows), &[]).await?;
        let sums = read_sums(&found)?;
        for (kind, _) in &sums {
            send(pieces, UnitPiece::Kind(kind.clone())).await?;
            send_rows(&session, &rows, kind, pieces).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(UnitSnapshot { sums, table, last_row: 0, removed })
    }

    /// See [`ArchiveStore::drop_unit`](crate::store::archive::ArchiveStore::drop_unit).
    pub(super) async fn try_drop_unit(
        &self,
        unit: &ArchiveUnit,
        snapshot: &UnitSnapshot,
        paths: &[String],
    ) -> Result<bool, Failure> {
        let session = match unit.strays {
            true => {
                let session = self.removal("").await?;
                let gone = format!("DELETE FROM {} RETURNING *", strays_of(unit.day));
                let sql = format!("WITH gone AS ({gone}) {}", sums("gone"));
                let gone = read_sums(&session.query_within(LONG, &sql, &[]).await?)?;
                if gone != snapshot.sums {
                    return Ok(false);
                }
                session
            }
            false => {
                let copy = format!("{}{COPY}", partition(unit.day));
                self.exchange(unit.day, &copy, snapshot.table).await?
            }
        };
        // What is not committed is taken back when the session is closed.
        if removed(&session, unit.day).await? != snapshot.removed {
            return Ok(false);
        }
        for path in paths {
            if !move_file(&session, path, FileState::Checked, FileState::Kept).await? {
                return Ok(false);
            }
        }
        for (kind, sums) in &snapshot.sums {
            let what = (unit.day, kind.as_str(), RemovalReason::Archive);
            note(&session, what, sums.rows as u64, None).await?;
        }
        crate::failpoint::kill_point!("archive-dropping");
        session.run("COMMIT").await?;
        session.done();
        Ok(true)
    }

    /// See [`ArchiveStore::replace_file`](crate::store::archive::ArchiveStore::replace_file).
    pub(super) async fn try_replace_file(
        &self,
        old: &str,
        new: Option<&str>,
        forgotten: &ForgottenRows,
    ) -> Result<bool, Failure> {
        let session = self.removal("").await?;
        let mut is_done = move_file(&session, old, FileState::Kept, FileState::Leaving).await?;
        if let Some(new) = new {
            is_done &= move_file(&session, new, FileState::Checked, FileState::Kept).await?;
        }
        if is_done {
            let ForgottenRows { request, day, kind, rows, gone } = forgotten;
            let rows = *rows as i64;
            add_work(&session, (request, "day", day), rows).await?;
            // They are counted once: as rows that have gone, and not as rows in the archive.
            note_date(&session, (day, kind, RemovalReason::Archive), -rows, None).await?;
            note_date(&session, (day, kind, RemovalReason::Person), rows, None).await?;
            if chain::forget(&session, gone.clone()).await? {
                add_work(&session, (request, TOUCHED, "chain"), 1).await?;
            }
            session.run("COMMIT").await?;
            session.done();
        }
        Ok(is_done)
    }
}

/// How many rows of a day were removed, the archive's apart.
async fn removed(session: &Session, day: UtcDay) -> Result<i64, Failure> {
    let parameters: [Parameter<'_>; 1] = [(&date_of(day), Type::TEXT)];
    Ok(session.query(REMOVED_OF_DAY, &parameters).await?[0].try_get(0)?)
}

/// Changes the state of a file. Answers whether it had the other one.
async fn move_file(
    session: &Session,
    path: &str,
    from: FileState,
    to: FileState,
) -> Result<bool, Failure> {
    let (from, to, now) = (from.name(), to.name(), now_ms());
    let parameters: [Parameter<'_>; 4] =
        [(&path, Type::TEXT), (&from, Type::TEXT), (&to, Type::TEXT), (&now, Type::INT8)];
    let sql = format!("WITH moved AS ({MOVE_FILE} RETURNING 1) SELECT count(*) FROM moved");
    Ok(session.query(&sql, &parameters).await?[0].try_get::<_, i64>(0)? == 1)
}

async fn send(pieces: &mpsc::Sender<UnitPiece>, piece: UnitPiece) -> Result<(), Failure> {
    let gone = "nobody takes the rows any more";
    pieces.send(piece).await.map_err(|_| Failure::new(SinkErrorKind::Other, gone))
}

/// Sends the rows of a type.
async fn send_rows(
    session: &Session,
    rows: &str,
    kind: &str,
    pieces: &mpsc::Sender<UnitPiece>,
) -> Result<(), Failure> {
    let sql = format!(
        "COPY (SELECT {COLUMNS} FROM {rows} AND type = {}
               ORDER BY time, id COLLATE \"C\", received_at)
         TO STDOUT (FORMAT binary)",
        quoted(kind)
    );
    let statement = session.answer(session.client().prepare(&sql)).await?;
    // The first row comes once all are sorted, for which there is no limit of the server's here.
    let stream = session.client().copy_out(&statement).await?;
    let mut stream = pin!(stream);
    let mut tuples = Tuples::default();
    while let Some(piece) = stream.try_next().await? {
        tuples.add(&piece)?;
        if let Some(rows) = tuples.take(PIECE_BYTES) {
            send(pieces, UnitPiece::Rows(rows)).await?;
        }
    }
    let rest = tuples.finish()?;
    if !rest.is_empty() {
        send(pieces, UnitPiece::Rows(rest)).await?;
    }
    Ok(())
}
