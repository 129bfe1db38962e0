//! All series of a span, summed up from SQLite's rollups.

use async_trait::async_trait;
use hashbrown::HashMap;
use rusqlite::Connection;

use super::{SqliteStore, rollups::RowBudget, with};
use crate::{
    domain::{delta::Series, time::Millis, totals::Totals},
    sink::SinkError,
    store::rollup::SpanTotals,
};

fn totals(conn: &Connection, from: Millis, to: Millis) -> Result<Totals, SinkError> {
    let mut watch = RowBudget::new();
    let mut select = conn
        .prepare_cached("SELECT series, value FROM rollups WHERE minute >= ?1 AND minute < ?2")?;
    let mut rows = select.query([from, to])?;
    // They are added here, since SQLite's sum() answers an overflow with an error.
    let mut sums: HashMap<String, i64> = HashMap::new();
    while let Some(row) = rows.next()? {
        watch.look()?;
        let (key, value) = (row.get_ref(0)?.as_str().unwrap_or_default(), row.get(1)?);
        let sum = sums.entry_ref(key).or_insert(0);
        *sum = i64::saturating_add(*sum, value);
    }
    let mut totals = Totals::default();
    for (key, sum) in sums {
        // A key that this version can't read was written by a later one.
        if let Some(series) = Series::parse(&key) {
            totals.add(&series, sum);
        }
    }
    Ok(totals)
}

#[async_trait]
impl SpanTotals for SqliteStore {
    async fn span_totals(&self, from: Millis, to: Millis) -> Result<Totals, SinkError> {
        with(&self.charts, move |conn| totals(conn, from, to)).await
    }
}
