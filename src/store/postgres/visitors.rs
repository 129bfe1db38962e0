//! Who was seen in a span, from Postgres.

use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    errors::Failure,
    event_search::CANCELED,
    session::{Parameter, Session},
};
use crate::{
    domain::bot,
    store::events::visitors::{MOST, SeenVisitor, VisitorsAsked, WITHIN},
};

impl PostgresStore {
    /// See [`EventReader::visitors`](crate::store::events::EventReader::visitors).
    pub(super) async fn try_visitors(
        &self,
        asked: &VisitorsAsked,
    ) -> Result<Option<Vec<SeenVisitor>>, Failure> {
        let session = self.chart().await?;
        let limit = WITHIN.as_millis();
        let patience =
            format!("SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = {limit}");
        session.run(&patience).await?;
        let rows = match read(&session, asked).await {
            // The connection is closed, which ends its transaction.
            Err(failure) if failure.code.as_ref().is_some_and(|code| code.code() == CANCELED) => {
                return Ok(None);
            }
            rows => rows?,
        };
        session.run("COMMIT").await?;
        session.done();
        if rows.len() > MOST {
            return Ok(None);
        }
        let seen = |row: &Row| {
            Ok(SeenVisitor { user: row.try_get(0)?, session: row.try_get(1)?, at: row.try_get(2)? })
        };
        Ok(Some(rows.iter().map(seen).collect::<Result<_, tokio_postgres::Error>>()?))
    }
}

async fn read(session: &Session, asked: &VisitorsAsked) -> Result<Vec<Row>, Failure> {
    let seconds = |at: i64| at as f64 / 1_000.0;
    let (from, until, limit) = (seconds(asked.from), seconds(asked.until), MOST as i64 + 1);
    let label = format!(r#"{{"{}":{}}}"#, bot::LABEL, bot::LABELLED);
    let orders = bot::order_types();
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&from, Type::FLOAT8),
        (&until, Type::FLOAT8),
        (&limit, Type::INT8),
        (&label, Type::TEXT),
        (&orders, Type::TEXT_ARRAY),
    ];
    let which = match &asked.users {
        None => "(user_id IS NOT NULL OR session_id IS NOT NULL)",
        Some(users) => {
            parameters.push((users, Type::TEXT_ARRAY));
            "user_id = ANY ($6) AND session_id IS NOT NULL"
        }
    };
    let sql = format!(
        "SELECT user_id, session_id, max((extract(epoch FROM time) * 1000)::bigint)
         FROM events WHERE time >= to_timestamp($1) AND time < to_timestamp($2) AND {which}
             AND (NOT properties @> $4::jsonb OR type = ANY ($5))
         GROUP BY user_id, session_id LIMIT $3"
    );
    session.query(&sql, &parameters).await
}
