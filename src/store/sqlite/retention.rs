//! Removes what is too old from SQLite, a few rows in each transaction, so that batches are written in
//! between.
//!
//! `events` has no index on time. Runs of rowids say which seconds their rows span (`ledger`,
//! [`super::runs`]), so a pass begins with a list of the runs that may have rows that are too old
//! (`removal_work`), and each step takes a few rows off that list. List, rows and the note of what was removed
//! change in one transaction, so a kill leaves a pass where it was.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    SqliteStore,
    alerts::numbered,
    room::{give_back, size, trim},
    with,
};
use crate::{
    domain::time::{DAY, Millis, now_ms},
    sink::SinkError,
    store::retention::{
        DueRows, NOTE, REMOVED, RemovalReason, RemovalStep, RemovedRows, Retention, StoreSize,
        TooOld, Trimmed, UtcDay, date_of, days_of,
    },
};

/// Rows that one step looks through. A batch that comes meanwhile waits for that.
const STEP_ROWS: i64 = 2_000;

/// What a pass did: its rules, and the last row that was there then.
struct RemovalPass {
    rules: TooOld,
    last_row: i64,
}

/// A pass that is to begin: the runs of rows that it looks through, by their first row.
struct PlannedPass {
    work: BTreeMap<i64, i64>,
    /// One more than the last row that is there.
    last_row: i64,
}

/// The rules of the pass that is under way.
fn under_way(conn: &Connection) -> Result<Option<String>, SinkError> {
    let sql = "SELECT rules FROM removal_pass WHERE last_row > 0";
    Ok(conn.query_row(sql, [], |row| row.get(0)).optional()?)
}

/// Finds what a pass by these rules has to look through; `None` where it is under way. All runs are read for
/// that, so this is for a connection that keeps nobody from writing.
fn plan(conn: &mut Connection, old: &TooOld) -> Result<Option<PlannedPass>, SinkError> {
    let tx = conn.transaction()?;
    if under_way(&tx)?.is_some_and(|known| known == written(old)) {
        return Ok(None);
    }
    let mut work = aged_runs(&tx, old)?;
    work.extend(gaps(&tx)?);
    let sql = "SELECT coalesce(max(rowid), 0) + 1 FROM events";
    let last_row = tx.query_row(sql, [], |row| row.get(0))?;
    Ok(Some(PlannedPass { work, last_row }))
}

/// Rules as `removal_pass` has them.
fn written(old: &TooOld) -> String {
    serde_json::to_string(old).expect("plain data always encodes")
}

/// Removes rows of the first run on the list, once what is planned was put there.
fn remove_some(
    conn: &mut Connection,
    old: &TooOld,
    planned: Option<PlannedPass>,
) -> Result<RemovalStep, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if under_way(&tx)?.is_none_or(|known| known != written(old)) {
        // Another process may have ended the pass that was under way: the next step plans one.
        let Some(planned) = planned else { return Ok(RemovalStep::default()) };
        begin_pass(&tx, old, &planned)?;
    }
    let next: Option<(i64, i64)> = tx
        .query_row(
            "SELECT first_row, last_row FROM removal_work ORDER BY first_row LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((first, last)) = next else {
        end_pass(&tx, old)?;
        tx.commit()?;
        return Ok(RemovalStep { removed: Vec::new(), done: true });
    };
    // Where rows were removed already there is nothing but a gap, which costs nothing.
    let upto: Option<i64> = tx
        .prepare_cached(
            "SELECT max(rowid) FROM (SELECT rowid FROM events WHERE rowid >= ?1 AND rowid <= ?2
             ORDER BY rowid LIMIT ?3)",
        )?
        .query_row([first, last, STEP_ROWS], |row| row.get(0))?;
    let removed = match upto {
        Some(upto) => delete(&tx, old, (first, upto))?,
        None => BTreeMap::new(),
    };
    tx.execute("DELETE FROM removal_work WHERE first_row = ?", [first])?;
    if let Some(upto) = upto.filter(|upto| *upto < last) {
        tx.execute("INSERT INTO removal_work VALUES (?, ?)", [upto + 1, last])?;
    }
    let mut note = tx.prepare_cached(&numbered(NOTE))?;
    let mut step = RemovalStep::default();
    for ((day, kind, reason), rows) in removed {
        let (date, none) = (date_of(day), None::<i64>);
        note.execute(params![date, kind, reason.name(), rows as i64, now_ms(), none])?;
        step.removed.push((day, kind, reason, rows));
    }
    drop(note);
    crate::failpoint::kill_point!("retention-step");
    tx.commit()?;
    Ok(step)
}

