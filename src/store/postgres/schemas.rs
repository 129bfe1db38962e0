//! What was learnt of the properties of events, in Postgres.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    errors::Failure,
    session::{Parameter, Session},
};
use crate::{
    domain::{
        shape::{Catalogue, ShapeCell, TypeCounts},
        time::Millis,
    },
    sink::SinkError,
    store::{
        rollup::Fold,
        schemas::{COUNTS, KNOWN, KnownProperty, MAX_CELLS, Schemas, ShapesAsked, add_up, select},
    },
};

/// Adds the shapes of a fold to the tables, in its transaction. Returns of how many events there was no
/// room for the type and source.
pub(super) async fn add(session: &Session, fold: &Fold) -> Result<u64, Failure> {
    if fold.shapes.is_empty() {
        return Ok(0);
    }
    let known = known(session, fold).await?;
    let admitted = fold.shapes.admit(&known, fold.schema_limits());
    upsert(session, "schema_minutes", &admitted.minutes).await?;
    upsert(session, "schema_hours", &admitted.hours).await?;
    let texts = |of: fn(&ShapeCell) -> &str| -> Vec<&str> {
        admitted.seen.iter().map(|(cell, _)| of(cell)).collect()
    };
    let first: Vec<Millis> = admitted.seen.iter().map(|(cell, _)| cell.at).collect();
    let last: Vec<Millis> = admitted.seen.iter().map(|(_, last)| *last).collect();
    session
        .query(
            "INSERT INTO schema_properties AS known (type, source, property, first_seen, last_seen)
             SELECT * FROM unnest($1, $2, $3, $4, $5)
             ON CONFLICT (type, source, property) DO UPDATE
             SET first_seen = least(known.first_seen, excluded.first_seen),
                 last_seen = greatest(known.last_seen, excluded.last_seen)
             WHERE known.first_seen > excluded.first_seen OR known.last_seen < excluded.last_seen",
            &[
                (&texts(|cell| &cell.kind), Type::TEXT_ARRAY),
                (&texts(|cell| &cell.source), Type::TEXT_ARRAY),
                (&texts(|cell| &cell.property), Type::TEXT_ARRAY),
                (&first, Type::INT8_ARRAY),
                (&last, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(admitted.unlearnt)
}

async fn upsert(session: &Session, table: &str, cells: &[ShapeCell]) -> Result<(), Failure> {
    let texts = |of: fn(&ShapeCell) -> &str| -> Vec<&str> { cells.iter().map(of).collect() };
    let counts = |of: &dyn Fn(&ShapeCell) -> u64| -> Vec<i64> {
        cells.iter().map(|cell| of(cell) as i64).collect()
    };
    let at: Vec<Millis> = cells.iter().map(|cell| cell.at).collect();
    let types: Vec<Vec<i64>> = (0..6).map(|of| counts(&|cell| cell.types.0[of])).collect();
    session
        .query(
            &format!(
                "INSERT INTO {table} (type, source, property, at, {})
                 SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                 ON CONFLICT (type, source, property, at) DO UPDATE SET {}",
                COUNTS.join(", "),
                add_up(table)
            ),
            &[
                (&texts(|cell| &cell.kind), Type::TEXT_ARRAY),
                (&texts(|cell| &cell.source), Type::TEXT_ARRAY),
                (&texts(|cell| &cell.property), Type::TEXT_ARRAY),
                (&at, Type::INT8_ARRAY),
                (&counts(&|cell| cell.seen), Type::INT8_ARRAY),
                (&types[0], Type::INT8_ARRAY),
                (&types[1], Type::INT8_ARRAY),
                (&types[2], Type::INT8_ARRAY),
                (&types[3], Type::INT8_ARRAY),
                (&types[4], Type::INT8_ARRAY),
                (&types[5], Type::INT8_ARRAY),
                (&counts(&|cell| cell.others), Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// What is known of the types and sources of a fold.
async fn known(session: &Session, fold: &Fold) -> Result<Catalogue, Failure> {
    let sql = "SELECT count(*) FROM schema_properties WHERE property = ''";
    let schemas: i64 = session.query(sql, &[]).await?[0].try_get(0)?;
    let (kinds, sources): (Vec<&str>, Vec<&str>) = fold.shapes.pairs().unzip();
    let rows = session
        .query(
            "SELECT type, source, property FROM schema_properties
             JOIN unnest($1, $2) AS named (type, source) USING (type, source)",
            &[(&kinds, Type::TEXT_ARRAY), (&sources, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut known = Catalogue { schemas: schemas as usize, ..Catalogue::default() };
    for row in rows {
        let pair = (row.try_get(0)?, row.try_get(1)?);
        known.properties.entry(pair).or_default().insert(row.try_get(2)?);
    }
    Ok(known)
}

fn cell(row: &Row) -> Result<ShapeCell, Failure> {
    let count = |at: usize| row.try_get::<_, i64>(at).map(|count| count as u64);
    let mut types = TypeCounts::default();
    for (place, of) in types.0.iter_mut().enumerate() {
        *of = count(5 + place)?;
    }
    Ok(ShapeCell {
        kind: row.try_get(0)?,
        source: row.try_get(1)?,
        property: row.try_get(2)?,
        at: row.try_get(3)?,
        seen: count(4)?,
        types,
        others: count(11)?,
    })
}

impl PostgresStore {
    async fn try_shapes(&self, asked: &ShapesAsked) -> Result<Option<Vec<ShapeCell>>, Failure> {
        let session = self.chart().await?;
        let mut parameters: Vec<Parameter<'_>> =
            vec![(&asked.from, Type::INT8), (&asked.step, Type::INT8), (&asked.to, Type::INT8)];
        for named in [&asked.kind, &asked.source].into_iter().flatten() {
            parameters.push((named, Type::TEXT));
        }
        let rows = session.query(&select(asked), &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        match rows.len() <= MAX_CELLS {
            true => rows.iter().map(cell).collect::<Result<_, _>>().map(Some),
            false => Ok(None),
        }
    }

    async fn try_known_properties(
        &self,
        kind: Option<&str>,
        source: Option<&str>,
    ) -> Result<Vec<KnownProperty>, Failure> {
        let rows = self.read(KNOWN, &[(&kind, Type::TEXT), (&source, Type::TEXT)]).await?;
        let known = |row: &Row| {
            Ok(KnownProperty {
                kind: row.try_get(0)?,
                source: row.try_get(1)?,
                property: row.try_get(2)?,
                first: row.try_get(3)?,
                last: row.try_get(4)?,
            })
        };
        rows.iter().map(known).collect()
    }

    async fn try_forget(&self, minutes: Millis, unseen: Millis) -> Result<(), Failure> {
        let Some(session) = self.alone().await? else {
            return Ok(());
        };
        for (sql, before) in [
            ("DELETE FROM schema_minutes WHERE at < $1", minutes),
            ("DELETE FROM schema_properties WHERE last_seen < $1", unseen),
        ] {
            session.query(sql, &[(&before, Type::INT8)]).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

#[async_trait]
impl Schemas for PostgresStore {
    async fn shapes(&self, asked: &ShapesAsked) -> Result<Option<Vec<ShapeCell>>, SinkError> {
        self.try_shapes(asked).await.map_err(|e| self.told(e))
    }

    async fn known_properties(
        &self,
        kind: Option<&str>,
        source: Option<&str>,
    ) -> Result<Vec<KnownProperty>, SinkError> {
        self.try_known_properties(kind, source).await.map_err(|e| self.told(e))
    }

    async fn forget(&self, minutes: Millis, unseen: Millis) -> Result<(), SinkError> {
        self.try_forget(minutes, unseen).await.map_err(|e| self.told(e))
    }
}
