//! Sessions that read one state of the store, for as long as it takes.

use super::{PostgresStore, errors::Failure, session::Session, swap::days_gone};
use crate::domain::time::{DAY, Millis};

impl PostgresStore {
    /// A session with a transaction that reads one state of the store. A day of many events is one long statement.
    pub(super) async fn steady(&self) -> Result<Session, Failure> {
        let session = self.reader().await?;
        session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        session.run("SET LOCAL statement_timeout = 0").await?;
        Ok(session)
    }

    /// The same for rows of `events` from one moment to another (Unix ms), of which no day is exchanged or detached
    /// meanwhile. Says whether rows of them are out of the table and not counted as removed yet.
    pub(super) async fn steady_rows(
        &self,
        (from, to): (Millis, Millis),
    ) -> Result<(Session, bool), Failure> {
        let session = self.steady().await?;
        // The lock comes before the snapshot, which the first query takes: a day that is exchanged or detached
        // between the two would have its rows in neither of its tables.
        session.run("LOCK TABLE events IN ACCESS SHARE MODE").await?;
        let meets = |day: &i64| day * DAY < to && (day + 1).saturating_mul(DAY) > from;
        let is_moving = days_gone(&session).await?.iter().any(meets);
        Ok((session, is_moving))
    }
}
