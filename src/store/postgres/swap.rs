//! How rows of a day go as a whole partition, without a DELETE and without holding up whoever writes.
//!
//! A whole day:
//!
//! ```text
//!  detach, rename to events_20261127_gone, note the day ─COMMIT─> count, note how many, DROP ─COMMIT
//!  (events is locked for a moment)                                 (nobody else sees the table)
//! ```
//!
//! Some types of a day, while its other rows are read and late events of it are still written:
//!
//! ```text
//!  A: make the copy's table, lock the day against writers, put a trigger on it that writes late rows to
//!     both ─COMMIT
//!  B: (its snapshot is taken while A holds the lock) copy the rows that stay ─COMMIT
//!  C: lock events for a moment, detach and drop the day, attach the copy under its name, note what went
//!     ─COMMIT
//! ```
//!
//! B's snapshot has exactly the rows from before the trigger, so each row is copied once. A kill between two
//! of these leaves a table whose name says what it is: `_gone` is counted and dropped, a copy is taken back
//! together with its trigger, and made anew. C compares the day's table with the one that was copied, so a
//! process that was halted for long changes nothing.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    errors::Failure,
    partitions::{midnight, partition},
    retention::note,
    schema::{LOCK, exists},
    session::Session,
};
use crate::{
    domain::time::DAY,
    sink::SinkErrorKind,
    store::retention::{RemovalReason, UtcDay},
};

/// For how long one statement may take that reads a whole day.
pub(super) const LONG: Duration = Duration::from_secs(6 * 3600);
/// For how long the lock of `events` is waited for. Whoever writes or reads waits behind.
const LOCK_WITHIN: &str = "SET LOCAL lock_timeout = '1s'";
/// How often it is tried to get the lock, with a pause in between.
const ATTEMPTS: u32 = 60;
/// That pause.
const PAUSE: Duration = Duration::from_millis(500);
/// What the name of a day's table ends in that was detached and is to be dropped.
const GONE: &str = "_gone";
/// What the name of a copy ends in.
pub(super) const COPY: &str = "_copy";

/// A table of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DayTable {
    /// Which day.
    pub day: UtcDay,
    /// Its name.
    pub name: String,
    /// Without indexes.
    pub bytes: i64,
}

impl DayTable {
    /// The table of a day that was detached.
    pub fn gone(day: UtcDay) -> DayTable {
        DayTable { day, name: format!("{}{GONE}", partition(day)), bytes: 0 }
    }

    /// The table of what lies too far from today.
    pub fn default_partition() -> DayTable {
        DayTable { day: 0, name: "events_default".to_owned(), bytes: 0 }
    }
}

/// What a kill has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// A day that was detached.
    Gone(UtcDay),
    /// A copy that is not attached yet.
    Copy { table: String, day: UtcDay },
}

/// The day of a name such as `events_20261127`.
pub(super) fn day_of(name: &str) -> Option<UtcDay> {
    let digits = name.strip_prefix("events_")?;
    let date = jiff::civil::Date::strptime("%Y%m%d", digits).ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    let day = at.as_millisecond().div_euclid(DAY);
    (partition(day) == name).then_some(day)
}

/// The days that were detached and are not counted yet, as this transaction sees it.
pub(super) async fn days_gone(session: &Session) -> Result<Vec<UtcDay>, Failure> {
    let sql = format!(
        "SELECT relname::text FROM pg_class
         WHERE relkind = 'r' AND relname LIKE 'events\\_%{GONE}' AND pg_table_is_visible(oid)"
    );
    let mut days = Vec::new();
    for row in session.query(&sql, &[]).await? {
        days.extend(row.try_get::<_, &str>(0)?.strip_suffix(GONE).and_then(day_of));
    }
    Ok(days)
}

