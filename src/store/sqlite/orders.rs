//! The books in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{SqliteStore, with};
use crate::{
    domain::{
        books::{BookedOrder, Books, BooksAsked, BooksMaking, OrderEvent},
        money::Amount,
        time::Millis,
    },
    sink::SinkError,
    store::{
        books::{NOTED_SINCE, OrderBooks, total_of},
        orders::StoredOrder,
    },
};

/// Writes orders and refunds, each unless a newer state of it is there.
pub(super) fn insert(tx: &Connection, orders: &[StoredOrder]) -> Result<(), rusqlite::Error> {
    if orders.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO orders (source, kind, id, order_id, total, currency, status, placed_at,
                             changed_at, received_at, test)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (source, kind, id) DO UPDATE
             SET order_id = excluded.order_id, total = excluded.total,
                 currency = excluded.currency, status = excluded.status,
                 placed_at = excluded.placed_at, changed_at = excluded.changed_at,
                 received_at = excluded.received_at, test = excluded.test
             WHERE orders.changed_at <= excluded.changed_at",
    )?;
    for StoredOrder { source, entry, received_at } in orders {
        insert.execute(params![
            source,
            entry.kind.name(),
            entry.id,
            entry.order_id,
            entry.total,
            entry.currency,
            entry.status,
            entry.placed_at,
            entry.changed_at,
            received_at,
            entry.test,
        ])?;
    }
    Ok(())
}

/// Notes what events say of orders.
pub(super) fn insert_events(tx: &Connection, events: &[OrderEvent]) -> Result<(), rusqlite::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO order_events (order_id, counts, webhook, source, time, amount, currency, test)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for it in events {
        let amount = it.amount.map(|amount| amount.0);
        insert.execute(params![
            it.order_id,
            it.counts,
            it.webhook,
            it.source,
            it.time,
            amount,
            it.currency,
            it.test,
        ])?;
    }
    Ok(())
}

/// Every order of the stretch with each of its events. The sign before the order id keeps SQLite from walking
/// through all orders there ever were in the order of that column.
const PAIRS: &str = "SELECT o.order_id, o.source, o.id, o.total, o.currency, o.status, o.test,
        e.counts, e.webhook, e.source, e.time, e.amount, e.currency, e.test
    FROM orders o LEFT JOIN order_events e ON e.order_id = o.order_id
    WHERE o.kind = 'order' AND o.placed_at >= ?1 AND o.placed_at < ?2
          AND (?3 IS NULL OR o.source = ?3)
    ORDER BY +o.order_id, o.source, o.id";

/// The orders of events that count and that the books do not have.
const UNKNOWN: &str = "SELECT e.order_id FROM order_events e
    WHERE e.time >= ?1 AND e.time < ?2 AND e.counts AND NOT e.test AND NOT EXISTS (
        SELECT 1 FROM orders o WHERE o.order_id = e.order_id AND o.kind = 'order'
                                     AND (?3 IS NULL OR o.source = ?3))
    ORDER BY e.time";

/// Refunds of the stretch, and whether there is any order.
const BESIDE: &str = "SELECT
    (SELECT count(*) FROM orders WHERE kind = 'refund' AND placed_at >= ?1 AND placed_at < ?2
                                       AND (?3 IS NULL OR source = ?3)),
    EXISTS (SELECT 1 FROM orders WHERE kind = 'order' AND (?3 IS NULL OR source = ?3))";

fn books(conn: &mut Connection, asked: &BooksAsked) -> Result<Books, SinkError> {
    let tx = conn.transaction()?;
    let since: Option<Millis> = tx.query_row(NOTED_SINCE, [], |row| row.get(0))?;
    let asked = BooksAsked { from: asked.from.max(since.unwrap_or(asked.from)), ..asked.clone() };
    let mut making = BooksMaking::new(&asked);
    let stretch = params![asked.from, asked.to, asked.source];
    let (refunds, kept): (i64, bool) =
        tx.query_row(BESIDE, stretch, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut select = tx.prepare(PAIRS)?;
    let mut rows = select.query(stretch)?;
    while let Some(row) = rows.next()? {
        let (order, event) = pair(row)?;
        making.add(order, event);
    }
    if kept {
        let mut select = tx.prepare(UNKNOWN)?;
        let mut rows = select.query(stretch)?;
        while let Some(row) = rows.next()? {
            making.add_unknown(row.get(0)?);
        }
    }
    Ok(making.finish(refunds as u64, kept))
}

/// Reads a row of [`PAIRS`].
fn pair(row: &Row<'_>) -> Result<(BookedOrder, Option<OrderEvent>), SinkError> {
    let order_id: String = row.get(0)?;
    let total: String = row.get(3)?;
    let total = total_of(&order_id, &total)?;
    let event = match row.get::<_, Option<bool>>(7)? {
        None => None,
        Some(counts) => Some(OrderEvent {
            order_id: order_id.clone(),
            counts,
            webhook: row.get(8)?,
            source: row.get(9)?,
            time: row.get(10)?,
            amount: row.get::<_, Option<i64>>(11)?.map(Amount),
            currency: row.get(12)?,
            test: row.get(13)?,
        }),
    };
    let order = BookedOrder {
        order_id,
        source: row.get(1)?,
        id: row.get(2)?,
        total,
        currency: row.get(4)?,
        status: row.get(5)?,
        test: row.get(6)?,
    };
    Ok((order, event))
}

#[async_trait]
impl OrderBooks for SqliteStore {
    async fn keep_orders(&self, orders: &[StoredOrder]) -> Result<(), SinkError> {
        let orders = orders.to_vec();
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            insert(&tx, &orders)?;
            Ok(tx.commit()?)
        })
        .await
    }

    async fn books(&self, asked: &BooksAsked) -> Result<Books, SinkError> {
        let asked = asked.clone();
        with(&self.charts, move |conn| books(conn, &asked)).await
    }
}
