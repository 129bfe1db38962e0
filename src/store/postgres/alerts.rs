//! The log of alerts, the outbox of notices and the lease in Postgres. They have connections of
//! their own, so that an alert never waits for a batch or a chart.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
};
use crate::{
    domain::{alert::Firing, time::Millis},
    sink::{Lease, SinkError},
    store::alerts::{
        self, AlertHistory, AlertLog, CLAIM, CLEAR, DUE, FIRING, HISTORY, INSERT, INSERT_NOTICE,
        Notice, NoticeOutcome, OTHER, OVER, POSTPONE, Recorded, SETTLE,
    },
};

/// Connections for alerts: one for the actor that evaluates them, one for the notifier.
pub(super) const CONNECTIONS: usize = 2;
/// How long a statement for alerts may take, in ms, where `postgres.statement_timeout_ms` is not
/// shorter. After that the alert goes out from memory: a late alert is worse than one that is
/// not recorded yet.
pub(super) const TIMEOUT_MS: u64 = 3_000;

/// The row of the table `leases` that the node which evaluates alerts holds.
const LEASE: &str = "alerts";

impl PostgresStore {
    /// A transaction that writes. READ COMMITTED is asked for by name, since a database may
    /// have another default, under which two nodes that write at once would get errors.
    pub(super) async fn changing(&self) -> Result<Session, Failure> {
        self.ready().await?;
        let session = self.alerts.get().await?;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        Ok(session)
    }

    /// Runs one statement in a transaction of its own, and says how many rows it changed.
    pub(super) async fn change(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<usize, Failure> {
        let session = self.changing().await?;
        let rows = session.query(&format!("{sql} RETURNING 1"), parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(rows.len())
    }

    async fn try_alert_history(&self) -> Result<AlertHistory, Failure> {
        self.ready().await?;
        let session = self.alerts.get().await?;
        // Both statements read one snapshot, so that an alert which clears between them is
        // neither in both lists nor in none.
        session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let read = |rows: Vec<Row>| -> Result<Vec<Firing>, Failure> {
            rows.iter().map(|row| Ok(alerts::firing(row.try_get(0)?)?)).collect()
        };
        let firing = read(session.query(FIRING, &[]).await?)?;
        let over = read(session.query(OVER, &[(&(HISTORY as i64), Type::INT8)]).await?)?;
        session.run("COMMIT").await?;
        session.done();
        Ok(AlertHistory { firing, over })
    }

    async fn try_record(&self, firing: &Firing, notices: &[Notice]) -> Result<Recorded, Failure> {
        let session = self.changing().await?;
        let detail = alerts::detail(firing);
        // First the end of a firing that is on record. A firing whose begin was never recorded
        // (the store was away then) is inserted whole instead, begin and end in one row.
        let mut cleared = false;
        if firing.cleared_at.is_some() {
            let parameters: [Parameter<'_>; 3] =
                [(&firing.id, Type::TEXT), (&firing.cleared_at, Type::INT8), (&detail, Type::TEXT)];
            let rows = session.query(&format!("{CLEAR} RETURNING 1"), &parameters).await?;
            cleared = !rows.is_empty();
        }
        if !cleared {
            let parameters: [Parameter<'_>; 5] = [
                (&firing.id, Type::TEXT),
                (&firing.name, Type::TEXT),
                (&firing.since, Type::INT8),
                (&firing.cleared_at, Type::INT8),
                (&detail, Type::TEXT),
            ];
            session.query(INSERT, &parameters).await?;
        }
        if firing.cleared_at.is_none() {
            let parameters: [Parameter<'_>; 2] =
                [(&firing.name, Type::TEXT), (&firing.id, Type::TEXT)];
            // Another node may have recorded that this alert fires, under an id of its own. Its
            // record stands, and nothing of ours may be written, or webhooks are told twice.
            if let Some(other) = session.query(OTHER, &parameters).await?.first() {
                let known = alerts::firing(other.try_get(0)?)?;
                session.run("ROLLBACK").await?;
                session.done();
                return Ok(Recorded::Known(Box::new(known)));
            }
        }
        for notice in notices {
            let outcome = notice.outcome.map(NoticeOutcome::name);
            let parameters: [Parameter<'_>; 10] = [
                (&notice.id, Type::TEXT),
                (&notice.alert, Type::TEXT),
                (&notice.change, Type::TEXT),
                (&notice.webhook, Type::TEXT),
                (&notice.body, Type::TEXT),
                (&notice.created_at, Type::INT8),
                (&notice.due_at, Type::INT8),
                (&i64::from(notice.attempts), Type::INT8),
                (&outcome.map(|_| notice.due_at), Type::INT8),
                (&outcome, Type::TEXT),
            ];
            session.query(INSERT_NOTICE, &parameters).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(Recorded::Done)
    }

    async fn try_due(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, Failure> {
        self.ready().await?;
        let session = self.alerts.get().await?;
        session.begin("READ ONLY").await?;
        let parameters: [Parameter<'_>; 2] = [(&now, Type::INT8), (&(limit as i64), Type::INT8)];
        let rows = session.query(DUE, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        let read = |row: &Row| Ok(alerts::due(|at| row.try_get(at), |at| row.try_get(at))?);
        rows.iter().map(read).collect()
    }
}

#[async_trait]
impl Lease for PostgresStore {
    async fn lead(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError> {
        self.take_lease(LEASE, holder, ttl).await
    }

    async fn resign(&self, holder: &str) -> Result<(), SinkError> {
        self.give_lease_back(LEASE, holder).await
    }
}

#[async_trait]
impl AlertLog for PostgresStore {
    async fn alert_history(&self) -> Result<AlertHistory, SinkError> {
        self.try_alert_history().await.map_err(|e| self.told(e))
    }

    async fn record_alert(
        &self,
        firing: &Firing,
        notices: &[Notice],
    ) -> Result<Recorded, SinkError> {
        self.try_record(firing, notices).await.map_err(|e| self.told(e))
    }

    async fn due_notices(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, SinkError> {
        self.try_due(now, limit).await.map_err(|e| self.told(e))
    }

    async fn claim_notice(&self, notice: &Notice, until: Millis) -> Result<bool, SinkError> {
        let attempts = i64::from(notice.attempts);
        let parameters: [Parameter<'_>; 3] =
            [(&notice.id, Type::TEXT), (&attempts, Type::INT8), (&until, Type::INT8)];
        Ok(self.change(CLAIM, &parameters).await.map_err(|e| self.told(e))? == 1)
    }

    async fn postpone_notice(&self, id: &str, due_at: Millis) -> Result<(), SinkError> {
        let parameters: [Parameter<'_>; 2] = [(&id, Type::TEXT), (&due_at, Type::INT8)];
        self.change(POSTPONE, &parameters).await.map(drop).map_err(|e| self.told(e))
    }

    async fn settle_notice(
        &self,
        id: &str,
        outcome: NoticeOutcome,
        now: Millis,
    ) -> Result<(), SinkError> {
        let outcome = outcome.name();
        let parameters: [Parameter<'_>; 3] =
            [(&id, Type::TEXT), (&outcome, Type::TEXT), (&now, Type::INT8)];
        self.change(SETTLE, &parameters).await.map(drop).map_err(|e| self.told(e))
    }
}
