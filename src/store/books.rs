//! The books in the store: orders as the shop or the payment provider has them (`orders`), and what events
//! say of orders (`order_events`). Both are written in the transactions of batches, so an order and its
//! event meet there as they come; `floodmark orders` adds orders from a file.

use async_trait::async_trait;

use crate::{
    domain::{
        books::{Books, BooksAsked},
        money::Amount,
    },
    sink::{SinkError, SinkErrorKind},
    store::orders::StoredOrder,
};

/// Keeps and compares the books.
#[async_trait]
pub trait OrderBooks: Send + Sync + 'static {
    /// Keeps orders and refunds, each unless a newer state of it is there, in one transaction.
    ///
    /// # Errors
    /// The store can't be written to. Nothing of these orders is kept then.
    async fn keep_orders(&self, orders: &[StoredOrder]) -> Result<(), SinkError>;

    /// Compares the orders of a stretch of time with the events of the same orders. Where events of its
    /// beginning were stored by a version that did not note their orders, it begins after that
    /// ([`Books::from`]).
    ///
    /// # Errors
    /// It takes longer than a chart may, or the store can't be read.
    async fn books(&self, asked: &BooksAsked) -> Result<Books, SinkError>;
}

/// SQL for both stores: since when the orders of events are noted; NULL where that is since ever.
pub(crate) const NOTED_SINCE: &str =
    "SELECT max(before) FROM history_forgotten WHERE what = 'order_events'";

/// The total of an order, from its text.
///
/// # Errors
/// It is no amount; the message names the order.
pub(crate) fn total_of(order_id: &str, text: &str) -> Result<Amount, SinkError> {
    Amount::parse(text).map_err(|e| {
        let message = format!("the total {text:?} of order {order_id} {e}");
        SinkError::new(SinkErrorKind::Other, message)
    })
}
