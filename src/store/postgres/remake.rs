//! The rollups of a day made anew, in Postgres.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{PostgresStore, breakdowns::kept_minutes, errors::Failure, session::Session, sketches};
use crate::{
    domain::{
        delta::QUARTER_HOUR,
        row::Row,
        time::{Millis, now_ms},
    },
    sink::SinkError,
    store::{
        breakdowns::KeptTop,
        rollup::remake::{DayMade, Remade, Remake, RemakeAsked, Remaking, removed},
        sketches::LONGEST_DAY,
    },
};

/// How often it looks whether another node folds, and the pause in between.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// Rows that are written in one statement.
const WRITTEN: usize = 5_000;

/// The last batch of each lane: node, lane, number.
type Heads = (Vec<Uuid>, Vec<i16>, Vec<i64>);

impl PostgresStore {
    async fn try_to_remake(&self, asked: &RemakeAsked) -> Result<Option<Remade>, Failure> {
        let Some((heads, mut made)) = self.made_anew(asked).await? else { return Ok(None) };
        let Some(session) = self.alone_soon().await? else { return Ok(None) };
        if counts_after(&session, asked, &heads).await? {
            session.run("ROLLBACK").await?;
            session.done();
            return Ok(None);
        }
        made.without_minutes(&kept_minutes(&session).await?);
        replace(&session, asked, &made).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(Some(made.told()))
    }

