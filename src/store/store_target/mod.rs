//! The store as a sink: what it means for the store that a batch is written.
//!
//! A store that comes back with another past is told apart by its guard ([`Written`]):
//!
//! - It lacks earlier batches: it was put back to an older state. They are written again, from the
//!   spool or from its kept segments. What is in neither any more is named as missing ([`missing`]).
//! - It has another form of the batch: the run went on twice, from one copy of a data dir. What is ours
//!   alone is written under a run of its own ([`conflict`]).

mod conflict;
mod missing;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify};

use self::{
    conflict::{Remainder, Stored},
    missing::MissingNoted,
};
use super::{BatchStore, LaneHeads, Written};
use crate::{
    domain::{
        batch::{Batch, LANES, RunId},
        metric::MetricSet,
        time::instant,
    },
    failpoint::kill_point,
    sink::{
        BatchReader, HasHeads, Sink, SinkError, SinkErrorKind, Target, last_of_lane,
        newest_of_lane, next_of_lane,
    },
};

/// Writes batches to a store, and counts the events that were new to it.
pub struct StoreTarget {
    batches: Arc<dyn BatchStore>,
    /// Reads batches that the store has lost.
    reader: BatchReader,
    /// Takes a batch apart that the store has in another form.
    remainder: Remainder,
    /// Says which batches are missing for good.
    missing: MissingNoted,
    /// Told when the ledger has come to differ from what the live side has counted.
    miscounted: Arc<Notify>,
    /// What the store has said last of the run that goes on, and when. The four lanes look at the
    /// same time, and one question is enough for them.
    asked: Mutex<Option<(Instant, RunId, LaneHeads)>>,
}

/// For how long an answer on heads is believed while lanes rest.
const ASK_EVERY: Duration = Duration::from_millis(1_900);

impl StoreTarget {
    /// Writes to `batches`. `metric_set` says what a part of a batch counts.
    pub fn new(
        batches: Arc<dyn BatchStore>,
        reader: BatchReader,
        metric_set: Arc<MetricSet>,
    ) -> StoreTarget {
        StoreTarget {
            batches,
            missing: MissingNoted::new(reader.health.clone(), reader.spool.node()),
            reader,
            remainder: Remainder::new(metric_set),
            miscounted: Arc::default(),
            asked: Mutex::default(),
        }
    }

    /// Told when the live counters have to be rebuilt from the ledger, since one run went on twice.
    pub fn miscounted(&self) -> Arc<Notify> {
        self.miscounted.clone()
    }

    /// Does what is left to do for a batch that was written, or was not.
    async fn done(&self, batch: &Batch, written: Written) -> Result<(), SinkError> {
        match written {
            Written::Stored { events, .. } => {
                // A replay stores nothing, so only here something is counted as stored.
                metrics::counter!("floodmark_events_stored_total").increment(events);
                Ok(())
            }
            Written::AlreadyStored => Ok(()),
            Written::Differs { events, whole_events, delta } => {
                let stored = Stored { events, whole_events, delta: &delta };
                self.write_rest(batch, stored).await
            }
            Written::Gap => {
                let message = format!("it still lacks the batches before {}", batch.id.seq);
                Err(SinkError::new(SinkErrorKind::Other, message))
            }
        }
    }

    /// Writes the batches of a lane that the store lacks, up to batch `before` and without it, and the
    /// end of the newest one that it has. Returns how many events the last of them has, where it was
    /// read.
    async fn catch_up(&self, lane: u64, before: u64) -> Result<Option<u64>, SinkError> {
        let last = newest_of_lane(&self.reader.spool, lane, self).await?;
        let first = next_of_lane(lane, last);
        if first < before {
            tracing::warn!(lane, first, before, "the store lacks batches: writing them again");
        }
        // The newest batch that it has may be another's form of ours, of which it had the rest before.
        let mut known = self.complete(last).await?;
        let mut gone = None;
        for seq in (first..before).step_by(LANES as usize) {
            match self.reader.find(seq).await {
                None => _ = gone.get_or_insert(seq),
                Some(batch) => {
                    if let Some(from) = gone.take() {
                        self.skip(from, seq).await?;
                        known = None;
                    }
                    let written = self.batches.write(&follows(&batch, known)).await?;
                    self.done(&batch, written).await?;
                    known = Some(batch.events);
                }
            }
        }
        if let Some(from) = gone {
            self.skip(from, before).await?;
            known = None;
        }
        Ok(known)
    }

