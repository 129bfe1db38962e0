//! The breakdowns that are kept, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{SqliteStore, rollups::RowBudget, with};
use crate::{
    domain::{
        time::{MINUTE, Millis},
        top::TopAnswer,
    },
    sink::SinkError,
    store::{
        breakdowns::{Breakdowns, FORGET, KeptSince, SINCE, TopsAsked, read_top},
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

fn sum(conn: &mut Connection, asked: &TopsAsked) -> Result<TopAnswer, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT top FROM breakdown_rollups
         WHERE breakdown = ? AND span = ? AND at >= ? AND at < ?",
    )?;
    let (mut sum, mut budget) = (TopAnswer::default(), RowBudget::new());
    for (span, (from, to)) in asked.stretches() {
        let mut rows = select.query(params![asked.breakdown, span, from, to])?;
        while let Some(row) = rows.next()? {
            budget.look()?;
            sum.add(&read_top(row.get_ref(0)?.as_blob().unwrap_or_default())?);
        }
    }
    Ok(sum)
}

#[async_trait]
impl Breakdowns for SqliteStore {
    async fn sum(&self, asked: &TopsAsked) -> Result<TopAnswer, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| sum(conn, &asked)).await
    }

    async fn since(&self) -> Result<KeptSince, SinkError> {
        with(&self.charts, |conn| {
            Ok(conn.query_row(SINCE, [], |row| Ok(KeptSince::of(row.get(0)?, row.get(1)?)))?)
        })
        .await
    }

    async fn forget_minutes(&self, before: Millis) -> Result<(), SinkError> {
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute(FORGET, [before])?;
            // A few at a time, since batches wait meanwhile.
            tx.execute(
                "DELETE FROM breakdown_rollups WHERE (breakdown, span, at) IN
                 (SELECT breakdown, span, at FROM breakdown_rollups
                  WHERE span = ?1 AND at < ?2 LIMIT ?3)",
                params![MINUTE, before, FORGOTTEN_AT_ONCE],
            )?;
            tx.execute(
                "DELETE FROM sketch_rollups WHERE rowid IN
                 (SELECT rowid FROM sketch_rollups WHERE span = ?1 AND at < ?2 LIMIT ?3)",
                params![MINUTE, before, FORGOTTEN_AT_ONCE],
            )?;
            Ok(tx.commit()?)
        })
        .await
    }
}

/// How many minutes are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
