//! What is too old in Postgres, counted for a dry run. Nothing is changed.

use tokio_postgres::types::Type;

use super::{
    PostgresStore,
    errors::Failure,
    retention::{condition, is_due},
    session::Parameter,
    swap::{DayTable, LONG, Leftover},
};
use crate::store::retention::{DueRows, RemovalReason, TooOld, UtcDay, date_of};

/// Up to so many rows are counted; of a larger table a sample is.
const COUNTED_ROWS: f64 = 1_000_000.0;
/// The part of a larger table that is counted, in percent.
const SAMPLE_PERCENT: u64 = 1;

impl PostgresStore {
    pub(super) async fn try_too_old(&self, old: &TooOld) -> Result<Vec<DueRows>, Failure> {
        let (mut days, leftovers) = self.day_tables().await?;
        days.sort_unstable_by_key(|it| it.day);
        let noted = self.noted_types().await?;
        let mut due = Vec::new();
        for leftover in leftovers {
            if let Leftover::Gone(day) = leftover {
                due.extend(self.due_of(&DayTable::gone(day), None).await?);
            }
        }
        for table in &days {
            if old.all.is_some_and(|first| table.day < first) {
                due.extend(self.due_of(table, None).await?);
                continue;
            }
            let mut kinds = old.types_on(table.day);
            kinds.retain(|kind| is_due(&noted, table, kind));
            if !kinds.is_empty() {
                due.extend(self.due_of(table, Some(&kinds)).await?);
            }
        }
        let strays = DayTable::default_partition();
        due.extend(self.due_strays(old, &strays).await?);
        Ok(due)
    }

    /// Counts what goes of a table, or of a sample of its pages.
    async fn due_of(
        &self,
        table: &DayTable,
        kinds: Option<&[String]>,
    ) -> Result<Vec<DueRows>, Failure> {
        let session = self.removal("READ ONLY").await?;
        let name = &table.name;
        let size = format!(
            "SELECT greatest(reltuples, 0)::float8, pg_total_relation_size(oid) FROM pg_class
             WHERE oid = '{name}'::regclass"
        );
        let found = session.query(&size, &[]).await?;
        let (about, bytes): (f64, i64) = (found[0].try_get(0)?, found[0].try_get(1)?);
        let estimated = about > COUNTED_ROWS;
        let (sample, times) = match estimated {
            true => (format!("TABLESAMPLE SYSTEM ({SAMPLE_PERCENT})"), 100 / SAMPLE_PERCENT),
            false => (String::new(), 1),
        };
        let sql = format!("SELECT type, count(*) FROM {name} {sample} GROUP BY 1 ORDER BY 1");
        let rows = session.query_within(LONG, &sql, &[]).await?;
        session.run("COMMIT").await?;
        session.done();
        let mut counts = Vec::new();
        for row in &rows {
            counts.push((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)? as u64 * times));
        }
        let all: u64 = counts.iter().map(|it| it.1).sum();
        let of = |kind: String, reason, rows: u64| DueRows {
            day: date_of(table.day),
            kind,
            reason,
            rows,
            estimated,
            bytes: (bytes as f64 * rows as f64 / all.max(1) as f64) as u64,
        };
        Ok(match kinds {
            None => vec![of(String::new(), RemovalReason::Age, all)],
            Some(kinds) => {
                counts.retain(|(kind, _)| kinds.contains(kind));
                let each = counts.into_iter();
                each.map(|(kind, rows)| of(kind, RemovalReason::Type, rows)).collect()
            }
        })
    }

    async fn due_strays(&self, old: &TooOld, table: &DayTable) -> Result<Vec<DueRows>, Failure> {
        let session = self.removal("READ ONLY").await?;
        let (which, kinds) = condition(old);
        let sql = format!(
            "SELECT floor(extract(epoch FROM time) / 86400)::bigint, type, count(*),
                    sum(pg_column_size({0}.*))::bigint
             FROM {0} WHERE {which} GROUP BY 1, 2 ORDER BY 1, 2",
            table.name
        );
        let parameters: Vec<Parameter<'_>> =
            kinds.iter().map(|kind| (kind as _, Type::TEXT)).collect();
        let rows = session.query_within(LONG, &sql, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        let mut due = Vec::<DueRows>::new();
        for row in rows {
            let (day, kind): (UtcDay, String) = (row.try_get(0)?, row.try_get(1)?);
            let Some(reason) = old.reason(day, &kind) else { continue };
            let kind = if reason == RemovalReason::Age { String::new() } else { kind };
            let (day, rows) = (date_of(day), row.try_get::<_, i64>(2)? as u64);
            let bytes = row.try_get::<_, i64>(3)? as u64;
            match due.last_mut().filter(|it| it.day == day && it.kind == kind) {
                Some(known) => {
                    known.rows += rows;
                    known.bytes += bytes;
                }
                None => due.push(DueRows { day, kind, reason, rows, estimated: false, bytes }),
            }
        }
        Ok(due)
    }
}
