//! The orders of a batch: what its webhooks say of orders and refunds. Both stores write them in the
//! transaction of the batch, so they are there once their events are.

use std::{collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::domain::{
    orders::{DIALECTS, ENTRY, EntryKind, OrderEntry},
    row,
    time::Millis,
};

/// An entry with what is known of who told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrder {
    /// The name of the source that sent it.
    pub source: String,
    /// What the webhook says.
    pub entry: OrderEntry,
    /// When it was received, Unix ms.
    pub received_at: Millis,
}

/// The newest state of each order and refund in these rows, ordered by its key: two lanes that write the
/// same orders then wait for each other in one direction only, and can't deadlock.
pub(super) fn orders_of(chunks: &[Bytes]) -> Vec<StoredOrder> {
    static NEEDLE: LazyLock<Finder<'static>> =
        LazyLock::new(|| Finder::new(format!("\"{ENTRY}\"").as_bytes()).into_owned());
    let mut newest: BTreeMap<(String, EntryKind, String), StoredOrder> = BTreeMap::new();
    // Most batches have none, and a search of their bytes says so.
    for chunk in chunks.iter().filter(|chunk| NEEDLE.find(chunk).is_some()) {
        for row in row::rows(chunk).flatten() {
            let (Some(source), Some(dialect)) = (row.source, row.dialect) else { continue };
            if !DIALECTS.contains(&dialect) {
                continue;
            }
            let Some(entry) = OrderEntry::of_properties(row.properties) else { continue };
            let key = (source.to_owned(), entry.kind, entry.id.clone());
            let is_older = |known: &StoredOrder| known.entry.changed_at > entry.changed_at;
            if !newest.get(&key).is_some_and(is_older) {
                let source = source.to_owned();
                newest.insert(key, StoredOrder { source, entry, received_at: row.received_at });
            }
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::row::Row;

    fn chunk(rows: &[(&str, i64, &str)]) -> Bytes {
        let mut chunk = Vec::new();
        for (dialect, changed_at, status) in rows {
            let properties = format!(
                "{{\"order_entry\":{{\"kind\":\"order\",\"id\":\"7\",\"order_id\":\"7\",\"total\":\"5.00\",\
                 \"currency\":\"EUR\",\"status\":\"{status}\",\"placed_at\":1,\"changed_at\":{changed_at}}}}}"
            );
            let row = Row {
                id: "i",
                kind: "purchase",
                properties: &properties,
                source: Some("shop"),
                dialect: Some(dialect),
                ..Row::default()
            };
            row.encode(&mut chunk);
        }
        chunk.into()
    }

    #[test]
    fn the_newest_state_counts_and_only_webhooks_tell_it() {
        let rows = [("shopify", 5, "paid"), ("shopify", 4, "pending"), ("native", 9, "forged")];
        let orders = orders_of(&[chunk(&rows), chunk(&[("shopify", 5, "refunded")])]);
        assert_eq!(orders.len(), 1);
        assert_eq!(
            (orders[0].entry.status.as_str(), orders[0].source.as_str()),
            ("refunded", "shop")
        );
        assert_eq!(orders_of(&[chunk(&[("native", 9, "forged")])]), []);
    }
}
