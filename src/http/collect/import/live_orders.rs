//! The orders that came when they happened, among which an import looks for those that it brings.

use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use crate::{
    domain::{
        imported::ImportKey,
        time::{DAY, HOUR, Millis},
    },
    sink::SinkError,
    store::imported::ImportedIds,
};

/// Orders are looked up for so many ms at once.
const BLOCK: Millis = 2 * DAY;
/// An order may be dated so much earlier or later in an export, in ms.
const APART: Millis = HOUR;
/// So many ids of orders are held at most.
const MOST_ORDERS: usize = 1_000_000;
/// For how long they are believed: what comes meanwhile is in the index of ids.
const BELIEVED: Duration = Duration::from_secs(300);

/// The orders that came when they happened, by blocks of time.
#[derive(Default)]
pub struct LiveOrders(HashMap<i64, (Instant, HashSet<ImportKey>)>);

impl LiveOrders {
    /// The blocks in which an order of this time may be.
    pub fn blocks(time: Millis) -> impl Iterator<Item = i64> {
        (time - APART).div_euclid(BLOCK)..=(time + APART).div_euclid(BLOCK)
    }

    /// The orders of a block; `None` where there are too many.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn of(
        &mut self,
        store: &dyn ImportedIds,
        block: i64,
    ) -> Result<Option<&HashSet<ImportKey>>, SinkError> {
        self.0.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        if !self.0.contains_key(&block) {
            let span = (block * BLOCK, (block + 1) * BLOCK);
            let Some(keys) = store.live_orders(span.0, span.1, MOST_ORDERS).await? else {
                return Ok(None);
            };
            let held: usize = self.0.values().map(|(_, keys)| keys.len()).sum();
            if held + keys.len() > MOST_ORDERS {
                self.0.clear();
            }
            self.0.insert(block, (Instant::now(), keys.into_iter().collect()));
        }
        Ok(self.0.get(&block).map(|(_, keys)| keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_at_the_edge_of_a_block_is_looked_for_in_both() {
        assert_eq!(LiveOrders::blocks(5 * BLOCK + DAY).collect::<Vec<_>>(), [5]);
        assert_eq!(LiveOrders::blocks(5 * BLOCK + 1).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(LiveOrders::blocks(5 * BLOCK - 1).collect::<Vec<_>>(), [4, 5]);
    }
}
