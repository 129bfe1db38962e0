//! Removes what is too old from Postgres: whole days and types of days as partitions ([`super::swap`]), and
//! the rest (the default partition, rollups, dead letters, alerts) a few rows at a time.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use hashbrown::HashMap;
use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
    swap::{DayTable, Leftover},
};
use crate::{
    domain::time::{DAY, Millis, now_ms},
    sink::SinkError,
    store::retention::{
        DueRows, FORGET_ROLLUPS, NOTE, REMOVED, RemovalReason, RemovalStep, RemovedRows, Retention,
        StoreSize, TRIM_ROWS, TooOld, Trimmed, UtcDay, date_of, days_of,
    },
};

/// The row of the table `leases` that the process which removes rows holds.
const LEASE: &str = "removal";
/// Rows of the default partition that one step removes.
const STEP_ROWS: i64 = 2_000;
/// A partition that has got late events since its types were removed is copied anew, but not at once for
/// each of them.
const AGAIN_AFTER: Millis = DAY;

impl PostgresStore {
    /// A session for removing, with a transaction.
    pub(super) async fn removal(&self, mode: &str) -> Result<Session, Failure> {
        self.ready().await?;
        let session = self.removals.get().await?;
        session.begin(mode).await?;
        Ok(session)
    }

    async fn try_remove_some(&self, old: &TooOld) -> Result<RemovalStep, Failure> {
        let (days, leftovers) = self.day_tables().await?;
        // What a kill has left comes first, so nothing else meets it.
        for leftover in leftovers {
            match leftover {
                Leftover::Gone(day) => return self.count_and_drop(day).await.map(one_day),
                Leftover::Copy { table, day } => self.take_back_copy(&table, day).await?,
            }
        }
        let mut days = days;
        days.sort_unstable_by_key(|it| it.day);
        if let Some(gone) = days.iter().find(|it| old.all.is_some_and(|first| it.day < first)) {
            self.detach(gone.day).await?;
            crate::failpoint::kill_point!("retention-detached");
            return self.count_and_drop(gone.day).await.map(one_day);
        }
        let noted = self.noted_types().await?;
        for table in &days {
            let kinds = old.types_on(table.day);
            if kinds.iter().any(|kind| is_due(&noted, table, kind)) {
                let removed = self.remove_types(table, &kinds).await?;
                return Ok(RemovalStep { removed, done: false });
            }
        }
        self.remove_strays(old).await
    }

    /// Which types were removed of which days: when, and how large the table was then.
    pub(super) async fn noted_types(&self) -> Result<Noted, Failure> {
        let sql = "SELECT day, type, removed_at, coalesce(table_bytes, 0) FROM removed_rows
                   WHERE reason = 'type'";
        let rows = self.read(sql, &[]).await?;
        let mut noted = Noted::new();
        for row in rows {
            let key = (row.try_get(0)?, row.try_get(1)?);
            noted.insert(key, (row.try_get(2)?, row.try_get(3)?));
        }
        Ok(noted)
    }

