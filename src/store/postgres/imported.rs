//! The keys of imported events in Postgres.

use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashSet;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
};
use crate::{
    domain::{
        ids::MONEY_TYPES,
        imported::{DIALECT, ImportKey, key},
        time::Millis,
    },
    sink::SinkError,
    store::imported::{ImportedIds, LOOK},
};

/// The name of the lease of the node that imports.
pub(super) const LEASE: &str = "import";

impl PostgresStore {
    /// Notes what a batch has imported, in its transaction.
    pub(super) async fn insert_imported(
        &self,
        session: &Session,
        keys: &[ImportKey],
    ) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO imported_ids SELECT unnest($1) ON CONFLICT DO NOTHING";
        session.query(sql, &[(&uuids(keys), Type::UUID_ARRAY)]).await.map(drop)
    }

    async fn try_imported(&self, keys: &[ImportKey]) -> Result<HashSet<ImportKey>, Failure> {
        let sql = "SELECT id FROM imported_ids WHERE id = ANY ($1)";
        let rows = self.read(sql, &[(&uuids(keys), Type::UUID_ARRAY)]).await?;
        let keys = rows.iter().map(|row| Ok(row.try_get::<_, Uuid>(0)?.as_u128()));
        keys.collect()
    }

    async fn try_orders_told(&self, orders: &[String]) -> Result<HashSet<String>, Failure> {
        let sql = "SELECT DISTINCT order_id FROM order_events WHERE counts AND order_id = ANY ($1)";
        let rows = self.read(sql, &[(&orders, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn try_live_orders(
        &self,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<ImportKey>>, Failure> {
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        let seconds = |at: Millis| at as f64 / 1_000.0;
        let sql = "SELECT id, type FROM events
            WHERE time >= to_timestamp($1) AND time < to_timestamp($2) AND type = ANY ($3)
              AND dialect IS DISTINCT FROM $4 LIMIT $5";
        let (from, to, limit) = (seconds(from), seconds(to), most as i64 + 1);
        let types = &MONEY_TYPES[..];
        let parameters: [Parameter<'_>; 5] = [
            (&from, Type::FLOAT8),
            (&to, Type::FLOAT8),
            (&types, Type::TEXT_ARRAY),
            (&DIALECT, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = session.query_within(LOOK, sql, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        if rows.len() > most {
            return Ok(None);
        }
        let keys = rows.iter().map(|row| Ok(key(row.try_get(0)?, row.try_get(1)?)));
        keys.collect::<Result<_, Failure>>().map(Some)
    }
}

fn uuids(keys: &[ImportKey]) -> Vec<Uuid> {
    keys.iter().map(|key| Uuid::from_u128(*key)).collect()
}

#[async_trait]
impl ImportedIds for PostgresStore {
    async fn imported(&self, keys: &[ImportKey]) -> Result<HashSet<ImportKey>, SinkError> {
        self.try_imported(keys).await.map_err(|e| self.told(e))
    }

    async fn live_orders(
        &self,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<ImportKey>>, SinkError> {
        self.try_live_orders(from, to, most).await.map_err(|e| self.told(e))
    }

    async fn orders_told(&self, orders: &[String]) -> Result<HashSet<String>, SinkError> {
        self.try_orders_told(orders).await.map_err(|e| self.told(e))
    }

    async fn lead_import(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError> {
        self.take_lease(LEASE, holder, ttl).await
    }

    async fn resign_import(&self, holder: &str) -> Result<(), SinkError> {
        self.give_lease_back(LEASE, holder).await
    }
}
