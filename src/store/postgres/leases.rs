//! Leases: of all nodes one at a time does what a lease is for. The table is called `leases`.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{PostgresStore, session::Parameter};
use crate::sink::SinkError;

impl PostgresStore {
    /// Takes or renews the lease of this name for so long, and says whether `holder` has it now.
    pub(super) async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<bool, SinkError> {
        // The server's clock decides when a lease has run out: the nodes' clocks may differ.
        let sql = "INSERT INTO leases (name, holder, until)
            VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
            WHERE leases.holder = excluded.holder OR leases.until < clock_timestamp()";
        let ms = ttl.as_millis() as f64;
        let parameters: [Parameter<'_>; 3] =
            [(&name, Type::TEXT), (&holder, Type::TEXT), (&ms, Type::FLOAT8)];
        Ok(self.change(sql, &parameters).await.map_err(|e| self.told(e))? == 1)
    }

    /// Gives the lease back, if `holder` has it.
    pub(super) async fn give_lease_back(&self, name: &str, holder: &str) -> Result<(), SinkError> {
        let sql = "DELETE FROM leases WHERE name = $1 AND holder = $2";
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&holder, Type::TEXT)];
        self.change(sql, &parameters).await.map(drop).map_err(|e| self.told(e))
    }
}
