//! What was learnt of the properties of events, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row as SqlRow, ToSql, Transaction, params};

use super::{SqliteStore, with};
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

/// The most minutes that are forgotten in one transaction.
const PORTION: i64 = 20_000;

/// Adds the shapes of a fold to the tables, in its transaction. Returns of how many events there was no
/// room for the type and source.
pub(super) fn add(tx: &Transaction<'_>, fold: &Fold) -> Result<u64, SinkError> {
    if fold.shapes.is_empty() {
        return Ok(0);
    }
    let admitted = fold.shapes.admit(&known(tx, fold)?, fold.schema_limits());
    for (table, cells) in [("schema_minutes", admitted.minutes), ("schema_hours", admitted.hours)] {
        let mut upsert = tx.prepare_cached(&format!(
            "INSERT INTO {table} (type, source, property, at, {})
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (type, source, property, at) DO UPDATE SET {}",
            COUNTS.join(", "),
            add_up(table)
        ))?;
        for cell in cells {
            let [strings, numbers, booleans, nulls, objects, arrays] =
                cell.types.0.map(|count| count as i64);
            upsert.execute(params![
                cell.kind,
                cell.source,
                cell.property,
                cell.at,
                cell.seen as i64,
                strings,
                numbers,
                booleans,
                nulls,
                objects,
                arrays,
                cell.others as i64,
            ])?;
        }
    }
    let mut seen = tx.prepare_cached(
        "INSERT INTO schema_properties (type, source, property, first_seen, last_seen)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (type, source, property) DO UPDATE
         SET first_seen = min(first_seen, excluded.first_seen),
             last_seen = max(last_seen, excluded.last_seen)
         WHERE first_seen > excluded.first_seen OR last_seen < excluded.last_seen",
    )?;
    for (first, last) in admitted.seen {
        seen.execute(params![first.kind, first.source, first.property, first.at, last])?;
    }
    Ok(admitted.unlearnt)
}

/// What is known of the types and sources of a fold.
fn known(tx: &Transaction<'_>, fold: &Fold) -> Result<Catalogue, SinkError> {
    let sql = "SELECT count(*) FROM schema_properties WHERE property = ''";
    let schemas: i64 = tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let mut known = Catalogue { schemas: schemas as usize, ..Catalogue::default() };
    let mut names =
        tx.prepare_cached("SELECT property FROM schema_properties WHERE type = ? AND source = ?")?;
    for (kind, source) in fold.shapes.pairs() {
        let rows = names.query_map([kind, source], |row| row.get(0))?;
        let properties = rows.collect::<Result<hashbrown::HashSet<String>, _>>()?;
        if !properties.is_empty() {
            known.properties.insert((kind.to_owned(), source.to_owned()), properties);
        }
    }
    Ok(known)
}

fn cells(conn: &Connection, asked: &ShapesAsked) -> Result<Option<Vec<ShapeCell>>, SinkError> {
    let mut select = conn.prepare_cached(&select(asked))?;
    let mut parameters: Vec<&dyn ToSql> = vec![&asked.from, &asked.step, &asked.to];
    let named = [&asked.kind, &asked.source].into_iter().flatten();
    parameters.extend(named.map(|named| named as &dyn ToSql));
    let rows = select.query_map(&*parameters, |row: &SqlRow<'_>| {
        let count = |at: usize| row.get::<_, i64>(at).map(|count| count as u64);
        let mut types = TypeCounts::default();
        for (place, of) in types.0.iter_mut().enumerate() {
            *of = count(5 + place)?;
        }
        Ok(ShapeCell {
            kind: row.get(0)?,
            source: row.get(1)?,
            property: row.get(2)?,
            at: row.get(3)?,
            seen: count(4)?,
            types,
            others: count(11)?,
        })
    })?;
    let cells = rows.collect::<Result<Vec<_>, _>>()?;
    Ok((cells.len() <= MAX_CELLS).then_some(cells))
}

#[async_trait]
impl Schemas for SqliteStore {
    async fn shapes(&self, asked: &ShapesAsked) -> Result<Option<Vec<ShapeCell>>, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| cells(conn, &asked)).await
    }

    async fn known_properties(
        &self,
        kind: Option<&str>,
        source: Option<&str>,
    ) -> Result<Vec<KnownProperty>, SinkError> {
        let (kind, source) = (kind.map(str::to_owned), source.map(str::to_owned));
        with(&self.charts, move |conn| {
            let mut select = conn.prepare_cached(KNOWN)?;
            let rows = select.query_map(params![kind, source], |row| {
                Ok(KnownProperty {
                    kind: row.get(0)?,
                    source: row.get(1)?,
                    property: row.get(2)?,
                    first: row.get(3)?,
                    last: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn forget(&self, minutes: Millis, unseen: Millis) -> Result<(), SinkError> {
        // Batches are written between the portions.
        while with(&self.writer, move |conn| {
            let sql = "DELETE FROM schema_minutes WHERE (type, source, property, at) IN
                       (SELECT type, source, property, at FROM schema_minutes WHERE at < ? LIMIT ?)";
            let forgotten = conn.prepare_cached(sql)?.execute(params![minutes, PORTION])?;
            Ok(forgotten as i64 == PORTION)
        })
        .await?
        {}
        with(&self.writer, move |conn| {
            conn.prepare_cached("DELETE FROM schema_properties WHERE last_seen < ?")?
                .execute([unseen])?;
            Ok(())
        })
        .await
    }
}