    /// Waits until no other node folds: a day of many events is not to be read again for that.
    async fn alone_soon(&self) -> Result<Option<Session>, Failure> {
        for _ in 0..LOOKS {
            if let Some(session) = self.alone().await? {
                return Ok(Some(session));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(None)
    }

    /// Adds up the events of the day, in one view of the store.
    async fn made_anew(&self, asked: &RemakeAsked) -> Result<Option<(Heads, DayMade)>, Failure> {
        let session = self.steady().await?;
        if is_removed(&session, asked).await? {
            return Err(removed().into());
        }
        let (from, to) = Remaking::stretch(asked);
        let open = session
            .query(
                "SELECT count(*) FROM ledger l
                     LEFT JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
                 WHERE l.first_second < $2 AND l.last_second >= $1
                       AND (l.seq > coalesce(f.seq, 0) OR l.seq > coalesce(f.breakdowns, 0)
                            OR l.seq > coalesce(f.sketches, 0))",
                &[(&from, Type::INT8), (&to, Type::INT8)],
            )
            .await?;
        if open[0].try_get::<_, i64>(0)? > 0 {
            return Ok(None);
        }
        let mut heads = Heads::default();
        for row in session.query("SELECT node, lane, seq FROM ledger_heads", &[]).await? {
            heads.0.push(row.try_get(0)?);
            heads.1.push(row.try_get(1)?);
            heads.2.push(row.try_get(2)?);
        }
        let counted = session
            .query(
                "SELECT DISTINCT series FROM rollups WHERE minute >= $1 AND minute < $2",
                &[(&asked.from, Type::INT8), (&asked.to, Type::INT8)],
            )
            .await?;
        let counted: Vec<String> =
            counted.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let mut remaking = Remaking::new(asked, &counted);
        add_rows(&session, asked, &mut remaking).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(Some((heads, remaking.finish())))
    }
}

/// Adds up the rows of a day.
pub(super) async fn add_rows(
    session: &Session,
    asked: &RemakeAsked,
    remaking: &mut Remaking,
) -> Result<(), Failure> {
    let (from, to) = Remaking::stretch(asked);
    let seconds = |at: Millis| at as f64 / 1_000.0;
    let rows = session.client().query_typed_raw(
        "SELECT (extract(epoch FROM time) * 1000)::bigint,
                    (extract(epoch FROM received_at) * 1000)::bigint,
                    type, user_id, session_id, properties::text, source
             FROM events WHERE time >= to_timestamp($1) AND time < to_timestamp($2)",
        [(seconds(from), Type::FLOAT8), (seconds(to), Type::FLOAT8)],
    );
    let mut rows = std::pin::pin!(session.answer(rows).await?);
    while let Some(row) = session.answer(rows.try_next()).await? {
        remaking.add(&Row {
            time: row.try_get(0)?,
            received_at: row.try_get(1)?,
            kind: row.try_get(2)?,
            user_id: row.try_get(3)?,
            session_id: row.try_get(4)?,
            properties: row.try_get(5)?,
            source: row.try_get(6)?,
            ..Row::default()
        });
    }
    if let Some(archived) = &asked.archived {
        let mut given = archived.rows(from, to);
        while let Some(rows) = given.recv().await {
            remaking.add_encoded(&rows?)?;
        }
    }
    Ok(())
}

/// Whether events of the day were removed from the table.
async fn is_removed(session: &Session, asked: &RemakeAsked) -> Result<bool, Failure> {
    let there = session.rows("SELECT to_regclass('removed_rows')::text").await?;
    if there[0][0].is_none() {
        return Ok(false);
    }
    let rows = session
        .query(
            "SELECT count(*) FROM removed_rows
             WHERE day >= to_char(to_timestamp($1) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                   AND day <= to_char(to_timestamp($2) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                   AND reason <> 'archive'",
            &[
                (&(asked.from as f64 / 1_000.0), Type::FLOAT8),
                (&((asked.to - 1) as f64 / 1_000.0), Type::FLOAT8),
            ],
        )
        .await?;
    Ok(rows[0].try_get::<_, i64>(0)? > 0)
}

/// Whether a batch after these heads counts in the day.
async fn counts_after(
    session: &Session,
    asked: &RemakeAsked,
    heads: &Heads,
) -> Result<bool, Failure> {
    let (from, to) = Remaking::stretch(asked);
    let rows = session
        .query(
            "SELECT count(*) FROM ledger l
                 LEFT JOIN unnest($1, $2, $3) AS h (node, lane, last)
                     ON h.node = l.node AND h.lane = l.lane
             WHERE l.seq > coalesce(h.last, 0) AND l.first_second < $5 AND l.last_second >= $4",
            &[
                (&heads.0, Type::UUID_ARRAY),
                (&heads.1, Type::INT2_ARRAY),
                (&heads.2, Type::INT8_ARRAY),
                (&from, Type::INT8),
                (&to, Type::INT8),
            ],
        )
        .await?;
    Ok(rows[0].try_get::<_, i64>(0)? > 0)
}

/// Puts what was made in the place of what is there.
async fn replace(session: &Session, asked: &RemakeAsked, made: &DayMade) -> Result<(), Failure> {
    let day = [(&asked.from as _, Type::INT8), (&asked.to as _, Type::INT8)];
    session.query("DELETE FROM rollups WHERE minute >= $1 AND minute < $2", &day).await?;
    let sql = "DELETE FROM breakdown_rollups
        WHERE span IN (60000, 900000) AND at >= $1 AND at < $2";
    session.query(sql, &day).await?;
    // Days that were added up of it are added up again later.
    session
        .query(
            "DELETE FROM sketch_rollups WHERE (span <= $3 AND at >= $1 AND at < $2)
                 OR (span > $3 AND at > $1 - $4 AND at < $2 AND at + span > $1)",
            &[
                (&asked.from, Type::INT8),
                (&asked.to, Type::INT8),
                (&QUARTER_HOUR, Type::INT8),
                (&LONGEST_DAY, Type::INT8),
            ],
        )
        .await?;
    for sums in made.sums.chunks(WRITTEN) {
        let series: Vec<&str> = sums.iter().map(|sum| &*sum.0).collect();
        let minutes: Vec<Millis> = sums.iter().map(|sum| sum.1).collect();
        let values: Vec<i64> = sums.iter().map(|sum| sum.2).collect();
        session
            .query(
                "INSERT INTO rollups (series, minute, value) SELECT * FROM unnest($1, $2, $3)",
                &[
                    (&series, Type::TEXT_ARRAY),
                    (&minutes, Type::INT8_ARRAY),
                    (&values, Type::INT8_ARRAY),
                ],
            )
            .await?;
    }
    for tops in made.tops.chunks(WRITTEN) {
        write_tops(session, tops).await?;
    }
    for kept in made.sketches.chunks(WRITTEN / 10) {
        sketches::write_onto(session, kept).await?;
    }
    note(session, asked).await
}

async fn write_tops(session: &Session, tops: &[KeptTop]) -> Result<(), Failure> {
    let names: Vec<&str> = tops.iter().map(|it| it.breakdown.as_str()).collect();
    let spans: Vec<Millis> = tops.iter().map(|it| it.span).collect();
    let times: Vec<Millis> = tops.iter().map(|it| it.at).collect();
    let bytes: Vec<Vec<u8>> = tops.iter().map(|it| it.onto(None)).collect::<Result<_, _>>()?;
    session
        .query(
            "INSERT INTO breakdown_rollups (breakdown, span, at, top)
             SELECT * FROM unnest($1, $2, $3, $4)",
            &[
                (&names, Type::TEXT_ARRAY),
                (&spans, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&bytes, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Notes that the day was made anew, so that it is known although it lies before the first sketch.
async fn note(session: &Session, asked: &RemakeAsked) -> Result<(), Failure> {
    session
        .query(
            "INSERT INTO rebuilt_days (at, until, made_at) VALUES ($1, $2, $3)
             ON CONFLICT (at, until) DO UPDATE SET made_at = excluded.made_at",
            &[(&asked.from, Type::INT8), (&asked.to, Type::INT8), (&now_ms(), Type::INT8)],
        )
        .await?;
    Ok(())
}

#[async_trait]
impl Remake for PostgresStore {
    async fn try_remake(&self, asked: &RemakeAsked) -> Result<Option<Remade>, SinkError> {
        self.try_to_remake(asked).await.map_err(|e| self.told(e))
    }
}
