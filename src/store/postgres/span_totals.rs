//! All series of a span, summed up by Postgres.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::{PostgresStore, errors::Failure};
use crate::{
    domain::{delta::Series, time::Millis, totals::Totals},
    sink::SinkError,
    store::rollup::SpanTotals,
};

impl PostgresStore {
    async fn try_span_totals(&self, from: Millis, to: Millis) -> Result<Totals, Failure> {
        let session = self.chart().await?;
        // A sum that is too large for its type stays at the limit of the type.
        let rows = session
            .query(
                "SELECT series,
                     least(greatest(sum(value), -9223372036854775807), 9223372036854775807)::bigint
                 FROM rollups WHERE minute >= $1 AND minute < $2 GROUP BY series",
                &[(&from, Type::INT8), (&to, Type::INT8)],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        let mut totals = Totals::default();
        for row in &rows {
            // A key that this version can't read was written by a later one.
            if let Some(series) = Series::parse(row.try_get(0)?) {
                totals.add(&series, row.try_get(1)?);
            }
        }
        Ok(totals)
    }
}

#[async_trait]
impl SpanTotals for PostgresStore {
    async fn span_totals(&self, from: Millis, to: Millis) -> Result<Totals, SinkError> {
        self.try_span_totals(from, to).await.map_err(|e| self.told(e))
    }
}