    /// Sees to it that the store has all of batch `seq`, of which it has at least the beginning. Where
    /// the spool does not have it any more, its end is named as missing. Returns how many events it
    /// has, where it was read.
    async fn complete(&self, seq: u64) -> Result<Option<u64>, SinkError> {
        if let Some(newest) = self.reader.find(seq).await {
            let written = self.batches.write(&newest).await?;
            self.done(&newest, written).await?;
            return Ok(Some(newest.events));
        }
        let Some(id) = self.reader.spool.batch_id(seq) else { return Ok(None) };
        let head = self.batches.heads(id.run).await?[id.lane() as usize];
        let ours = self.reader.spool.events_of(seq);
        if head.seq == seq
            && head.is_shorter(ours)
            && let (Some(stored), Some(ours)) = (head.events, ours)
        {
            self.skip_rest(seq, stored, ours).await?;
        }
        Ok(None)
    }
}

/// The batch, as it follows on one that was read as one of `known` events. The spool counts events by
/// the seals; should a seal and its rows differ, the lane must not wait for events that there are not.
fn follows(batch: &Batch, known: Option<u64>) -> Batch {
    let after_events = batch.after_events.min(known.unwrap_or(batch.after_events));
    Batch { after_events, ..batch.clone() }
}

#[async_trait]
impl HasHeads for StoreTarget {
    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError> {
        Ok(self.batches.heads(run).await?[lane as usize].seq)
    }
}

#[async_trait]
impl Target for StoreTarget {
    fn sink(&self) -> Sink {
        Sink::Store
    }

    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError> {
        let mut written = self.batches.write(batch).await?;
        if written == Written::Gap {
            let before = self.catch_up(batch.id.lane(), batch.id.seq).await?;
            written = self.batches.write(&follows(batch, before)).await?;
        }
        self.done(batch, written).await?;
        kill_point!("store-committed");
        Ok(())
    }

    async fn look(&self, lane: u64) {
        if let Err(e) = self.try_look(lane).await {
            // The next look asks again, and a batch would report it.
            tracing::debug!(error = %e, "could not look whether the store has all batches");
        }
    }
}

impl StoreTarget {
    async fn try_look(&self, lane: u64) -> Result<(), SinkError> {
        self.missing.load(&*self.batches).await?;
        let settled = self.reader.spool.settled(Sink::Store);
        let Some(last) = last_of_lane(lane, settled) else { return Ok(()) };
        let Some(id) = self.reader.spool.batch_id(last) else { return Ok(()) };
        let ours = self.reader.spool.events_of(last);
        let has_all = |heads: &LaneHeads| {
            let head = heads[lane as usize];
            head.seq > last || (head.seq == last && !head.is_shorter(ours))
        };
        if !has_all(&self.heads_with(id.run, has_all).await?) {
            self.catch_up(lane, last + LANES).await?;
        }
        Ok(())
    }

    /// The heads of a run as the store has said them a moment ago, if that is enough. Otherwise the store
    /// is asked: what it lacked then may have been written since.
    async fn heads_with(
        &self,
        run: RunId,
        enough: impl Fn(&LaneHeads) -> bool,
    ) -> Result<LaneHeads, SinkError> {
        let mut asked = self.asked.lock().await;
        if let Some((at, of, heads)) = *asked
            && of == run
            && instant() - at < ASK_EVERY
            && enough(&heads)
        {
            return Ok(heads);
        }
        let heads = self.batches.heads(run).await?;
        *asked = Some((instant(), run, heads));
        Ok(heads)
    }
}
