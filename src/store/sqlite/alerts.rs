//! The log of alerts and the outbox of notices in SQLite. Only one process has the file, so it
//! always holds the lease.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{SqliteStore, with};
use crate::{
    domain::{alert::Firing, time::Millis},
    sink::{Lease, SinkError},
    store::alerts::{
        self, AlertHistory, AlertLog, CLAIM, CLEAR, DUE, FIRING, HISTORY, INSERT, INSERT_NOTICE,
        Notice, NoticeOutcome, OTHER, OVER, POSTPONE, Recorded, SETTLE,
    },
};

#[async_trait]
impl Lease for SqliteStore {
    async fn lead(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn resign(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl AlertLog for SqliteStore {
    async fn alert_history(&self) -> Result<AlertHistory, SinkError> {
        with(&self.reader, |conn| {
            // Both lists come from one transaction, so that an alert which clears between the two
            // reads is neither in both nor in none.
            let tx = conn.transaction()?;
            let read = |sql: &str, limit: Option<usize>| -> Result<Vec<Firing>, SinkError> {
                let mut select = tx.prepare_cached(&numbered(sql))?;
                let mut rows = match limit {
                    Some(limit) => select.query([limit as i64])?,
                    None => select.query([])?,
                };
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(alerts::firing(&row.get::<_, String>(0)?)?);
                }
                Ok(found)
            };
            Ok(AlertHistory { firing: read(FIRING, None)?, over: read(OVER, Some(HISTORY))? })
        })
        .await
    }

    async fn record_alert(
        &self,
        firing: &Firing,
        notices: &[Notice],
    ) -> Result<Recorded, SinkError> {
        let (firing, notices) = (firing.clone(), notices.to_vec());
        with(&self.writer, move |conn| record(conn, &firing, &notices)).await
    }

    async fn due_notices(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, SinkError> {
        with(&self.reader, move |conn| {
            let mut select = conn.prepare_cached(&numbered(DUE))?;
            let rows = select.query_map(params![now, limit as i64], |row| {
                alerts::due(|at| row.get(at), |at| row.get(at))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn claim_notice(&self, notice: &Notice, until: Millis) -> Result<bool, SinkError> {
        let (id, attempts) = (notice.id.clone(), notice.attempts);
        with(&self.writer, move |conn| {
            Ok(conn.prepare_cached(&numbered(CLAIM))?.execute(params![id, attempts, until])? == 1)
        })
        .await
    }

    async fn postpone_notice(&self, id: &str, due_at: Millis) -> Result<(), SinkError> {
        let id = id.to_owned();
        with(&self.writer, move |conn| {
            conn.prepare_cached(&numbered(POSTPONE))?.execute(params![id, due_at])?;
            Ok(())
        })
        .await
    }

    async fn settle_notice(
        &self,
        id: &str,
        outcome: NoticeOutcome,
        now: Millis,
    ) -> Result<(), SinkError> {
        let id = id.to_owned();
        with(&self.writer, move |conn| {
            conn.prepare_cached(&numbered(SETTLE))?.execute(params![id, outcome.name(), now])?;
            Ok(())
        })
        .await
    }
}

/// SQL for both stores, with the parameters written as SQLite needs them. SQLite takes `$3` for a
/// name, and numbers names in the order in which they appear; `?3` is the third parameter.
pub(super) fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

/// Records a firing, or its end, with its notices. The steps are those of the Postgres store.
fn record(
    conn: &mut Connection,
    firing: &Firing,
    notices: &[Notice],
) -> Result<Recorded, SinkError> {
    // Dropped without a commit, where another firing is known or an error ends it, the
    // transaction rolls back.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let detail = alerts::detail(firing);
    let cleared = firing.cleared_at.is_some()
        && tx.prepare_cached(&numbered(CLEAR))?.execute(params![
            firing.id,
            firing.cleared_at,
            detail
        ])? == 1;
    if !cleared {
        let row = params![firing.id, firing.name, firing.since, firing.cleared_at, detail];
        tx.prepare_cached(&numbered(INSERT))?.execute(row)?;
    }
    if firing.cleared_at.is_none() {
        let other: Option<String> = tx
            .prepare_cached(&numbered(OTHER))?
            .query_row(params![firing.name, firing.id], |row| row.get(0))
            .optional()?;
        if let Some(other) = other {
            return Ok(Recorded::Known(Box::new(alerts::firing(&other)?)));
        }
    }
    for notice in notices {
        let outcome = notice.outcome.map(NoticeOutcome::name);
        tx.prepare_cached(&numbered(INSERT_NOTICE))?.execute(params![
            notice.id,
            notice.alert,
            notice.change,
            notice.webhook,
            notice.body,
            notice.created_at,
            notice.due_at,
            notice.attempts,
            outcome.map(|_| notice.due_at),
            outcome,
        ])?;
    }
    tx.commit()?;
    Ok(Recorded::Done)
}
