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
        kept_minutes::{FORGOTTEN, KeptMinutes, SPARE, SPARE_NONE, SPARED},
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
            let tx = conn.transaction()?;
            Ok(KeptSince::of(tx.query_row(SINCE, [], |row| row.get(0))?, kept_minutes(&tx)?))
        })
        .await
    }

    async fn forget_minutes(
        &self,
        before: Millis,
        occasions: &[(Millis, Millis)],
    ) -> Result<(), SinkError> {
        let occasions = occasions.to_vec();
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            forget_minutes(&tx, before, &occasions)?;
            Ok(tx.commit()?)
        })
        .await
    }
}

fn forget_minutes(
    tx: &Transaction<'_>,
    before: Millis,
    occasions: &[(Millis, Millis)],
) -> Result<(), SinkError> {
    let known = kept_minutes(tx)?;
    let kept = known.once_forgotten(before, occasions);
    tx.execute(FORGET, [before])?;
    if kept.spared != known.spared {
        tx.execute(SPARE_NONE, [])?;
        for (starts, ends) in &kept.spared {
            tx.execute(SPARE, [starts, ends])?;
        }
    }
    for (from, to) in kept.gone() {
        // A few at a time, since batches wait meanwhile.
        let gone = params![MINUTE, from, to, FORGOTTEN_AT_ONCE];
        tx.execute(
            "DELETE FROM breakdown_rollups WHERE (breakdown, span, at) IN
             (SELECT breakdown, span, at FROM breakdown_rollups
              WHERE span = ?1 AND at >= ?2 AND at < ?3 LIMIT ?4)",
            gone,
        )?;
        tx.execute(
            "DELETE FROM sketch_rollups WHERE rowid IN
             (SELECT rowid FROM sketch_rollups
              WHERE span = ?1 AND at >= ?2 AND at < ?3 LIMIT ?4)",
            gone,
        )?;
    }
    Ok(())
}

/// Of which stretches of time there are minutes.
pub(super) fn kept_minutes(tx: &Transaction<'_>) -> Result<KeptMinutes, SinkError> {
    let since = tx.query_row(FORGOTTEN, [], |row| row.get(0))?;
    let mut select = tx.prepare(SPARED)?;
    let spared = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(KeptMinutes { since, spared: spared.collect::<Result<_, _>>()? })
}

/// How many minutes are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