impl PostgresStore {
    /// The partitions by day, and what a kill has left.
    pub(super) async fn day_tables(&self) -> Result<(Vec<DayTable>, Vec<Leftover>), Failure> {
        let sql = "SELECT c.relname::text, pg_relation_size(c.oid),
                EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid
                        AND i.inhparent = 'events'::regclass)
            FROM pg_class c
            WHERE c.relkind = 'r' AND c.relname LIKE 'events\\_%' AND pg_table_is_visible(c.oid)";
        let (mut days, mut leftovers) = (Vec::new(), Vec::new());
        for row in self.read(sql, &[]).await? {
            let (name, bytes, attached): (String, i64, bool) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if attached {
                // A partition of another name was made by hand, and stays.
                days.extend(day_of(&name).map(|day| DayTable { day, name, bytes }));
            } else if let Some(day) = name.strip_suffix(GONE).and_then(day_of) {
                leftovers.push(Leftover::Gone(day));
            } else if let Some(day) = name.strip_suffix(COPY).and_then(day_of) {
                leftovers.push(Leftover::Copy { table: name, day });
            }
        }
        Ok((days, leftovers))
    }

    /// Takes a day's partition out of `events`, and notes that its rows are gone.
    pub(super) async fn detach(&self, day: UtcDay) -> Result<(), Failure> {
        let name = partition(day);
        let sql = format!(
            "ALTER TABLE events DETACH PARTITION {name}; ALTER TABLE {name} RENAME TO {name}{GONE}"
        );
        let session = self.with_events_locked(None, &sql).await?;
        note(&session, (day, "", RemovalReason::Age), 0, None).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }

    /// Counts the rows of a day that was detached, and drops its table. If two do this at once, the second
    /// fails at the DROP, and its count is taken back with it.
    pub(super) async fn count_and_drop(&self, day: UtcDay) -> Result<(UtcDay, u64), Failure> {
        let session = self.removal("").await?;
        let name = DayTable::gone(day).name;
        let count = format!("SELECT count(*) FROM {name}");
        let rows = session.query_within(LONG, &count, &[]).await?;
        let rows = rows[0].try_get::<_, i64>(0)? as u64;
        note(&session, (day, "", RemovalReason::Age), rows, None).await?;
        session.run_within(LONG, &format!("DROP TABLE {name}")).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok((day, rows))
    }

    /// Takes a copy back that was not attached, with its trigger.
    pub(super) async fn take_back_copy(&self, table: &str, day: UtcDay) -> Result<(), Failure> {
        let session = self.removal("").await?;
        let name = partition(day);
        session.run("SET LOCAL lock_timeout = '10s'").await?;
        let known = session.rows(&format!("SELECT {}", exists(&name))).await?;
        if known[0][0].as_deref() == Some("t") {
            session.run(&format!("DROP TRIGGER IF EXISTS keep_late ON {name}")).await?;
        }
        session.run(&format!("DROP TABLE IF EXISTS {table}; COMMIT")).await?;
        session.done();
        Ok(())
    }

    /// Removes all rows of some types of a day. Returns how many of each.
    pub(super) async fn remove_types(
        &self,
        table: &DayTable,
        kinds: &[String],
    ) -> Result<Vec<(UtcDay, String, RemovalReason, u64)>, Failure> {
        let (day, name) = (table.day, &table.name);
        let copy = format!("{name}{COPY}");
        let oid = self.oid_of(name).await?;
        let copying = async {
            let counts = self.copy_rest(day, &copy, kinds).await?;
            crate::failpoint::kill_point!("retention-copied");
            self.attach_copy(day, &copy, oid, &counts).await?;
            Ok(counts)
        };
        match copying.await {
            Ok(counts) => {
                let of = |(kind, rows)| (day, kind, RemovalReason::Type, rows);
                Ok(counts.into_iter().map(of).collect())
            }
            Err(failure) => {
                // The trigger costs whoever writes late events, and may fail them. If this fails too, the
                // next round does it.
                let _ = self.take_back_copy(&copy, day).await;
                Err(failure)
            }
        }
    }

    /// Which table has this name.
    pub(super) async fn oid_of(&self, name: &str) -> Result<u32, Failure> {
        let sql = format!("SELECT '{name}'::regclass::oid");
        Ok(self.read(&sql, &[]).await?[0].try_get(0)?)
    }

    /// Step A, and the snapshot of B: from now on late rows go to `copy`, too, which is made for them. The
    /// transaction that is answered sees exactly the other rows of the day.
    pub(super) async fn begin_copy(&self, day: UtcDay, copy: &str) -> Result<Session, Failure> {
        let (name, from, to) = (partition(day), midnight(day), midnight(day + 1));
        let making = self.removal("").await?;
        // With the constraint, attaching need not read all rows again.
        let sql = format!(
            "SET LOCAL lock_timeout = '10s';
             CREATE TABLE {copy} (LIKE events INCLUDING ALL,
                 CONSTRAINT of_the_day CHECK (time >= '{from}' AND time < '{to}'));
             LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE;
             CREATE TRIGGER keep_late AFTER INSERT ON {name} FOR EACH ROW
                 EXECUTE FUNCTION keep_late_event('{copy}')"
        );
        making.run(&sql).await?;
        let copying = self.removal("ISOLATION LEVEL REPEATABLE READ").await?;
        // This takes the snapshot.
        copying.run("SELECT pg_current_snapshot()").await?;
        making.run("COMMIT").await?;
        making.done();
        Ok(copying)
    }

    /// Steps A and B: copies what stays of a day. Returns how many rows of each type go.
    async fn copy_rest(
        &self,
        day: UtcDay,
        copy: &str,
        kinds: &[String],
    ) -> Result<Vec<(String, u64)>, Failure> {
        let name = partition(day);
        let copying = self.begin_copy(day, copy).await?;
        crate::failpoint::kill_point!("retention-copying");
        let kept = format!("INSERT INTO {copy} SELECT * FROM {name} WHERE type <> ALL ($1)");
        copying.query_within(LONG, &kept, &[(&kinds, Type::TEXT_ARRAY)]).await?;
        let gone = format!("SELECT type, count(*) FROM {name} WHERE type = ANY ($1) GROUP BY 1");
        let rows = copying.query_within(LONG, &gone, &[(&kinds, Type::TEXT_ARRAY)]).await?;
        copying.run("COMMIT").await?;
        copying.done();
        let mut counts = Vec::new();
        for kind in kinds {
            // A type without rows is noted too, so that its day is not copied again.
            let row = rows.iter().find(|row| row.get::<_, &str>(0) == kind);
            let rows = row.map_or(Ok(0), |row| row.try_get::<_, i64>(1))?;
            counts.push((kind.clone(), rows as u64));
        }
        Ok(counts)
    }

    /// Step C: puts the copy in the place of the day's table, which has to be `oid` still. The transaction is
    /// left open.
    pub(super) async fn exchange(
        &self,
        day: UtcDay,
        copy: &str,
        oid: u32,
    ) -> Result<Session, Failure> {
        let (name, from, to) = (partition(day), midnight(day), midnight(day + 1));
        let sql = format!(
            "ALTER TABLE events DETACH PARTITION {name};
             DROP TABLE {name};
             ALTER TABLE {copy} RENAME TO {name};
             ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}');
             ALTER TABLE {name} DROP CONSTRAINT of_the_day"
        );
        self.with_events_locked(Some((&name, oid)), &sql).await
    }

    /// Exchanges the tables, and notes what went.
    async fn attach_copy(
        &self,
        day: UtcDay,
        copy: &str,
        oid: u32,
        counts: &[(String, u64)],
    ) -> Result<(), Failure> {
        let session = self.exchange(day, copy, oid).await?;
        let size = format!("SELECT pg_relation_size('{}')", partition(day));
        let bytes: i64 = session.query(&size, &[]).await?[0].try_get(0)?;
        for (kind, rows) in counts {
            note(&session, (day, kind, RemovalReason::Type), *rows, Some(bytes)).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }

    /// Runs statements in a transaction that holds the lock of `events`, and leaves it open. The lock is
    /// waited for briefly and often, so that a long read holds nobody up behind it.
    pub(super) async fn with_events_locked(
        &self,
        same: Option<(&str, u32)>,
        sql: &str,
    ) -> Result<Session, Failure> {
        for _ in 1..ATTEMPTS {
            match self.try_locked(same, sql).await {
                Err(failure) if is_lock_timeout(&failure) => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
        self.try_locked(same, sql).await
    }

    async fn try_locked(&self, same: Option<(&str, u32)>, sql: &str) -> Result<Session, Failure> {
        let session = self.removal("").await?;
        session
            .run(&format!(
                "{LOCK_WITHIN}; SELECT pg_advisory_xact_lock({LOCK});
                 LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE"
            ))
            .await?;
        if let Some((name, oid)) = same {
            let now = session.rows(&format!("SELECT '{name}'::regclass::oid")).await?;
            if now[0][0].as_deref() != Some(&oid.to_string()) {
                let why = format!("{name} is another table by now: nothing of it was removed");
                return Err(Failure::new(SinkErrorKind::Other, why));
            }
        }
        session.run(sql).await?;
        Ok(session)
    }
}

/// Whether a lock was not free in time, or two waited for each other.
fn is_lock_timeout(failure: &Failure) -> bool {
    failure.code.as_ref().is_some_and(|code| matches!(code.code(), "55P03" | "40P01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_a_partition_is_in_its_name() {
        assert_eq!(day_of("events_20261127"), Some(1_795_766_400_000 / 86_400_000));
        for other in ["events_default", "events_2026112", "events_20261127_gone", "ledger"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