/// The runs that may have rows that are too old now, and were not looked through for that before.
fn aged_runs(conn: &Connection, old: &TooOld) -> Result<BTreeMap<i64, i64>, SinkError> {
    let done = done_before(conn)?;
    // A rule of whole days has no type.
    let before = |rules: &TooOld, kind: Option<&String>| -> UtcDay {
        let of = kind.map_or(rules.all, |kind| rules.by_type.get(kind).copied().or(rules.all));
        of.unwrap_or_default()
    };
    let kinds = old.all.map(|_| None).into_iter().chain(old.by_type.keys().map(Some));
    let mut select = conn.prepare(
        "SELECT first_row, last_row FROM (
             SELECT first_row, last_row, first_second, last_second FROM event_runs
             UNION ALL SELECT first_row, last_row, first_second, last_second FROM ledger
             WHERE first_row IS NOT NULL AND first_second IS NOT NULL)
         WHERE first_second < ?1 AND (last_second >= ?2 OR last_row > ?3)",
    )?;
    let mut found = BTreeMap::new();
    for kind in kinds {
        let known = done.as_ref().map_or(0, |done| before(&done.rules, kind));
        let row = done.as_ref().map_or(0, |done| done.last_row);
        let mut rows = select.query([before(old, kind) * DAY, known * DAY, row])?;
        while let Some(row) = rows.next()? {
            found.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(found)
}

/// What is between runs. Rows that no counter counts are in no run that is kept, such as those of a batch of
/// which nothing was counted.
pub(super) fn gaps(conn: &Connection) -> Result<Vec<(i64, i64)>, SinkError> {
    let mut select = conn.prepare(
        "SELECT since, first_row - 1 FROM (
             SELECT coalesce(max(last_row) OVER (
                        ORDER BY first_row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) + 1
                    AS since, first_row
             FROM (SELECT first_row, last_row FROM event_runs
                   UNION ALL SELECT first_row, last_row FROM ledger
                   WHERE first_row IS NOT NULL AND first_second IS NOT NULL))
         WHERE since < first_row",
    )?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Puts a pass on the list, in the place of whatever was there.
fn begin_pass(tx: &Transaction<'_>, old: &TooOld, planned: &PlannedPass) -> Result<(), SinkError> {
    tx.execute("DELETE FROM removal_work", [])?;
    let mut list = tx.prepare("INSERT INTO removal_work VALUES (?, ?)")?;
    for (first, last) in &planned.work {
        list.execute([first, last])?;
    }
    tx.execute(
        "INSERT INTO removal_pass (only_row, rules, last_row) VALUES (1, ?, ?)
         ON CONFLICT (only_row) DO UPDATE SET rules = excluded.rules, last_row = excluded.last_row",
        params![written(old), planned.last_row],
    )?;
    Ok(())
}

/// What the last pass that came to its end did.
fn done_before(conn: &Connection) -> Result<Option<RemovalPass>, SinkError> {
    let found: Option<(Option<String>, i64)> = conn
        .query_row("SELECT done, done_row FROM removal_pass", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((Some(rules), last_row)) = found else { return Ok(None) };
    // Written by another version: everything is looked through again.
    let Ok(rules) = serde_json::from_str(&rules) else { return Ok(None) };
    Ok(Some(RemovalPass { rules, last_row }))
}

/// Notes that a pass is over, and forgets the runs of which nothing is left.
fn end_pass(tx: &Transaction<'_>, old: &TooOld) -> Result<(), SinkError> {
    if let Some(first) = old.all.map(|day| day * DAY) {
        tx.execute("DELETE FROM event_runs WHERE last_second < ?", [first])?;
        // What was in front of it has gone, so the next pass need not look again.
        tx.execute("UPDATE event_runs SET first_second = ?1 WHERE first_second < ?1", [first])?;
    }
    tx.execute("UPDATE removal_pass SET done = rules, done_row = last_row - 1, last_row = 0", [])?;
    Ok(())
}

type RemovedCounts = BTreeMap<(UtcDay, String, RemovalReason), u64>;

/// Deletes what is too old of a few rows, and counts it.
fn delete(
    tx: &Transaction<'_>,
    old: &TooOld,
    (first, last): (i64, i64),
) -> Result<RemovedCounts, SinkError> {
    let mut counts = RemovedCounts::new();
    let (which, kinds) = condition(old);
    let mut delete = tx.prepare_cached(&format!(
        "DELETE FROM events WHERE rowid >= ?1 AND rowid <= ?2 AND ({which}) RETURNING time, type"
    ))?;
    delete.raw_bind_parameter(1, first)?;
    delete.raw_bind_parameter(2, last)?;
    for (n, kind) in kinds.iter().enumerate() {
        delete.raw_bind_parameter(n + 3, kind)?;
    }
    let mut rows = delete.raw_query();
    while let Some(row) = rows.next()? {
        let (day, kind) = (row.get::<_, Millis>(0)?.div_euclid(DAY), row.get::<_, String>(1)?);
        let reason = old.reason(day, &kind).unwrap_or(RemovalReason::Age);
        let kind = if reason == RemovalReason::Age { String::new() } else { kind };
        *counts.entry((day, kind, reason)).or_default() += 1;
    }
    Ok(counts)
}

/// Which rows are too old, with types as the parameters from the third on.
fn condition(old: &TooOld) -> (String, Vec<String>) {
    let mut parts: Vec<String> =
        old.all.iter().map(|day| format!("time < {}", day * DAY)).collect();
    for (n, day) in old.by_type.values().enumerate() {
        parts.push(format!("(type = ?{} AND time < {})", n + 3, day * DAY));
    }
    (parts.join(" OR "), old.by_type.keys().cloned().collect())
}

/// Counts what is too old. This reads all rows up to the horizon.
fn due(conn: &mut Connection, old: &TooOld) -> Result<Vec<DueRows>, SinkError> {
    let mut counts = BTreeMap::<(UtcDay, String, RemovalReason), (u64, u64)>::new();
    let mut select = conn.prepare(
        "SELECT time / 86400000, type, count(*), sum(length(id) + length(properties) + 80)
         FROM events WHERE time < ?1 GROUP BY 1, 2",
    )?;
    let mut rows = select.query([old.horizon().saturating_mul(DAY)])?;
    while let Some(row) = rows.next()? {
        let (day, kind): (UtcDay, String) = (row.get(0)?, row.get(1)?);
        let Some(reason) = old.reason(day, &kind) else { continue };
        let kind = if reason == RemovalReason::Age { String::new() } else { kind };
        let entry = counts.entry((day, kind, reason)).or_default();
        entry.0 += row.get::<_, i64>(2)? as u64;
        entry.1 += row.get::<_, i64>(3)? as u64;
    }
    let due = counts.into_iter().map(|((day, kind, reason), (rows, bytes))| DueRows {
        day: date_of(day),
        kind,
        reason,
        rows,
        estimated: false,
        bytes,
    });
    Ok(due.collect())
}

#[async_trait]
impl Retention for SqliteStore {
    async fn lead_removal(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        // A command may remove beside the server: each step is a transaction that reads the list anew.
        Ok(true)
    }

    async fn resign_removal(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }

    async fn due(&self, too_old: &TooOld) -> Result<Vec<DueRows>, SinkError> {
        let old = too_old.clone();
        with(&self.reader, move |conn| due(conn, &old)).await
    }

    async fn remove_some(&self, too_old: &TooOld) -> Result<RemovalStep, SinkError> {
        let old = too_old.clone();
        let planned = with(&self.charts, move |conn| plan(conn, &old)).await?;
        let old = too_old.clone();
        with(&self.writer, move |conn| remove_some(conn, &old, planned)).await
    }

    async fn trim(&self, what: Trimmed, before: Millis) -> Result<u64, SinkError> {
        with(&self.writer, move |conn| trim(conn, what, before)).await
    }

    async fn give_back(&self) -> Result<bool, SinkError> {
        with(&self.writer, give_back).await
    }

    async fn removed(&self, from: Millis, to: Millis) -> Result<Vec<RemovedRows>, SinkError> {
        let (first, last) = days_of(from, to);
        with(&self.charts, move |conn| {
            let mut select = conn.prepare_cached(&numbered(REMOVED))?;
            let rows = select.query_map([first, last], |row| {
                Ok(RemovedRows {
                    day: row.get(0)?,
                    kind: row.get(1)?,
                    reason: RemovalReason::named(&row.get::<_, String>(2)?),
                    rows: row.get::<_, i64>(3)? as u64,
                    removed_at: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn size(&self) -> Result<StoreSize, SinkError> {
        with(&self.charts, size).await
    }

    async fn sizes(&self) -> Result<Vec<(Millis, u64)>, SinkError> {
        with(&self.charts, |conn| {
            let mut select =
                conn.prepare_cached("SELECT at, bytes FROM store_sizes ORDER BY at")?;
            let rows = select
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn note_size(&self, at: Millis, bytes: u64, before: Millis) -> Result<(), SinkError> {
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute("DELETE FROM store_sizes WHERE at < ?", [before])?;
            tx.execute("INSERT OR REPLACE INTO store_sizes VALUES (?, ?)", [at, bytes as i64])?;
            tx.commit()?;
            Ok(())
        })
        .await
    }
}
