//! Reads events from Postgres.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
};
use crate::{
    domain::time::Millis,
    sink::SinkError,
    store::events::{
        EventReader, EventsAsked, StoredEvent,
        export::{ExportAsked, ExportSlice},
        search::{EventSearch, SearchedEvents},
        visitors::{SeenVisitor, VisitorsAsked},
    },
};

impl PostgresStore {
    async fn try_events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, Failure> {
        let session = self.chart().await?;
        // With a limit the planner would rather read a partition from its beginning, until it has found so
        // many rows of a window that lies at its end.
        session.run("SET LOCAL enable_seqscan = off").await?;
        let mut windows = Vec::with_capacity(asked.windows.len());
        for window in &asked.windows {
            windows.push(read(&session, asked, *window).await?);
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(windows)
    }
}

async fn read(
    session: &Session,
    asked: &EventsAsked,
    (from, to): (Millis, Millis),
) -> Result<Vec<StoredEvent>, Failure> {
    let seconds = |at: Millis| at as f64 / 1_000.0;
    let (from, to, limit) = (seconds(from), seconds(to), asked.limit as i64);
    let mut parameters: Vec<Parameter<'_>> =
        vec![(&from, Type::FLOAT8), (&to, Type::FLOAT8), (&limit, Type::INT8)];
    let of_kinds = match &asked.kinds {
        None => "",
        Some(kinds) => {
            parameters.push((kinds, Type::TEXT_ARRAY));
            "AND type = ANY($4)"
        }
    };
    let sql = format!(
        "SELECT (extract(epoch FROM time) * 1000)::bigint, id, type, properties::text, source
         FROM events WHERE time >= to_timestamp($1) AND time < to_timestamp($2) {of_kinds}
         ORDER BY time, id LIMIT $3"
    );
    let rows = session.query(&sql, &parameters).await?;
    let event = |row: &tokio_postgres::Row| {
        Ok(StoredEvent {
            time: row.try_get(0)?,
            id: row.try_get(1)?,
            kind: row.try_get(2)?,
            properties: row.try_get(3)?,
            source: row.try_get(4)?,
        })
    };
    rows.iter().map(event).collect()
}

#[async_trait]
impl EventReader for PostgresStore {
    async fn events(&self, asked: &EventsAsked) -> Result<Vec<Vec<StoredEvent>>, SinkError> {
        self.try_events(asked).await.map_err(|e| self.told(e))
    }

    async fn search(&self, asked: &EventSearch) -> Result<SearchedEvents, SinkError> {
        self.try_search(asked).await.map_err(|e| self.told(e))
    }

    async fn visitors(&self, asked: &VisitorsAsked) -> Result<Option<Vec<SeenVisitor>>, SinkError> {
        self.try_visitors(asked).await.map_err(|e| self.told(e))
    }

    async fn export(
        &self,
        asked: &ExportAsked,
        slices: mpsc::Sender<ExportSlice>,
    ) -> Result<(), SinkError> {
        self.try_export(asked, &slices).await.map_err(|e| self.told(e))
    }
}
