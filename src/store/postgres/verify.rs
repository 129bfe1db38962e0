//! All sums of a day, as each part of Postgres has them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{PostgresStore, errors::Failure, remake::add_rows, session::Session};
use crate::{
    domain::time::DAY,
    sink::SinkError,
    store::{
        retention::{REMOVED_FOR_GOOD, UtcDay},
        rollup::verify::{DayAsked, DayReader, DayReading, StoredDay},
    },
};

impl PostgresStore {
    async fn try_read_day(&self, asked: &DayAsked) -> Result<StoredDay, Failure> {
        let (session, is_moving) = self.steady_rows((asked.day.from, asked.day.to)).await?;
        let mut reading = DayReading::new(asked, is_moving);
        known(&session, &mut reading).await?;
        sums(&session, asked, &mut reading).await?;
        let mut counting = reading.counting();
        if let Some(remaking) = &mut counting {
            add_rows(&session, &asked.day, remaking).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(reading.finish(counting))
    }

    async fn try_days(&self) -> Result<BTreeSet<UtcDay>, Failure> {
        let sql = "SELECT DISTINCT minute / $1 FROM rollups UNION
            SELECT DISTINCT first_second / $1 FROM ledger WHERE first_second IS NOT NULL";
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        session.run("SET LOCAL statement_timeout = 0").await?;
        let rows = session.query(sql, &[(&DAY, Type::INT8)]).await?;
        session.run("COMMIT").await?;
        session.done();
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// Reads what was dropped, let go of and removed.
async fn known(session: &Session, reading: &mut DayReading) -> Result<(), Failure> {
    let sql =
        "SELECT max(dropped_to), count(*) FILTER (WHERE dropped > 0 AND dropped_to IS NULL) > 0,
                      (SELECT before FROM history_forgotten WHERE what = 'rollups')
               FROM fold_heads";
    let row = &session.query(sql, &[]).await?[0];
    reading.dropped(row.try_get(0)?, row.try_get(1)?);
    reading.let_go(row.try_get(2)?);
    for row in session.query(REMOVED_FOR_GOOD, &[]).await? {
        reading.removed(row.try_get(0)?, row.try_get(1)?, row.try_get::<_, i64>(2)? as u64);
    }
    Ok(())
}

/// Reads the ledger and the rollups.
async fn sums(
    session: &Session,
    asked: &DayAsked,
    reading: &mut DayReading,
) -> Result<(), Failure> {
    let day = [(asked.day.from, Type::INT8), (asked.day.to, Type::INT8)];
    let rows = session.client().query_typed_raw(
        "SELECT l.node, l.seq, l.delta, l.seq <= coalesce(f.seq, 0), l.poisoned FROM ledger l
             LEFT JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
         WHERE l.first_second < $2 AND l.last_second >= $1",
        day.clone(),
    );
    let mut rows = std::pin::pin!(session.answer(rows).await?);
    while let Some(row) = session.answer(rows.try_next()).await? {
        let (node, seq): (Uuid, i64) = (row.try_get(0)?, row.try_get(1)?);
        let name = || format!("batch {seq} of run {node}");
        let poisoned = row.try_get::<_, i64>(4)? as u64;
        reading.ledger_row(name, row.try_get(2)?, row.try_get(3)?, poisoned);
    }
    let rows = session.client().query_typed_raw(
        "SELECT series, minute, value FROM rollups WHERE minute >= $1 AND minute < $2",
        day,
    );
    let mut rows = std::pin::pin!(session.answer(rows).await?);
    while let Some(row) = session.answer(rows.try_next()).await? {
        reading.rolled_up(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    }
    Ok(())
}

#[async_trait]
impl DayReader for PostgresStore {
    async fn read_day(&self, asked: &DayAsked) -> Result<StoredDay, SinkError> {
        self.try_read_day(asked).await.map_err(|e| self.told(e))
    }

    async fn days(&self) -> Result<BTreeSet<UtcDay>, SinkError> {
        self.try_days().await.map_err(|e| self.told(e))
    }
}
