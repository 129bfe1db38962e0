//! Daily partitions of `events`. Those of the next days are made ahead; that of another day is
//! made when a batch has events of it. This is done only for a bounded stretch around today:
//! events outside of it, from a client with a broken clock, go to the default partition, so that
//! such a client can't make ten thousand tables.

use hashbrown::HashSet;
use parking_lot::Mutex;

use crate::{
    domain::{
        delta::Delta,
        row::COLUMNS,
        time::{DAY, now_ms},
    },
    store::{
        postgres::{
            errors::Failure,
            schema::{LOCK, exists},
            session::Session,
        },
        retention::UtcDay,
    },
};

/// Days before today that get a partition when an event needs one.
pub const PARTITION_DAYS_BACK: i64 = 400;
/// Days after today that get a partition when an event needs one.
pub const PARTITION_DAYS_AHEAD: i64 = 7;
/// Days after today whose partitions are made before any event needs them.
const MADE_AHEAD: i64 = 2;

/// Attempts to make one partition while another session is in the way. After that the batch
/// fails, and its writer tries again after a pause.
const ATTEMPTS: u32 = 5;

/// The days whose partition is known to be there, or is known to be impossible. Batches of these
/// days need no look at the catalogue.
#[derive(Default)]
pub(super) struct Partitions {
    /// Days in UTC.
    settled: Mutex<HashSet<UtcDay>>,
}

impl Partitions {
    /// The days of this batch and the next few days, without those that are settled.
    fn unsettled(&self, delta: &Delta) -> Vec<UtcDay> {
        let today = now_ms().div_euclid(DAY);
        let bounds = today - PARTITION_DAYS_BACK..=today + PARTITION_DAYS_AHEAD;
        let settled = self.settled.lock();
        let mut days: Vec<UtcDay> = (today..=today + MADE_AHEAD).collect();
        let mut last = None;
        for (second, ..) in delta.cells() {
            let day = second.div_euclid(DAY);
            // Cells ascend, so the cells of a day are neighbours.
            if last.replace(day) != Some(day) && bounds.contains(&day) {
                days.push(day);
            }
        }
        days.retain(|day| !settled.contains(day));
        days.sort_unstable();
        days.dedup();
        days
    }

    /// Forgets all settled days. Called when the schema turned out to be missing or another.
    pub fn forget(&self) {
        self.settled.lock().clear();
    }

    /// Makes the partitions that this batch and the next days need. No transaction may be open
    /// on `session`. Where all days are settled, the server is not asked.
    pub async fn ensure(&self, session: &Session, delta: &Delta) -> Result<(), Failure> {
        let days = self.unsettled(delta);
        if days.is_empty() {
            return Ok(());
        }
        let existing = existing(session).await?;
        for day in days {
            if !existing.contains(&partition(day)) {
                make(session, day).await?;
            }
            self.settled.lock().insert(day);
        }
        Ok(())
    }
}

/// The names of all partitions of `events`.
async fn existing(session: &Session) -> Result<HashSet<String>, Failure> {
    session.begin("READ ONLY").await?;
    let rows = session
        .rows(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'events'::regclass; COMMIT",
        )
        .await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Makes one partition, or decides that its day goes to the default one.
async fn make(session: &Session, day: UtcDay) -> Result<(), Failure> {
    let mut move_rows = false;
    let mut attempt = 1;
    loop {
        let failure = match attach(session, day, move_rows).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let code = failure.code.as_ref().map_or("", |code| code.code());
        match code {
            // The server did not answer, so there is no transaction to end.
            "" => return Err(failure),
            _ => session.run("ROLLBACK").await?,
        }
        let name = partition(day);
        match code {
            // ATTACH fails while the default partition has rows of this day, so the next
            // attempt moves them into the new table.
            "23514" if !move_rows => move_rows = true,
            // Another session makes the same partition, or holds a lock across ours: the next
            // attempt finds the partition there, or the lock free.
            "23505" | "42P07" | "42710" | "42P17" | "40P01" | "40001" | "55P03"
                if attempt < ATTEMPTS => {}
            // Our user may write events but not make tables, so its administrator makes them.
            // The day counts as settled, or each batch would try again.
            "42501" | "23514" => {
                tracing::warn!(
                    "partition {name} can't be made, its events go to events_default: {}",
                    failure.message
                );
                return Ok(());
            }
            _ => return Err(failure),
        }
        attempt += 1;
    }
}

/// Makes a partition in one transaction. The table is made beside `events` and then attached,
/// since CREATE TABLE with PARTITION OF would lock all of `events` against every COPY, and ATTACH
/// does not. With `move_rows`, rows of this day move over from the default partition.
async fn attach(session: &Session, day: UtcDay, move_rows: bool) -> Result<(), Failure> {
    let name = partition(day);
    let (from, to) = (midnight(day), midnight(day + 1));
    session.begin("").await?;
    session.run(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // A table that is there but not attached counts as known too: somebody who detached a day
    // wants it to stay aside.
    let known = session.rows(&format!("SELECT {}", exists(&name))).await?;
    if known == [[Some("t".to_owned())]] {
        return session.run("COMMIT").await;
    }
    let mut sql = format!("CREATE TABLE {name} (LIKE events INCLUDING ALL);");
    if move_rows {
        sql += &format!(
            "LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE;
             WITH moved AS (
                 DELETE FROM events_default WHERE time >= '{from}' AND time < '{to}'
                 RETURNING {COLUMNS}
             ) INSERT INTO {name} ({COLUMNS}) SELECT {COLUMNS} FROM moved;"
        );
    }
    sql += &format!(
        "ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}');
         COMMIT"
    );
    session.run(&sql).await
}

/// The date of a day.
fn date(day: UtcDay) -> jiff::civil::Date {
    let at = jiff::Timestamp::from_millisecond(day * DAY).expect("a day near today");
    at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

/// The name of a day's partition.
pub(super) fn partition(day: UtcDay) -> String {
    date(day).strftime("events_%Y%m%d").to_string()
}

/// The start of a day, as SQL writes it.
pub(super) fn midnight(day: UtcDay) -> String {
    format!("{} 00:00:00+00", date(day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delta::DeltaSum;

    #[test]
    fn days_have_names() {
        let day = 1_795_766_400_000 / DAY;
        assert_eq!(partition(day), "events_20261127");
        assert_eq!(midnight(day + 4), "2026-12-01 00:00:00+00");
    }

    #[test]
    fn only_days_near_today_get_a_partition() {
        let partitions = Partitions::default();
        let today = now_ms().div_euclid(DAY);
        let mut sum = DeltaSum::default();
        for day in [-401, -400, -3, -3, 7, 8] {
            sum.count("a", (today + day) * DAY + 5);
        }
        let days = partitions.unsettled(&sum.finish());
        let days: Vec<UtcDay> = days.into_iter().map(|day| day - today).collect();
        assert_eq!(days, [-400, -3, 0, 1, 2, 7]);
    }
}
