//! Searches events in Postgres. The BRIN index on time finds the blocks of a slice, and partition pruning its days.

use std::time::Duration;

use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
};
use crate::{
    domain::{event_filter::EventFilter, metric::Test},
    store::events::search::{
        EventSearch, EventSlice, FoundEvent, SearchWalk, SearchedEvents, SliceRead,
    },
};

/// The SQLSTATE of a statement that took longer than it may.
pub(super) const CANCELED: &str = "57014";

/// A condition with its parameter, which it names as `$?`.
pub(super) type Condition = (String, String);

impl PostgresStore {
    /// See [`EventReader::search`](crate::store::events::EventReader::search).
    pub(super) async fn try_search(&self, asked: &EventSearch) -> Result<SearchedEvents, Failure> {
        let mut walk = SearchWalk::new(asked);
        let session = self.chart().await?;
        // See `try_events`.
        session.run("SET LOCAL enable_seqscan = off").await?;
        let conditions = conditions(&asked.filter);
        while let Some(slice) = walk.next_slice() {
            let read = within(&session, asked, &conditions, &slice).await?;
            walk.take(&slice, read);
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(walk.finish())
    }
}

/// Reads a slice within its time.
async fn within(
    session: &Session,
    asked: &EventSearch,
    conditions: &[Condition],
    slice: &EventSlice,
) -> Result<SliceRead, Failure> {
    let Some(limit) = slice.within else {
        return read(session, asked, conditions, slice).await;
    };
    // A statement that is cancelled ends its transaction, or the part of it since a savepoint.
    let limit = limit.max(Duration::from_millis(1)).as_millis();
    session.run(&format!("SAVEPOINT slice; SET LOCAL statement_timeout = {limit}")).await?;
    match read(session, asked, conditions, slice).await {
        Err(failure) if failure.code.as_ref().is_some_and(|code| code.code() == CANCELED) => {
            session.run("ROLLBACK TO slice").await?;
            Ok(SliceRead::TooLong)
        }
        read => read,
    }
}

async fn read(
    session: &Session,
    asked: &EventSearch,
    conditions: &[Condition],
    slice: &EventSlice,
) -> Result<SliceRead, Failure> {
    let seconds = |at: i64| at as f64 / 1_000.0;
    let (from, until, limit) = (seconds(slice.from), seconds(slice.until), slice.limit as i64);
    let after = slice.after.as_ref().map(|end| (seconds(end.time), &end.id));
    let mut parameters: Vec<Parameter<'_>> =
        vec![(&from, Type::FLOAT8), (&until, Type::FLOAT8), (&limit, Type::INT8)];
    let mut which = String::new();
    for (condition, value) in conditions {
        parameters.push((value, Type::TEXT));
        which += &format!(" AND {}", condition.replace("$?", &format!("${}", parameters.len())));
    }
    let (order, follows) = if asked.newest_first { ("DESC", "<=") } else { ("ASC", ">=") };
    if let Some((time, id)) = &after {
        let at = parameters.len();
        parameters.extend([(time as _, Type::FLOAT8), (*id as _, Type::TEXT)]);
        which += &format!(
            " AND (time, id COLLATE \"C\") {follows} (to_timestamp(${}), ${})",
            at + 1,
            at + 2
        );
    }
    // Properties become text only where they are given.
    let sql = format!(
        "SELECT (extract(epoch FROM time) * 1000)::bigint,
                (extract(epoch FROM received_at) * 1000)::bigint,
                id, type, user_id, session_id, properties::text, source, dialect
         FROM (SELECT * FROM events
               WHERE time >= to_timestamp($1) AND time < to_timestamp($2){which}
               ORDER BY time {order}, id COLLATE \"C\" {order}, type COLLATE \"C\", received_at
               LIMIT $3) AS found"
    );
    let rows = session.query(&sql, &parameters).await?;
    let events: Result<_, tokio_postgres::Error> = rows.iter().map(event).collect();
    Ok(SliceRead::Events(events?))
}

fn event(row: &Row) -> Result<FoundEvent, tokio_postgres::Error> {
    Ok(FoundEvent {
        time: row.try_get(0)?,
        received_at: row.try_get(1)?,
        id: row.try_get(2)?,
        kind: row.try_get(3)?,
        user: row.try_get(4)?,
        session: row.try_get(5)?,
        properties: row.try_get(6)?,
        source: row.try_get(7)?,
        dialect: row.try_get(8)?,
    })
}

/// What lets all events pass that the filter lets pass, and some others: which these are it says itself.
pub(super) fn conditions(filter: &EventFilter) -> Vec<Condition> {
    let equal = |column: &str, value: &Option<String>| {
        value.as_ref().map(|value| (format!("{column} = $?"), value.clone()))
    };
    let mut all: Vec<Condition> = [
        equal("type", &filter.kind),
        equal("session_id", &filter.session),
        equal("user_id", &filter.user),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(text) = &filter.text {
        // In the text of a jsonb only what JSON has to escape is escaped, as serde_json does it.
        let escaped = serde_json::Value::from(text.as_str()).to_string();
        let escaped = &escaped[1..escaped.len() - 1];
        let columns = ["id", "user_id", "session_id"];
        let mut any = columns.map(|column| format!("strpos({column}, $?) > 0")).join(" OR ");
        any += match escaped == text {
            true => " OR strpos(properties::text, $?) > 0",
            false => " OR strpos(properties::text, '\\') > 0",
        };
        all.push((format!("({any})"), text.clone()));
    }
    for (property, tests) in filter.needed() {
        let exactly = match tests {
            // A number may be written in several ways, and `true` may be a text or none.
            [Test::Equals(value)] => {
                serde_json::from_str::<serde_json::Value>(value).is_err().then_some(value)
            }
            _ => None,
        };
        all.push(match exactly {
            Some(value) => {
                let object = serde_json::json!({ property: value }).to_string();
                ("properties @> $?::jsonb".to_owned(), object)
            }
            None => ("jsonb_exists(properties, $?)".to_owned(), property.to_owned()),
        });
    }
    all
}
