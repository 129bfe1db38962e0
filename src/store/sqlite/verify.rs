//! All sums of a day, as each part of SQLite has them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction};
use uuid::Uuid;

use super::{
    SqliteStore,
    remake::{READ, add_found, add_rows},
    with,
};
use crate::{
    domain::time::DAY,
    sink::SinkError,
    store::{
        retention::{REMOVED_FOR_GOOD, UtcDay},
        rollup::{
            remake::{RemakeAsked, Remaking},
            verify::{DayAsked, DayReader, DayReading, StoredDay},
        },
    },
};

fn read_day(conn: &mut Connection, asked: &DayAsked) -> Result<StoredDay, SinkError> {
    let tx = conn.transaction()?;
    // Rows and what is noted of their removal change in one transaction here.
    let mut reading = DayReading::new(asked, false);
    known(&tx, &mut reading)?;
    sums(&tx, asked, &mut reading)?;
    let mut counting = reading.counting();
    if let Some(remaking) = &mut counting {
        add_rows(&tx, &asked.day, remaking)?;
        add_strays(&tx, &asked.day, remaking)?;
    }
    Ok(reading.finish(counting))
}

/// Reads what was dropped, let go of and removed.
fn known(tx: &Transaction<'_>, reading: &mut DayReading) -> Result<(), SinkError> {
    let sql = "SELECT max(dropped_to),
                      coalesce(sum(dropped > 0 AND dropped_to IS NULL), 0) > 0 FROM fold_heads";
    let (last, is_unknown) = tx.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    reading.dropped(last, is_unknown);
    let sql = "SELECT before FROM history_forgotten WHERE what = 'rollups'";
    reading.let_go(tx.query_row(sql, [], |row| row.get(0)).optional()?);
    let mut select = tx.prepare(REMOVED_FOR_GOOD)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let day: String = row.get(0)?;
        reading.removed(&day, row.get(1)?, row.get::<_, i64>(2)? as u64);
    }
    Ok(())
}

/// Reads the ledger and the rollups.
fn sums(tx: &Transaction<'_>, asked: &DayAsked, reading: &mut DayReading) -> Result<(), SinkError> {
    let day = [asked.day.from, asked.day.to];
    let mut select = tx.prepare(
        "SELECT l.node, l.seq, l.delta, l.seq <= coalesce(f.seq, 0), l.poisoned FROM ledger l
             LEFT JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
         WHERE l.first_second < ?2 AND l.last_second >= ?1",
    )?;
    let mut rows = select.query(day)?;
    while let Some(row) = rows.next()? {
        let (node, seq): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
        let name = || {
            let node = Uuid::from_slice(&node).unwrap_or_default();
            format!("batch {seq} of run {node}")
        };
        let delta: Vec<u8> = row.get(2)?;
        reading.ledger_row(name, &delta, row.get(3)?, row.get::<_, i64>(4)? as u64);
    }
    let mut select =
        tx.prepare("SELECT series, minute, value FROM rollups WHERE minute >= ?1 AND minute < ?2")?;
    let mut rows = select.query(day)?;
    while let Some(row) = rows.next()? {
        reading.rolled_up(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(())
}

/// Adds rows of the day that are in no run of any batch, so that no batch has written them: a read by time
/// goes by runs and does not find them.
fn add_strays(
    tx: &Transaction<'_>,
    asked: &RemakeAsked,
    remaking: &mut Remaking,
) -> Result<(), SinkError> {
    let mut runs = tx.prepare(
        "SELECT first_row, last_row FROM ledger WHERE first_row IS NOT NULL
         UNION ALL SELECT first_row, last_row FROM event_runs ORDER BY first_row",
    )?;
    let (from, to) = Remaking::stretch(asked);
    let mut strays = tx.prepare(&format!(
        "SELECT {READ} FROM events WHERE rowid > ?1 AND rowid < ?2 AND time >= ?3 AND time < ?4"
    ))?;
    let mut runs = runs.query([])?;
    let mut last = i64::MIN;
    while let Some(run) = runs.next()? {
        let (first, end): (i64, i64) = (run.get(0)?, run.get(1)?);
        if first > last.saturating_add(1) {
            add_found(&mut strays.query([last, first, from, to])?, remaking)?;
        }
        last = last.max(end);
    }
    add_found(&mut strays.query([last, i64::MAX, from, to])?, remaking)
}

fn days(conn: &mut Connection) -> Result<BTreeSet<UtcDay>, SinkError> {
    let mut select = conn.prepare(
        "SELECT DISTINCT minute / ?1 FROM rollups UNION
         SELECT DISTINCT first_second / ?1 FROM ledger WHERE first_second IS NOT NULL",
    )?;
    let rows = select.query_map([DAY], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[async_trait]
impl DayReader for SqliteStore {
    async fn read_day(&self, asked: &DayAsked) -> Result<StoredDay, SinkError> {
        let asked = asked.clone();
        with(&self.reader, move |conn| read_day(conn, &asked)).await
    }

    async fn days(&self) -> Result<BTreeSet<UtcDay>, SinkError> {
        with(&self.reader, days).await
    }
}
