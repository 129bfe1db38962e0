//! All series of a span, summed up by the store: a day has more minutes than anybody wants to fetch.

use async_trait::async_trait;

use crate::{
    domain::{time::Millis, totals::Totals},
    sink::SinkError,
};

/// Sums the rollups up.
#[async_trait]
pub trait SpanTotals {
    /// Every series of the minutes that start in `[from, to)` (Unix ms), summed up.
    ///
    /// # Errors
    /// It takes longer than a chart may, or the store can't be read.
    async fn span_totals(&self, from: Millis, to: Millis) -> Result<Totals, SinkError>;
}
