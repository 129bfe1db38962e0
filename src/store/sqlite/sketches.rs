//! The sketches that are kept, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{SqliteStore, rollups::RowBudget, with};
use crate::{
    domain::{delta::QUARTER_HOUR, sketch::Estimate, time::Millis},
    sink::SinkError,
    store::{
        rollup::Fold,
        sketches::{
            ADDED_UP, DAYS_AT_ONCE, DaySketches, Differing, LONGEST_DAY, REBUILT, SKETCHES_SINCE,
            SketchedSince, Sketches, SketchesAsked,
        },
    },
};

/// Adds the sketches of a fold to the table, in its transaction.
pub(super) fn add(tx: &Transaction<'_>, fold: &mut Fold) -> Result<(), SinkError> {
    let mut days: Vec<(Millis, Millis)> = Vec::new();
    for quarter in fold.sketches.quarters() {
        let near = added_up(tx, quarter - LONGEST_DAY, quarter + 1)?;
        days.extend(near.into_iter().filter(|(span, at)| at + span > quarter));
    }
    days.sort_unstable();
    days.dedup();
    let mut select = tx.prepare_cached(
        "SELECT sketch FROM sketch_rollups WHERE name = ? AND span = ? AND at = ?",
    )?;
    for kept in fold.sketches.finish(&days) {
        let key = params![kept.name, kept.span, kept.at];
        let stored: Option<Vec<u8>> = select.query_row(key, |row| row.get(0)).optional()?;
        write(tx, &kept.name, (kept.span, kept.at), &kept.onto(stored.as_deref())?)?;
    }
    Ok(())
}

/// Writes a sketch in the place of that which is stored.
pub(super) fn write(
    tx: &Transaction<'_>,
    name: &str,
    (span, at): (Millis, Millis),
    sketch: &[u8],
) -> Result<(), SinkError> {
    let mut upsert = tx.prepare_cached(
        "INSERT INTO sketch_rollups (name, span, at, sketch) VALUES (?, ?, ?, ?)
         ON CONFLICT (name, span, at) DO UPDATE SET sketch = excluded.sketch",
    )?;
    upsert.execute(params![name, span, at, sketch])?;
    Ok(())
}

/// The days (length and start) that were added up and begin in `[from, to)`, by their start.
fn added_up(
    conn: &Connection,
    from: Millis,
    to: Millis,
) -> Result<Vec<(Millis, Millis)>, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT span, at FROM sketch_rollups
         WHERE name = ? AND span > ? AND at >= ? AND at < ? ORDER BY at, span",
    )?;
    let day = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let days = select.query_map(params![ADDED_UP, QUARTER_HOUR, from, to], day)?;
    Ok(days.collect::<Result<_, _>>()?)
}

fn different(conn: &mut Connection, asked: &SketchesAsked) -> Result<Vec<Estimate>, SinkError> {
    let tx = conn.transaction()?;
    let mut differing = Differing::new(asked);
    let days = match (asked.stretches.first(), asked.stretches.last()) {
        (Some((from, _)), Some((_, to))) if !asked.by_minute => added_up(&tx, *from, *to)?,
        _ => Vec::new(),
    };
    let names = serde_json::json!(asked.what.names()).to_string();
    let mut budget = RowBudget::new();
    // By the index of times, so that the sketches come in their order without being sorted.
    let mut select = tx.prepare_cached(
        "SELECT name, at, sketch FROM sketch_rollups INDEXED BY sketch_rollups_by_time
         WHERE span = ?1 AND at >= ?2 AND at < ?3
               AND +name IN (SELECT value FROM json_each(?4)) ORDER BY at",
    )?;
    for read in differing.reads(&days) {
        let mut rows = select.query(params![read.span, read.from, read.to, names])?;
        while let Some(row) = rows.next()? {
            budget.look()?;
            let (name, sketch) = (row.get_ref(0)?, row.get_ref(2)?);
            let name = name.as_str().unwrap_or_default();
            differing.add(name, (read.span, row.get(1)?), sketch.as_blob().unwrap_or_default())?;
        }
    }
    Ok(differing.finish())
}

/// Adds up the newest of some days that is not added up yet, and says whether there was one.
fn add_up_day(conn: &mut Connection, days: &[(Millis, Millis)]) -> Result<bool, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first = "SELECT min(at) FROM sketch_rollups WHERE span = ?";
    let first: Option<Millis> = tx.query_row(first, [QUARTER_HOUR], |row| row.get(0))?;
    let oldest = days.iter().map(|day| day.0).min().unwrap_or(0);
    let known = added_up(&tx, oldest, Millis::MAX)?;
    let is_open = |day: &&(Millis, Millis)| {
        first.is_some_and(|first| day.1 > first) && !known.contains(&(day.1 - day.0, day.0))
    };
    let Some(&(from, to)) = days.iter().find(is_open) else { return Ok(false) };
    let mut day = DaySketches::default();
    {
        let mut select = tx.prepare_cached(
            "SELECT name, sketch FROM sketch_rollups WHERE span = ? AND at >= ? AND at < ?",
        )?;
        let mut rows = select.query(params![QUARTER_HOUR, from, to])?;
        while let Some(row) = rows.next()? {
            day.add(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default())?;
        }
    }
    for (name, sketch) in day.finish() {
        write(&tx, &name, (to - from, from), &sketch)?;
    }
    tx.commit()?;
    Ok(true)
}

#[async_trait]
impl Sketches for SqliteStore {
    async fn different(&self, asked: &SketchesAsked) -> Result<Vec<Estimate>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| different(conn, &asked)).await
    }

    async fn sketched_since(&self) -> Result<SketchedSince, SinkError> {
        with(&self.charts, |conn| {
            let lack = conn.query_row(SKETCHES_SINCE, [], |row| row.get(0))?;
            let mut select = conn.prepare_cached(REBUILT)?;
            let days = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(SketchedSince::of(lack, days.collect::<Result<_, _>>()?))
        })
        .await
    }

    async fn add_up_days(&self, days: &[(Millis, Millis)]) -> Result<(), SinkError> {
        // One day in each transaction, since batches wait meanwhile.
        for _ in 0..DAYS_AT_ONCE {
            let days = days.to_vec();
            if !with(&self.writer, move |conn| add_up_day(conn, &days)).await? {
                break;
            }
        }
        Ok(())
    }
}
