//! The list of nodes, in the table `leases`: a node holds the lease `node:ID` for as long as it says that it
//! lives. The row stays when that time is over, for `floodmark nodes` and `floodmark retire`.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{PostgresStore, errors::Failure, imported, session::Parameter};
use crate::{
    domain::{batch::NodeId, time::Millis},
    sink::SinkError,
    store::{
        Missing,
        nodes::{ALIVE_MS, KnownNode, NodeList, SignOfLife},
    },
};

/// What the names of these leases begin with.
const PREFIX: &str = "node:";

impl PostgresStore {
    /// Over a connection for reads, since those for alerts must never be waited for.
    async fn try_sign(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<(), Failure> {
        let session = self.reader().await?;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        session.query(sql, parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }

    async fn try_nodes(&self) -> Result<Vec<KnownNode>, Failure> {
        let rows = self
            .read(
                "SELECT substr(name, 6)::uuid, holder, (extract(epoch FROM until) * 1000)::bigint,
                        until > clock_timestamp()
                 FROM leases WHERE name LIKE 'node:%' ORDER BY until DESC, name",
                &[],
            )
            .await?;
        // A row that another version has written in another way is of a node of which nothing is known.
        Ok(rows.iter().map(known).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

fn known(row: &Row) -> Result<Option<KnownNode>, tokio_postgres::Error> {
    let (holder, until): (String, Millis) = (row.try_get(1)?, row.try_get(2)?);
    let Ok(said) = serde_json::from_str::<SignOfLife>(&holder) else { return Ok(None) };
    let at = if said.stopped { until } else { until - ALIVE_MS };
    let alive = row.try_get::<_, bool>(3)? && !said.stopped;
    Ok(Some(KnownNode { node: row.try_get(0)?, said, at, alive }))
}

#[async_trait]
impl NodeList for PostgresStore {
    async fn sign(&self, node: NodeId, said: &SignOfLife) -> Result<(), SinkError> {
        let name = format!("{PREFIX}{node}");
        let holder = serde_json::to_string(said).expect("text and numbers");
        let ms = if said.stopped { 0.0 } else { ALIVE_MS as f64 };
        let parameters: [Parameter<'_>; 3] =
            [(&name, Type::TEXT), (&holder, Type::TEXT), (&ms, Type::FLOAT8)];
        let sql = "INSERT INTO leases (name, holder, until)
            VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until";
        self.try_sign(sql, &parameters).await.map_err(|e| self.told(e))
    }

    async fn nodes(&self) -> Result<Vec<KnownNode>, SinkError> {
        self.try_nodes().await.map_err(|e| self.told(e))
    }

    async fn forget(&self, node: NodeId) -> Result<Vec<Missing>, SinkError> {
        let missing = self.try_missing(node).await.map_err(|e| self.told(e))?;
        // Only where there is something to delete, so that the right to do so is needed by nobody else.
        if !missing.is_empty() {
            let gone = "DELETE FROM missing_batches WHERE node = $1";
            self.change(gone, &[(&node, Type::UUID)]).await.map_err(|e| self.told(e))?;
        }
        let name = format!("{PREFIX}{node}");
        let gone = "DELETE FROM leases WHERE name = $1";
        self.change(gone, &[(&name, Type::TEXT)]).await.map_err(|e| self.told(e))?;
        self.give_lease_back(imported::LEASE, &node.to_string()).await?;
        Ok(missing)
    }
}
