//! The sketches that are kept, in Postgres.

use async_trait::async_trait;
use hashbrown::HashMap;
use tokio_postgres::types::Type;

use super::{PostgresStore, errors::Failure, session::Session};
use crate::{
    domain::{delta::QUARTER_HOUR, sketch::Estimate, time::Millis},
    sink::SinkError,
    store::{
        rollup::Fold,
        sketches::{
            ADDED_UP, DAYS_AT_ONCE, DaySketches, Differing, KeptSketch, LONGEST_DAY, REBUILT,
            SKETCHES_SINCE, SketchRead, SketchedSince, Sketches, SketchesAsked,
        },
    },
};

/// Adds the sketches of a fold to the table, in its transaction. No other node folds meanwhile, so what is
/// read here is what is written onto.
pub(super) async fn add(session: &Session, fold: &mut Fold) -> Result<(), Failure> {
    let quarters = fold.sketches.quarters();
    if quarters.is_empty() {
        return Ok(());
    }
    let days = session
        .query(
            "SELECT DISTINCT span, at FROM sketch_rollups JOIN unnest($1) AS quarter
                 ON at <= quarter AND at > quarter - $3 AND at + span > quarter
             WHERE name = $4 AND span > $2",
            &[
                (&quarters, Type::INT8_ARRAY),
                (&QUARTER_HOUR, Type::INT8),
                (&LONGEST_DAY, Type::INT8),
                (&ADDED_UP, Type::TEXT),
            ],
        )
        .await?;
    let day = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let days: Vec<(Millis, Millis)> = days.iter().map(day).collect::<Result<_, Failure>>()?;
    write_onto(session, &fold.sketches.finish(&days)).await
}

/// Adds sketches to what is stored of the same spans.
pub(super) async fn write_onto(session: &Session, kept: &[KeptSketch]) -> Result<(), Failure> {
    let names: Vec<&str> = kept.iter().map(|it| it.name.as_str()).collect();
    let spans: Vec<Millis> = kept.iter().map(|it| it.span).collect();
    let times: Vec<Millis> = kept.iter().map(|it| it.at).collect();
    let rows = session
        .query(
            "SELECT name, span, at, sketch FROM sketch_rollups
             JOIN unnest($1, $2, $3) AS asked (name, span, at) USING (name, span, at)",
            &[(&names, Type::TEXT_ARRAY), (&spans, Type::INT8_ARRAY), (&times, Type::INT8_ARRAY)],
        )
        .await?;
    let mut stored: HashMap<(&str, Millis, Millis), &[u8]> = HashMap::new();
    for row in &rows {
        stored.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
    }
    let sketch = |it: &KeptSketch| it.onto(stored.get(&(&*it.name, it.span, it.at)).copied());
    let sketches: Vec<Vec<u8>> = kept.iter().map(sketch).collect::<Result<_, _>>()?;
    write(session, &names, &spans, &times, &sketches).await
}

