//! The keys of imported events in SQLite.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use hashbrown::HashSet;
use rusqlite::{Connection, params};

use super::{SqliteStore, events::CLOCK_EVERY, with};
use crate::{
    domain::{
        ids::MONEY_TYPES,
        imported::{DIALECT, ImportKey, key},
        time::{Millis, SECOND},
    },
    sink::{SinkError, SinkErrorKind},
    store::imported::{ImportedIds, LOOK},
};

/// Notes what a batch has imported, in its transaction.
pub(super) fn insert(tx: &Connection, keys: &[ImportKey]) -> Result<(), rusqlite::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut insert =
        tx.prepare_cached("INSERT INTO imported_ids (id) VALUES (?) ON CONFLICT DO NOTHING")?;
    for key in keys {
        insert.execute(params![key.to_be_bytes()])?;
    }
    Ok(())
}

fn read(conn: &Connection, keys: &[ImportKey]) -> Result<HashSet<ImportKey>, SinkError> {
    let mut select = conn.prepare_cached("SELECT 1 FROM imported_ids WHERE id = ?")?;
    let mut known = HashSet::new();
    for key in keys {
        if select.exists(params![key.to_be_bytes()])? {
            known.insert(*key);
        }
    }
    Ok(known)
}

fn orders_told(conn: &Connection, orders: Vec<String>) -> Result<HashSet<String>, SinkError> {
    let sql = "SELECT 1 FROM order_events WHERE counts AND order_id = ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut told = HashSet::new();
    for order in orders {
        if select.exists([&order])? {
            told.insert(order);
        }
    }
    Ok(told)
}

fn live_orders(
    conn: &Connection,
    (from, to): (Millis, Millis),
    most: usize,
) -> Result<Option<Vec<ImportKey>>, SinkError> {
    let started = Instant::now();
    // The view finds runs of rows by the seconds that they span.
    let mut select = conn.prepare_cached(&format!(
        "SELECT id, type, dialect FROM events_near
         WHERE last_second > ?1 - {SECOND} AND first_second < ?2
         AND time >= ?1 AND time < ?2 AND type IN (?3, ?4)"
    ))?;
    let mut rows = select.query(params![from, to, MONEY_TYPES[0], MONEY_TYPES[1]])?;
    let (mut keys, mut looked_at) = (Vec::new(), 0usize);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        if looked_at.is_multiple_of(CLOCK_EVERY) && started.elapsed() > LOOK {
            let message = "SQLite: the orders could not be read in time".to_owned();
            return Err(SinkError::new(SinkErrorKind::Unavailable, message));
        }
        if row.get_ref(2)?.as_str_or_null().unwrap_or_default() == Some(DIALECT) {
            continue;
        }
        keys.push(key(
            row.get_ref(0)?.as_str().unwrap_or_default(),
            row.get_ref(1)?.as_str().unwrap_or_default(),
        ));
        if keys.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(keys))
}

#[async_trait]
impl ImportedIds for SqliteStore {
    async fn imported(&self, keys: &[ImportKey]) -> Result<HashSet<ImportKey>, SinkError> {
        let keys = keys.to_vec();
        with(&self.reader, move |conn| read(conn, &keys)).await
    }

    async fn live_orders(
        &self,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<ImportKey>>, SinkError> {
        with(&self.reader, move |conn| live_orders(conn, (from, to), most)).await
    }

    async fn orders_told(&self, orders: &[String]) -> Result<HashSet<String>, SinkError> {
        let orders = orders.to_vec();
        with(&self.reader, move |conn| orders_told(conn, orders)).await
    }

    async fn lead_import(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        // No other node has this file.
        Ok(true)
    }

    async fn resign_import(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }
}
