//! Which events were imported. A batch's keys ([`crate::domain::imported`]) are written in its transaction, so they
//! are there once its events are, and they stay when the events are removed for their age.

use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashSet;

use crate::{
    domain::{imported::ImportKey, time::Millis},
    sink::SinkError,
};

/// Knows which events were imported.
#[async_trait]
pub trait ImportedIds: Send + Sync + 'static {
    /// Those of these keys that the store has.
    async fn imported(&self, keys: &[ImportKey]) -> Result<HashSet<ImportKey>, SinkError>;

    /// The keys of the orders and refunds in `[from, to)` (Unix ms) that came another way than by an import: they
    /// were sent when they happened. `None` where there are more than `most`.
    ///
    /// # Errors
    /// The store can't be read, or not within [`LOOK`].
    async fn live_orders(
        &self,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<ImportKey>>, SinkError>;

    /// Those of these orders of which purchases tell that count ([`OrderEvent`](crate::domain::books::OrderEvent)),
    /// also where their rows are no longer in the store.
    async fn orders_told(&self, orders: &[String]) -> Result<HashSet<String>, SinkError>;

    /// Takes or renews the right to import, which one node has at a time. Answers whether `holder` has it now.
    async fn lead_import(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError>;

    /// Gives that right back.
    async fn resign_import(&self, holder: &str) -> Result<(), SinkError>;
}

/// How long the search for orders may take.
pub(crate) const LOOK: Duration = Duration::from_secs(20);
