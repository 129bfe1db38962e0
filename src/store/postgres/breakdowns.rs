//! The breakdowns that are kept, in Postgres.

use async_trait::async_trait;
use hashbrown::HashMap;
use tokio_postgres::types::{ToSql, Type};

use super::{PostgresStore, errors::Failure, session::Session};
use crate::{
    domain::{
        time::{MINUTE, Millis},
        top::TopAnswer,
    },
    sink::SinkError,
    store::{
        breakdowns::{Breakdowns, FORGET, KeptSince, KeptTop, SINCE, TopsAsked, read_top},
        kept_minutes::{FORGOTTEN, KeptMinutes, SPARE, SPARE_NONE, SPARED},
        rollup::Fold,
    },
};

/// Adds the breakdowns of a fold to the table, in its transaction. No other node folds meanwhile, so what is
/// read here is what is written onto.
pub(super) async fn add(session: &Session, fold: &mut Fold) -> Result<(), Failure> {
    if fold.tops.is_empty() {
        return Ok(());
    }
    let kept = fold.tops.finish();
    let names: Vec<&str> = kept.iter().map(|it| it.breakdown.as_str()).collect();
    let spans: Vec<Millis> = kept.iter().map(|it| it.span).collect();
    let times: Vec<Millis> = kept.iter().map(|it| it.at).collect();
    let rows = session
        .query(
            "SELECT breakdown, span, at, top FROM breakdown_rollups
             JOIN unnest($1, $2, $3) AS asked (breakdown, span, at) USING (breakdown, span, at)",
            &[(&names, Type::TEXT_ARRAY), (&spans, Type::INT8_ARRAY), (&times, Type::INT8_ARRAY)],
        )
        .await?;
    let mut stored: HashMap<(&str, Millis, Millis), &[u8]> = HashMap::new();
    for row in &rows {
        stored.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
    }
    let top = |it: &KeptTop| it.onto(stored.get(&(it.breakdown.as_str(), it.span, it.at)).copied());
    let tops: Vec<Vec<u8>> = kept.iter().map(top).collect::<Result<_, _>>()?;
    session
        .query(
            "INSERT INTO breakdown_rollups (breakdown, span, at, top)
             SELECT * FROM unnest($1, $2, $3, $4)
             ON CONFLICT (breakdown, span, at) DO UPDATE SET top = excluded.top",
            &[
                (&names, Type::TEXT_ARRAY),
                (&spans, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&tops, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Summaries that are read at once: some hundred kB.
const PAGE: i64 = 500;

impl PostgresStore {
    async fn try_sum(&self, asked: &TopsAsked) -> Result<TopAnswer, Failure> {
        let session = self.chart().await?;
        let mut sum = TopAnswer::default();
        for (span, (mut from, to)) in asked.stretches() {
            // Page by page, since other requests wait while summaries are added up.
            loop {
                let rows = session
                    .query(
                        "SELECT at, top FROM breakdown_rollups
                         WHERE breakdown = $1 AND span = $2 AND at >= $3 AND at < $4
                         ORDER BY at LIMIT $5",
                        &[
                            (&asked.breakdown, Type::TEXT),
                            (&span, Type::INT8),
                            (&from, Type::INT8),
                            (&to, Type::INT8),
                            (&PAGE, Type::INT8),
                        ],
                    )
                    .await?;
                for row in &rows {
                    sum.add(&read_top(row.try_get(1)?)?);
                }
                match rows.last() {
                    Some(last) if rows.len() as i64 == PAGE => {
                        from = last.try_get::<_, Millis>(0)? + span;
                    }
                    _ => break,
                }
            }
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(sum)
    }

    async fn try_since(&self) -> Result<KeptSince, Failure> {
        let session = self.chart().await?;
        let rows = session.query(SINCE, &[]).await?;
        let since = KeptSince::of(rows[0].try_get(0)?, kept_minutes(&session).await?);
        session.run("COMMIT").await?;
        session.done();
        Ok(since)
    }

    async fn try_forget_minutes(
        &self,
        before: Millis,
        occasions: &[(Millis, Millis)],
    ) -> Result<(), Failure> {
        let Some(session) = self.alone().await? else { return Ok(()) };
        let known = kept_minutes(&session).await?;
        let kept = known.once_forgotten(before, occasions);
        session.query(FORGET, &[(&before, Type::INT8)]).await?;
        if kept.spared != known.spared {
            session.query(SPARE_NONE, &[]).await?;
            for (starts, ends) in &kept.spared {
                session.query(SPARE, &[(starts, Type::INT8), (ends, Type::INT8)]).await?;
            }
        }
        for (from, to) in kept.gone() {
            let gone: [(&(dyn ToSql + Sync), Type); 3] =
                [(&MINUTE, Type::INT8), (&from, Type::INT8), (&to, Type::INT8)];
            for table in ["breakdown_rollups", "sketch_rollups"] {
                let sql = format!("DELETE FROM {table} WHERE span = $1 AND at >= $2 AND at < $3");
                session.query(&sql, &gone).await?;
            }
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

/// Of which stretches of time there are minutes.
pub(super) async fn kept_minutes(session: &Session) -> Result<KeptMinutes, Failure> {
    let since = session.query(FORGOTTEN, &[]).await?[0].try_get(0)?;
    let rows = session.query(SPARED, &[]).await?;
    let spared = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(KeptMinutes { since, spared: spared.collect::<Result<_, Failure>>()? })
}

#[async_trait]
impl Breakdowns for PostgresStore {
    async fn sum(&self, asked: &TopsAsked) -> Result<TopAnswer, SinkError> {
        self.try_sum(asked).await.map_err(|e| self.told(e))
    }

    async fn since(&self) -> Result<KeptSince, SinkError> {
        self.try_since().await.map_err(|e| self.told(e))
    }

    async fn forget_minutes(
        &self,
        before: Millis,
        occasions: &[(Millis, Millis)],
    ) -> Result<(), SinkError> {
        self.try_forget_minutes(before, occasions).await.map_err(|e| self.told(e))
    }
}
