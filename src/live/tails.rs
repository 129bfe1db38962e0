//! Batches that the live side may have counted in a shorter form than the store has.
//!
//! A start seals what its predecessor left open: the tail of the earlier run. Where the data dir was
//! copied while that predecessor ran, the predecessor seals the same batch, with more rows. Both forms
//! have one number, so the live side counts whichever comes first. The store notices that there are two
//! and gets the rest ([`crate::store::store_target`]); the live side keeps no batches to compare with. So
//! a node asks the store about its own tails now and then, and has the counters rebuilt from the ledger
//! where the store has more of one than the node has.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::{
        batch::{BatchId, LANES},
        time::instant,
    },
    sink::{BatchReader, SinkError},
    store::BatchStore,
};

/// Only the tails of so many runs are asked about, newest first: copies that are older than as many
/// starts are not worth the questions.
const WATCHED: usize = 8;

/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// The tails of a node's earlier runs.
pub struct Tails {
    /// Leads to the spool, which says how many events a batch has.
    reader: BatchReader,
    batches: Arc<dyn BatchStore>,
    /// Told when the counters have to be rebuilt.
    miscounted: Arc<Notify>,
    /// When each lane has asked last.
    asked: [Mutex<Option<Instant>>; LANES as usize],
    /// How many events the store had of a tail when the counters were last to be rebuilt for it.
    noted: Mutex<HashMap<BatchId, u64>>,
}

impl Tails {
    /// The tails that the spool of `reader` has sealed, as `batches` knows them. `miscounted` leads
    /// to whoever rebuilds the live counters.
    pub fn new(
        reader: BatchReader,
        batches: Arc<dyn BatchStore>,
        miscounted: Arc<Notify>,
    ) -> Tails {
        let (asked, noted) = (Default::default(), Mutex::default());
        Tails { reader, batches, miscounted, asked, noted }
    }

    /// Notes that a batch was counted just now, perhaps again. What was noted of it holds no longer.
    pub fn counted(&self, id: BatchId) {
        self.noted.lock().remove(&id);
    }

    /// Asks about the tails of a lane, if it is time.
    ///
    /// # Errors
    /// The store did not answer; the next look asks again.
    pub async fn look(&self, lane: u64) -> Result<(), SinkError> {
        let now = instant();
        {
            let mut asked = self.asked[lane as usize].lock();
            if asked.is_some_and(|at| now - at < ASK_EVERY) {
                return Ok(());
            }
            *asked = Some(now);
        }
        let looked = self.ask(lane).await;
        if looked.is_err() {
            *self.asked[lane as usize].lock() = None;
        }
        looked
    }

    async fn ask(&self, lane: u64) -> Result<(), SinkError> {
        for id in self.of_lane(lane) {
            // Where nobody knows any more how many events ours has, there is nothing to compare.
            let Some(ours) = self.reader.spool.events_of(id.seq) else { continue };
            let Some(stored) = self.batches.events_of(id).await? else { continue };
            if stored > ours && self.noted.lock().insert(id, stored) != Some(stored) {
                let BatchId { run, seq } = id;
                tracing::warn!(
                    %run, seq, ours, stored,
                    "the store has more of this batch, which another process went on with: the live \
                     counters are rebuilt"
                );
                self.miscounted.notify_one();
            }
        }
        Ok(())
    }

    /// The tails in a lane: the last batch of each run that is over.
    fn of_lane(&self, lane: u64) -> Vec<BatchId> {
        let runs = self.reader.spool.runs();
        let starts = runs.iter().rev().take(WATCHED);
        starts
            .filter_map(|(_, first)| runs.batch(first.checked_sub(1)?))
            .filter(|id| id.lane() == lane)
            .collect()
    }
}