/// Writes sketches in the place of those that are stored.
async fn write(
    session: &Session,
    names: &[&str],
    spans: &[Millis],
    times: &[Millis],
    sketches: &[Vec<u8>],
) -> Result<(), Failure> {
    session
        .query(
            "INSERT INTO sketch_rollups (name, span, at, sketch)
             SELECT * FROM unnest($1, $2, $3, $4)
             ON CONFLICT (name, span, at) DO UPDATE SET sketch = excluded.sketch",
            &[
                (&names, Type::TEXT_ARRAY),
                (&spans, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&sketches, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Sketches that are read at once: 2 MB at most.
const PAGE: i64 = 250;

impl PostgresStore {
    async fn try_different(&self, asked: &SketchesAsked) -> Result<Vec<Estimate>, Failure> {
        let session = self.chart().await?;
        let mut differing = Differing::new(asked);
        let span = asked.stretches.first().zip(asked.stretches.last());
        let days = match span {
            Some((first, last)) if !asked.by_minute => added_up(&session, first.0, last.1).await?,
            _ => Vec::new(),
        };
        let names = asked.what.names();
        for read in differing.reads(&days) {
            read_all(&session, &names, read, &mut differing).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(differing.finish())
    }

    async fn try_sketched_since(&self) -> Result<SketchedSince, Failure> {
        let session = self.chart().await?;
        let rows = session.query(SKETCHES_SINCE, &[]).await?;
        let days = session.query(REBUILT, &[]).await?;
        let day = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let rebuilt = days.iter().map(day).collect::<Result<_, Failure>>()?;
        session.run("COMMIT").await?;
        session.done();
        Ok(SketchedSince::of(rows[0].try_get(0)?, rebuilt))
    }

    async fn try_add_up_days(&self, days: &[(Millis, Millis)]) -> Result<(), Failure> {
        let Some(session) = self.alone().await? else { return Ok(()) };
        let first = "SELECT min(at) FROM sketch_rollups WHERE span = $1";
        let first = session.query(first, &[(&QUARTER_HOUR, Type::INT8)]).await?;
        let first: Option<Millis> = first[0].try_get(0)?;
        let oldest = days.iter().map(|day| day.0).min().unwrap_or(0);
        let known = added_up(&session, oldest, Millis::MAX).await?;
        let is_open = |day: &&(Millis, Millis)| {
            first.is_some_and(|first| day.1 > first) && !known.contains(&(day.1 - day.0, day.0))
        };
        for (from, to) in days.iter().filter(is_open).take(DAYS_AT_ONCE) {
            add_up_day(&session, *from, *to).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

/// The days (length and start) that were added up and begin in `[from, to)`, by their start.
async fn added_up(
    session: &Session,
    from: Millis,
    to: Millis,
) -> Result<Vec<(Millis, Millis)>, Failure> {
    let rows = session
        .query(
            "SELECT span, at FROM sketch_rollups
             WHERE name = $1 AND span > $2 AND at >= $3 AND at < $4 ORDER BY at, span",
            &[
                (&ADDED_UP, Type::TEXT),
                (&QUARTER_HOUR, Type::INT8),
                (&from, Type::INT8),
                (&to, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn add_up_day(session: &Session, from: Millis, to: Millis) -> Result<(), Failure> {
    let mut day = DaySketches::default();
    let mut after = (from, String::new());
    loop {
        let rows = session
            .query(
                "SELECT name, at, sketch FROM sketch_rollups
                 WHERE span = $1 AND at < $2 AND (at, name) > ($3, $4) ORDER BY at, name LIMIT $5",
                &[
                    (&QUARTER_HOUR, Type::INT8),
                    (&to, Type::INT8),
                    (&after.0, Type::INT8),
                    (&after.1, Type::TEXT),
                    (&PAGE, Type::INT8),
                ],
            )
            .await?;
        for row in &rows {
            after = (row.try_get(1)?, row.try_get(0)?);
            day.add(after.1.clone(), row.try_get(2)?)?;
        }
        if (rows.len() as i64) < PAGE {
            break;
        }
    }
    let kept = day.finish();
    let names: Vec<&str> = kept.iter().map(|it| it.0.as_str()).collect();
    let sketches: Vec<Vec<u8>> = kept.iter().map(|it| it.1.clone()).collect();
    let (spans, times) = (vec![to - from; kept.len()], vec![from; kept.len()]);
    write(session, &names, &spans, &times, &sketches).await
}

/// Reads page by page, since other requests wait while sketches are added up.
async fn read_all(
    session: &Session,
    names: &[String],
    read: SketchRead,
    differing: &mut Differing,
) -> Result<(), Failure> {
    let mut after = (read.from, String::new());
    loop {
        let rows = session
            .query(
                "SELECT at, name, sketch FROM sketch_rollups
                 WHERE name = ANY($1) AND span = $2 AND at < $3 AND (at, name) > ($4, $5)
                 ORDER BY at, name LIMIT $6",
                &[
                    (&names, Type::TEXT_ARRAY),
                    (&read.span, Type::INT8),
                    (&read.to, Type::INT8),
                    (&after.0, Type::INT8),
                    (&after.1, Type::TEXT),
                    (&PAGE, Type::INT8),
                ],
            )
            .await?;
        for row in &rows {
            after = (row.try_get(0)?, row.try_get(1)?);
            differing.add(&after.1, (read.span, after.0), row.try_get(2)?)?;
        }
        if (rows.len() as i64) < PAGE {
            return Ok(());
        }
    }
}

#[async_trait]
impl Sketches for PostgresStore {
    async fn different(&self, asked: &SketchesAsked) -> Result<Vec<Estimate>, SinkError> {
        self.try_different(asked).await.map_err(|e| self.told(e))
    }

    async fn sketched_since(&self) -> Result<SketchedSince, SinkError> {
        self.try_sketched_since().await.map_err(|e| self.told(e))
    }

    async fn add_up_days(&self, days: &[(Millis, Millis)]) -> Result<(), SinkError> {
        self.try_add_up_days(days).await.map_err(|e| self.told(e))
    }
}
