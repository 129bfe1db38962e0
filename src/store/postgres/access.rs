//! Who has access, in Postgres. The statements are short, and take the connections of alerts.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{PostgresStore, errors::Failure, schema::exists, session::Parameter};
use crate::{
    domain::access::{AccessChange, AuditEntry, StoredBook},
    sink::SinkError,
    store::access::{
        self, AUDIT, AccessStore, DOORS, HEAD, IDENTITIES, MOVE_ON, NOTE, PUT, VERSION, number_of,
    },
};

impl PostgresStore {
    async fn try_access_version(&self) -> Result<i64, Failure> {
        self.ready().await?;
        let session = self.alerts.get().await?;
        session.begin("READ ONLY").await?;
        let rows = session.query(VERSION, &[]).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(rows[0].try_get(0)?)
    }

    async fn try_access_doors(&self) -> Result<(bool, bool), Failure> {
        let session = self.alerts.get().await?;
        session.begin("READ ONLY").await?;
        let there = session.rows(&format!("SELECT {}", exists("access_head"))).await?;
        let mut doors = (false, false);
        if there[0][0].as_deref() == Some("t") {
            let rows = session.query(DOORS, &[]).await?;
            doors = (rows[0].try_get(0)?, rows[0].try_get(1)?);
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(doors)
    }

    async fn try_access_book(&self) -> Result<StoredBook, Failure> {
        self.ready().await?;
        let session = self.alerts.get().await?;
        // Both statements read one snapshot, so that head and identities are of one version.
        session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let head = session.query(HEAD, &[]).await?;
        let rows = session.query(IDENTITIES, &[]).await?;
        session.run("COMMIT").await?;
        session.done();
        let mut identities = Vec::with_capacity(rows.len());
        for row in rows {
            identities.push(access::read(row.try_get(0)?)?);
        }
        Ok(StoredBook {
            version: head[0].try_get(0)?,
            session_key: head[0].try_get(1)?,
            sends_closed: head[0].try_get(2)?,
            views_closed: head[0].try_get(3)?,
            last_number: head[0].try_get::<_, i64>(4)? as u32,
            identities: access::in_order(identities),
        })
    }

    async fn try_change_access(&self, change: &AccessChange) -> Result<bool, Failure> {
        let session = self.changing().await?;
        let head: [Parameter<'_>; 4] = [
            (&change.from, Type::INT8),
            (&change.closes_sends, Type::BOOL),
            (&change.closes_views, Type::BOOL),
            (&number_of(change), Type::INT8),
        ];
        // A change that is under way elsewhere holds the row: this one then waits for its end, and
        // finds another version.
        if session.query(&format!("{MOVE_ON} RETURNING 1"), &head).await?.is_empty() {
            session.run("ROLLBACK").await?;
            session.done();
            return Ok(false);
        }
        self.still_ours(&session).await?;
        let (identity, audit) = (&change.identity, &change.audit);
        let put: [Parameter<'_>; 5] = [
            (&identity.id, Type::TEXT),
            (&identity.kind_name(), Type::TEXT),
            (&identity.name, Type::TEXT),
            (&access::body(identity), Type::TEXT),
            (&identity.revoked_at, Type::INT8),
        ];
        session.query(PUT, &put).await?;
        let note: [Parameter<'_>; 3] = [
            (&audit.version, Type::INT8),
            (&audit.at, Type::INT8),
            (&access::body(audit), Type::TEXT),
        ];
        session.query(NOTE, &note).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(true)
    }

    async fn try_access_audit(
        &self,
        before: i64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Failure> {
        let parameters: [Parameter<'_>; 2] = [(&before, Type::INT8), (&(limit as i64), Type::INT8)];
        let rows = self.read(AUDIT, &parameters).await?;
        rows.iter().map(|row| Ok(access::read(row.try_get(0)?)?)).collect()
    }
}

#[async_trait]
impl AccessStore for PostgresStore {
    async fn access_version(&self) -> Result<i64, SinkError> {
        self.try_access_version().await.map_err(|e| self.told(e))
    }

    async fn access_doors(&self) -> Result<(bool, bool), SinkError> {
        self.try_access_doors().await.map_err(|e| self.told(e))
    }

    async fn access_book(&self) -> Result<StoredBook, SinkError> {
        self.try_access_book().await.map_err(|e| self.told(e))
    }

    async fn change_access(&self, change: &AccessChange) -> Result<bool, SinkError> {
        self.try_change_access(change).await.map_err(|e| self.told(e))
    }

    async fn access_audit(&self, before: i64, limit: usize) -> Result<Vec<AuditEntry>, SinkError> {
        self.try_access_audit(before, limit).await.map_err(|e| self.told(e))
    }
}
