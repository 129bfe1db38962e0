//! The books in Postgres.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::{Row, types::Type};

use super::{PostgresStore, errors::Failure, session::Session};
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
pub(super) async fn insert(session: &Session, orders: &[StoredOrder]) -> Result<(), Failure> {
    let texts = |of: fn(&StoredOrder) -> &str| -> Vec<&str> { orders.iter().map(of).collect() };
    let times = |of: fn(&StoredOrder) -> Millis| -> Vec<Millis> { orders.iter().map(of).collect() };
    if orders.is_empty() {
        return Ok(());
    }
    let tests: Vec<bool> = orders.iter().map(|order| order.entry.test).collect();
    session
        .query(
            "INSERT INTO orders (source, kind, id, order_id, total, currency, status, placed_at,
                             changed_at, received_at, test)
         SELECT source, kind, id, order_id, total::numeric, currency, status,
                timestamptz 'epoch' + placed * interval '1 ms',
                timestamptz 'epoch' + changed * interval '1 ms',
                timestamptz 'epoch' + received * interval '1 ms', test
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             AS told (source, kind, id, order_id, total, currency, status, placed, changed, received,
                      test)
         ON CONFLICT (source, kind, id) DO UPDATE
             SET order_id = excluded.order_id, total = excluded.total,
                 currency = excluded.currency, status = excluded.status,
                 placed_at = excluded.placed_at, changed_at = excluded.changed_at,
                 received_at = excluded.received_at, test = excluded.test
             WHERE orders.changed_at <= excluded.changed_at",
            &[
                (&texts(|order| &order.source), Type::TEXT_ARRAY),
                (&texts(|order| order.entry.kind.name()), Type::TEXT_ARRAY),
                (&texts(|order| &order.entry.id), Type::TEXT_ARRAY),
                (&texts(|order| &order.entry.order_id), Type::TEXT_ARRAY),
                (&texts(|order| &order.entry.total), Type::TEXT_ARRAY),
                (&texts(|order| &order.entry.currency), Type::TEXT_ARRAY),
                (&texts(|order| &order.entry.status), Type::TEXT_ARRAY),
                (&times(|order| order.entry.placed_at), Type::INT8_ARRAY),
                (&times(|order| order.entry.changed_at), Type::INT8_ARRAY),
                (&times(|order| order.received_at), Type::INT8_ARRAY),
                (&tests, Type::BOOL_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Notes what events say of orders.
pub(super) async fn insert_events(session: &Session, events: &[OrderEvent]) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&OrderEvent) -> &str| -> Vec<&str> { events.iter().map(of).collect() };
    let bools = |of: fn(&OrderEvent) -> bool| -> Vec<bool> { events.iter().map(of).collect() };
    let times: Vec<Millis> = events.iter().map(|event| event.time).collect();
    let amounts: Vec<Option<i64>> =
        events.iter().map(|event| event.amount.map(|amount| amount.0)).collect();
    session
        .query(
            "INSERT INTO order_events (order_id, counts, webhook, source, time, amount, currency, test)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                (&texts(|event| &event.order_id), Type::TEXT_ARRAY),
                (&bools(|event| event.counts), Type::BOOL_ARRAY),
                (&bools(|event| event.webhook), Type::BOOL_ARRAY),
                (&texts(|event| &event.source), Type::TEXT_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&amounts, Type::INT8_ARRAY),
                (&texts(|event| &event.currency), Type::TEXT_ARRAY),
                (&bools(|event| event.test), Type::BOOL_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Every order of the stretch with each of its events. Ids are ordered byte by byte, as they are compared.
const PAIRS: &str = r#"SELECT o.order_id, o.source, o.id, o.total::text, o.currency, o.status, o.test,
        e.counts, e.webhook, e.source, e.time, e.amount, e.currency, e.test
    FROM orders o LEFT JOIN order_events e ON e.order_id = o.order_id
    WHERE o.kind = 'order' AND o.placed_at >= timestamptz 'epoch' + $1 * interval '1 ms'
          AND o.placed_at < timestamptz 'epoch' + $2 * interval '1 ms'
          AND ($3::text IS NULL OR o.source = $3)
    ORDER BY o.order_id COLLATE "C", o.source COLLATE "C", o.id COLLATE "C""#;

/// The orders of events that count and that the books do not have.
const UNKNOWN: &str = "SELECT e.order_id FROM order_events e
    WHERE e.time >= $1 AND e.time < $2 AND e.counts AND NOT e.test AND NOT EXISTS (
        SELECT FROM orders o WHERE o.order_id = e.order_id AND o.kind = 'order'
                                   AND ($3::text IS NULL OR o.source = $3))
    ORDER BY e.time";

/// Refunds of the stretch, and whether there is any order.
const BESIDE: &str = "SELECT
    (SELECT count(*) FROM orders
     WHERE kind = 'refund' AND placed_at >= timestamptz 'epoch' + $1 * interval '1 ms'
           AND placed_at < timestamptz 'epoch' + $2 * interval '1 ms'
           AND ($3::text IS NULL OR source = $3)),
    EXISTS (SELECT FROM orders WHERE kind = 'order' AND ($3::text IS NULL OR source = $3))";

impl PostgresStore {
    async fn try_books(&self, asked: &BooksAsked) -> Result<Books, Failure> {
        let session = self.chart().await?;
        let since: Option<Millis> = session.query(NOTED_SINCE, &[]).await?[0].try_get(0)?;
        let asked =
            BooksAsked { from: asked.from.max(since.unwrap_or(asked.from)), ..asked.clone() };
        let mut making = BooksMaking::new(&asked);
        let (from, to, source) = (asked.from, asked.to, asked.source.as_deref());
        let stretch: [super::session::Parameter<'_>; 3] =
            [(&from, Type::INT8), (&to, Type::INT8), (&source, Type::TEXT)];
        let beside = session.query(BESIDE, &stretch).await?;
        let (refunds, kept): (i64, bool) = (beside[0].try_get(0)?, beside[0].try_get(1)?);
        let rows = session.client().query_typed_raw(PAIRS, stretch);
        let mut rows = std::pin::pin!(session.answer(rows).await?);
        while let Some(row) = session.answer(rows.try_next()).await? {
            let (order, event) = pair(&row)?;
            making.add(order, event);
        }
        if kept {
            let stretch: [super::session::Parameter<'_>; 3] =
                [(&from, Type::INT8), (&to, Type::INT8), (&source, Type::TEXT)];
            let rows = session.client().query_typed_raw(UNKNOWN, stretch);
            let mut rows = std::pin::pin!(session.answer(rows).await?);
            while let Some(row) = session.answer(rows.try_next()).await? {
                making.add_unknown(row.try_get(0)?);
            }
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(making.finish(refunds as u64, kept))
    }

    async fn try_keep_orders(&self, orders: &[StoredOrder]) -> Result<(), Failure> {
        self.ready().await?;
        let session = self.writers.get().await?;
        session.begin("").await?;
        insert(&session, orders).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

/// Reads a row of [`PAIRS`].
fn pair(row: &Row) -> Result<(BookedOrder, Option<OrderEvent>), Failure> {
    let order_id: String = row.try_get(0)?;
    let total: &str = row.try_get(3)?;
    let total = total_of(&order_id, total)?;
    let event = match row.try_get::<_, Option<bool>>(7)? {
        None => None,
        Some(counts) => Some(OrderEvent {
            order_id: order_id.clone(),
            counts,
            webhook: row.try_get(8)?,
            source: row.try_get(9)?,
            time: row.try_get(10)?,
            amount: row.try_get::<_, Option<i64>>(11)?.map(Amount),
            currency: row.try_get(12)?,
            test: row.try_get(13)?,
        }),
    };
    let order = BookedOrder {
        order_id,
        source: row.try_get(1)?,
        id: row.try_get(2)?,
        total,
        currency: row.try_get(4)?,
        status: row.try_get(5)?,
        test: row.try_get(6)?,
    };
    Ok((order, event))
}

#[async_trait]
impl OrderBooks for PostgresStore {
    async fn keep_orders(&self, orders: &[StoredOrder]) -> Result<(), SinkError> {
        self.try_keep_orders(orders).await.map_err(|e| self.told(e))
    }

    async fn books(&self, asked: &BooksAsked) -> Result<Books, SinkError> {
        self.try_books(asked).await.map_err(|e| self.told(e))
    }
}
