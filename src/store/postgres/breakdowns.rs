//! The breakdowns that are kept, in Postgres.

use async_trait::async_trait;
use hashbrown::HashMap;
use tokio_postgres::types::Type;

use super::{PostgresStore, errors::Failure, session::Session};
use crate::{
    domain::{
        time::{MINUTE, Millis, SECOND},
        top::Top,
    },
    sink::SinkError,
    store::{
        breakdowns::{Breakdowns, LACK, MAX_SUMMARIES, TopsAsked, read_top, too_many_summaries},
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
    let top = |it: &crate::store::breakdowns::KeptTop| {
        it.onto(stored.get(&(it.breakdown.as_str(), it.span, it.at)).copied())
    };
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

impl PostgresStore {
    async fn try_tops(&self, asked: &TopsAsked) -> Result<Vec<Top>, Failure> {
        let session = self.chart().await?;
        let (mut spans, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
        for (span, stretch) in asked.stretches() {
            spans.push(span);
            from.push(stretch.0);
            to.push(stretch.1);
        }
        let rows = session
            .query(
                "SELECT found.top FROM unnest($2, $3, $4) AS asked (span, first, past)
                 CROSS JOIN LATERAL (
                     SELECT top FROM breakdown_rollups r
                     WHERE r.breakdown = $1 AND r.span = asked.span AND r.at >= first AND r.at < past
                 ) AS found
                 LIMIT $5",
                &[
                    (&asked.breakdown, Type::TEXT),
                    (&spans, Type::INT8_ARRAY),
                    (&from, Type::INT8_ARRAY),
                    (&to, Type::INT8_ARRAY),
                    (&(MAX_SUMMARIES as i64 + 1), Type::INT8),
                ],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        if rows.len() > MAX_SUMMARIES {
            return Err(too_many_summaries().into());
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(read_top(row.try_get(0)?)?);
        }
        Ok(found)
    }

    async fn try_complete_since(&self) -> Result<Option<Millis>, Failure> {
        let session = self.chart().await?;
        let rows = session.query(LACK, &[]).await?;
        session.run("COMMIT").await?;
        session.done();
        let lack: Option<Millis> = rows[0].try_get(0)?;
        Ok(lack.map(|second| second + SECOND))
    }

    async fn try_forget_minutes(&self, before: Millis) -> Result<(), Failure> {
        let Some(session) = self.alone().await? else { return Ok(()) };
        let sql = "DELETE FROM breakdown_rollups WHERE span = $1 AND at < $2";
        session.query(sql, &[(&MINUTE, Type::INT8), (&before, Type::INT8)]).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

#[async_trait]
impl Breakdowns for PostgresStore {
    async fn tops(&self, asked: &TopsAsked) -> Result<Vec<Top>, SinkError> {
        self.try_tops(asked).await.map_err(|e| self.told(e))
    }

    async fn complete_since(&self) -> Result<Option<Millis>, SinkError> {
        self.try_complete_since().await.map_err(|e| self.told(e))
    }

    async fn forget_minutes(&self, before: Millis) -> Result<(), SinkError> {
        self.try_forget_minutes(before).await.map_err(|e| self.told(e))
    }
}