    /// Removes a few rows of the default partition, which has what lies too far from today.
    async fn remove_strays(&self, old: &TooOld) -> Result<RemovalStep, Failure> {
        let session = self.removal("").await?;
        let (which, kinds) = condition(old);
        let sql = format!(
            "WITH gone AS (
                 DELETE FROM events_default WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM events_default WHERE {which} LIMIT {STEP_ROWS}))
                 RETURNING floor(extract(epoch FROM time) / 86400)::bigint AS day, type
             ) SELECT day, type, count(*) FROM gone GROUP BY 1, 2"
        );
        let parameters: Vec<Parameter<'_>> =
            kinds.iter().map(|kind| (kind as _, Type::TEXT)).collect();
        let mut removed = BTreeMap::<(UtcDay, String, RemovalReason), u64>::new();
        for row in session.query(&sql, &parameters).await? {
            let (day, kind): (UtcDay, String) = (row.try_get(0)?, row.try_get(1)?);
            let reason = old.reason(day, &kind).unwrap_or(RemovalReason::Age);
            let kind = if reason == RemovalReason::Age { String::new() } else { kind };
            *removed.entry((day, kind, reason)).or_default() += row.try_get::<_, i64>(2)? as u64;
        }
        let removed: Vec<_> = removed.into_iter().map(|((d, k, r), n)| (d, k, r, n)).collect();
        for (day, kind, reason, rows) in &removed {
            note(&session, (*day, kind, *reason), *rows, None).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(RemovalStep { done: removed.is_empty(), removed })
    }

    async fn try_trim(&self, what: Trimmed, before: Millis) -> Result<u64, Failure> {
        let session = self.removal("").await?;
        let old = |table: &str, condition: &str| {
            format!(
                "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM {table} t WHERE {condition} LIMIT {TRIM_ROWS}))
                 RETURNING 1) SELECT count(*) FROM gone"
            )
        };
        let deletes = match what {
            Trimmed::Rollups => {
                session.query(FORGET_ROLLUPS, &[(&before, Type::INT8)]).await?;
                vec![
                    old("rollups", "minute < $1"),
                    old("breakdown_rollups", "at < $1"),
                    old("sketch_rollups", "at < $1"),
                    old("schema_hours", "at < $1"),
                ]
            }
            Trimmed::DeadLetters => vec![old(
                "dead_letters",
                "received_at < timestamptz 'epoch' + $1 * interval '1 ms'",
            )],
            // Notices go first, since they name their alert.
            Trimmed::Alerts => vec![
                old(
                    "notifications",
                    "EXISTS (SELECT FROM alerts a WHERE a.id = t.alert AND a.cleared_at < $1)",
                ),
                old(
                    "alerts",
                    "cleared_at < $1 AND NOT EXISTS
                     (SELECT FROM notifications n WHERE n.alert = t.id)",
                ),
            ],
        };
        let mut rows = 0;
        for delete in deletes {
            let gone = session.query(&delete, &[(&before, Type::INT8)]).await?;
            rows += gone[0].try_get::<_, i64>(0)? as u64;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(rows)
    }

    async fn try_removed(&self, from: Millis, to: Millis) -> Result<Vec<RemovedRows>, Failure> {
        let (first, last) = days_of(from, to);
        let session = self.chart().await?;
        let parameters: [Parameter<'_>; 2] = [(&first, Type::TEXT), (&last, Type::TEXT)];
        let rows = session.query(REMOVED, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        let removed = |row: &tokio_postgres::Row| {
            Ok(RemovedRows {
                day: row.try_get(0)?,
                kind: row.try_get(1)?,
                reason: RemovalReason::named(row.try_get(2)?),
                rows: row.try_get::<_, i64>(3)? as u64,
                removed_at: row.try_get(4)?,
            })
        };
        rows.iter().map(removed).collect()
    }

    async fn try_note_size(&self, at: Millis, bytes: u64, before: Millis) -> Result<(), Failure> {
        let sql = "DELETE FROM store_sizes WHERE at < $1";
        self.change(sql, &[(&before, Type::INT8)]).await?;
        let sql = "INSERT INTO store_sizes (at, bytes) VALUES ($1, $2)
                   ON CONFLICT (at) DO UPDATE SET bytes = excluded.bytes";
        self.change(sql, &[(&at, Type::INT8), (&(bytes as i64), Type::INT8)]).await.map(drop)
    }
}

/// By day and type: when it was removed, and the size of the table then.
pub(super) type Noted = HashMap<(String, String), (Millis, i64)>;

/// Whether a type is to be removed of a day: it was not yet, or the table has grown since.
pub(super) fn is_due(noted: &Noted, table: &DayTable, kind: &str) -> bool {
    match noted.get(&(date_of(table.day), kind.to_owned())) {
        None => true,
        Some((at, bytes)) => table.bytes > *bytes && now_ms() - at > AGAIN_AFTER,
    }
}

fn one_day((day, rows): (UtcDay, u64)) -> RemovalStep {
    let removed = vec![(day, String::new(), RemovalReason::Age, rows)];
    RemovalStep { removed, done: false }
}

/// Which rows are too old, with types as parameters.
pub(super) fn condition(old: &TooOld) -> (String, Vec<String>) {
    let first = |day: UtcDay| format!("to_timestamp({})", day * DAY / 1_000);
    let mut parts: Vec<String> =
        old.all.iter().map(|day| format!("time < {}", first(*day))).collect();
    for (n, day) in old.by_type.values().enumerate() {
        parts.push(format!("(type = ${} AND time < {})", n + 1, first(*day)));
    }
    (parts.join(" OR "), old.by_type.keys().cloned().collect())
}

/// Notes what was removed, in the transaction that is open.
pub(super) async fn note(
    session: &Session,
    (day, kind, reason): (UtcDay, &str, RemovalReason),
    rows: u64,
    table_bytes: Option<i64>,
) -> Result<(), Failure> {
    note_date(session, (&date_of(day), kind, reason), rows as i64, table_bytes).await
}

/// As [`note`], by a date; fewer than no rows take back what was noted.
pub(super) async fn note_date(
    session: &Session,
    (date, kind, reason): (&str, &str, RemovalReason),
    rows: i64,
    table_bytes: Option<i64>,
) -> Result<(), Failure> {
    let reason = reason.name();
    let parameters: [Parameter<'_>; 6] = [
        (&date, Type::TEXT),
        (&kind, Type::TEXT),
        (&reason, Type::TEXT),
        (&rows, Type::INT8),
        (&now_ms(), Type::INT8),
        (&table_bytes, Type::INT8),
    ];
    session.query(NOTE, &parameters).await.map(drop)
}

#[async_trait]
impl Retention for PostgresStore {
    async fn lead_removal(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError> {
        self.take_lease(LEASE, holder, ttl).await
    }

    async fn resign_removal(&self, holder: &str) -> Result<(), SinkError> {
        self.give_lease_back(LEASE, holder).await
    }

    async fn due(&self, too_old: &TooOld) -> Result<Vec<DueRows>, SinkError> {
        self.try_too_old(too_old).await.map_err(|e| self.told(e))
    }

    async fn remove_some(&self, too_old: &TooOld) -> Result<RemovalStep, SinkError> {
        self.try_remove_some(too_old).await.map_err(|e| self.told(e))
    }

    async fn trim(&self, what: Trimmed, before: Millis) -> Result<u64, SinkError> {
        self.try_trim(what, before).await.map_err(|e| self.told(e))
    }

    async fn give_back(&self) -> Result<bool, SinkError> {
        // A partition that is dropped takes its files with it.
        Ok(true)
    }

    async fn removed(&self, from: Millis, to: Millis) -> Result<Vec<RemovedRows>, SinkError> {
        self.try_removed(from, to).await.map_err(|e| self.told(e))
    }

    async fn size(&self) -> Result<StoreSize, SinkError> {
        let sql = "SELECT pg_database_size(current_database())";
        let rows = self.read(sql, &[]).await.map_err(|e| self.told(e))?;
        let bytes: i64 = rows[0].try_get(0).map_err(|e| self.told(e.into()))?;
        Ok(StoreSize { bytes: bytes as u64, reusable: 0, free: None })
    }

    async fn sizes(&self) -> Result<Vec<(Millis, u64)>, SinkError> {
        let read = async {
            let rows = self.read("SELECT at, bytes FROM store_sizes ORDER BY at", &[]).await?;
            let noted = rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.max(0) as u64)));
            noted.collect::<Result<_, Failure>>()
        };
        read.await.map_err(|e| self.told(e))
    }

    async fn note_size(&self, at: Millis, bytes: u64, before: Millis) -> Result<(), SinkError> {
        self.try_note_size(at, bytes, before).await.map_err(|e| self.told(e))
    }
}
