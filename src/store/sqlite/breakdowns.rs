//! The breakdowns that are kept, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{SqliteStore, rollups::RowBudget, with};
use crate::{
    domain::{
        time::{MINUTE, Millis, SECOND},
        top::Top,
    },
    sink::SinkError,
    store::{
        breakdowns::{Breakdowns, LACK, MAX_SUMMARIES, TopsAsked, read_top, too_many_summaries},
        rollup::Fold,
    },
};

/// Adds the breakdowns of a fold to the table, in its transaction.
pub(super) fn add(tx: &Transaction<'_>, fold: &mut Fold) -> Result<(), SinkError> {
    let mut select = tx.prepare_cached(
        "SELECT top FROM breakdown_rollups WHERE breakdown = ? AND span = ? AND at = ?",
    )?;
    let mut upsert = tx.prepare_cached(
        "INSERT INTO breakdown_rollups (breakdown, span, at, top) VALUES (?, ?, ?, ?)
         ON CONFLICT (breakdown, span, at) DO UPDATE SET top = excluded.top",
    )?;
    for kept in fold.tops.finish() {
        let key = params![kept.breakdown, kept.span, kept.at];
        let stored: Option<Vec<u8>> = select.query_row(key, |row| row.get(0)).optional()?;
        let top = kept.onto(stored.as_deref())?;
        upsert.execute(params![kept.breakdown, kept.span, kept.at, top])?;
    }
    Ok(())
}

fn tops(conn: &mut Connection, asked: &TopsAsked) -> Result<Vec<Top>, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT top FROM breakdown_rollups
         WHERE breakdown = ? AND span = ? AND at >= ? AND at < ?",
    )?;
    let (mut found, mut budget) = (Vec::new(), RowBudget::new());
    for (span, (from, to)) in asked.stretches() {
        let mut rows = select.query(params![asked.breakdown, span, from, to])?;
        while let Some(row) = rows.next()? {
            budget.look()?;
            if found.len() == MAX_SUMMARIES {
                return Err(too_many_summaries());
            }
            found.push(read_top(row.get_ref(0)?.as_blob().unwrap_or_default())?);
        }
    }
    Ok(found)
}

#[async_trait]
impl Breakdowns for SqliteStore {
    async fn tops(&self, asked: &TopsAsked) -> Result<Vec<Top>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| tops(conn, &asked)).await
    }

    async fn complete_since(&self) -> Result<Option<Millis>, SinkError> {
        with(&self.charts, |conn| {
            let lack: Option<Millis> = conn.query_row(LACK, [], |row| row.get(0))?;
            Ok(lack.map(|second| second + SECOND))
        })
        .await
    }

    async fn forget_minutes(&self, before: Millis) -> Result<(), SinkError> {
        with(&self.writer, move |conn| {
            // A few at a time, since batches wait meanwhile.
            let mut delete = conn.prepare_cached(
                "DELETE FROM breakdown_rollups WHERE (breakdown, span, at) IN
                 (SELECT breakdown, span, at FROM breakdown_rollups
                  WHERE span = ?1 AND at < ?2 LIMIT ?3)",
            )?;
            delete.execute(params![MINUTE, before, FORGOTTEN_AT_ONCE])?;
            Ok(())
        })
        .await
    }
}

/// How many minutes are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
