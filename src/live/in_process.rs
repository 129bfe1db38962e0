//! The live store of a single node without Redis. Guards and active sessions are in memory, and the
//! counters are only in the mirror to which the feed leads.
//!
//! A restart forgets all of it. [`InProcess::start`] builds it up again from the ledger. Batches
//! that the ledger has not got yet are still in the spool, and the strict guard makes the lane
//! writers replay them from there. If the ledger's server is away at the start, nothing is counted
//! until it is back: the lane writers try again and again, and the spool keeps their batches.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use hashbrown::HashMap;
use jiff::civil::Date;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{
    Applied, Feed, FeedSender, LiveStore, Population, counters::Counters, distinct::DistinctDays,
    judge, ledger_since, sessions::ActiveSessions,
};
use crate::{
    config,
    domain::{
        batch::{BatchId, LANES, NodeId, RunId},
        delta::Delta,
        time::{BusinessZone, Millis, now_ms},
    },
    retry::Backoff,
    sink::{Lease, SinkError, SinkErrorKind},
    store::{Ledger, LedgerSum},
};

/// The in-process live store.
pub struct InProcess {
    /// Empty until the ledger has been summed up.
    counted: Arc<OnceLock<InProcessCounters>>,
    feed: FeedSender,
    /// The task that waits for the ledger, where it was away at the start.
    waiting: Option<JoinHandle<()>>,
}

/// What is counted in this process, beside the counters that the feed carries.
struct InProcessCounters {
    /// The guards, by lane: the last batch of each node that was counted. The lock is held until
    /// the batch is in the feed, so that guard and feed agree on the order.
    lanes: [tokio::sync::Mutex<HashMap<NodeId, u64>>; LANES as usize],
    noted: Mutex<NotedVisitors>,
    zone: BusinessZone,
}

/// The visitors and the distinct values that were seen.
#[derive(Default)]
struct NotedVisitors {
    sessions: ActiveSessions,
    distinct: DistinctDays,
}

impl NotedVisitors {
    fn touch(&mut self, zone: &BusinessZone, delta: &Delta) {
        for &(visitor, at) in delta.visitors() {
            self.sessions.touch(visitor, at);
        }
        for (at, metric, hash) in delta.distinct() {
            self.distinct.note(zone.day_of(at).date, metric, hash);
        }
    }
}

impl InProcess {
    /// Sums the ledger as of `now` (Unix ms), sends the first [`Feed::Reset`] and counts
    /// on from there. Visitors seen within `active_window` ms are active from the start.
    /// A ledger that can't be reached is waited for in the background.
    pub async fn start(
        ledger: Arc<dyn Ledger>,
        zone: BusinessZone,
        active_window: Millis,
        feed: FeedSender,
        now: Millis,
        retry: &config::RetryConfig,
    ) -> Result<InProcess, SinkError> {
        let sum = ledger.sum(ledger_since(&zone, now), now - active_window).await;
        let error = match sum {
            Ok(sum) => return Ok(InProcess::continue_from(sum, zone, feed, now).await),
            Err(error) if error.kind == SinkErrorKind::Unavailable => error,
            Err(error) => return Err(error),
        };
        let reason = format!("can't read the ledger that the counters start from: {error}");
        tracing::warn!(reason, "the live numbers start once the ledger can be read");
        // The error is ignored here and below: the receiver is gone only while the process stops.
        let _ = feed.send(Feed::Interrupted { reason }).await;
        let counted = Arc::new(OnceLock::new());
        let mut backoff = Backoff::new(retry);
        // The same in the background. Until it succeeds, `counted` is empty and each batch gets an
        // error, so that its writer tries again.
        let wait = {
            let (counted, feed) = (counted.clone(), feed.clone());
            async move {
                loop {
                    tokio::time::sleep(backoff.pause()).await;
                    let now = now_ms();
                    let since = ledger_since(&zone, now);
                    if let Ok(sum) = ledger.sum(since, now - active_window).await {
                        let _ = counted.set(InProcessCounters::from(sum, zone, &feed, now).await);
                        return;
                    }
                }
            }
        };
        Ok(InProcess { counted, feed, waiting: Some(tokio::spawn(wait)) })
    }

    /// The store as it goes on from what the ledger says.
    async fn continue_from(
        sum: LedgerSum,
        zone: BusinessZone,
        feed: FeedSender,
        now: Millis,
    ) -> InProcess {
        let counted = InProcessCounters::from(sum, zone, &feed, now).await;
        InProcess { counted: Arc::new(OnceLock::from(counted)), feed, waiting: None }
    }

    /// What is counted; an error while the ledger has not been read.
    fn counted(&self) -> Result<&InProcessCounters, SinkError> {
        self.counted.get().ok_or_else(|| SinkError {
            kind: SinkErrorKind::Rebuilding,
            message: "the counters start from the ledger, which can't be read yet".to_owned(),
        })
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.waiting.iter().for_each(JoinHandle::abort);
    }
}

impl InProcessCounters {
    /// What the ledger says. The feed gets the counters as its [`Feed::Reset`].
    async fn from(
        sum: LedgerSum,
        zone: BusinessZone,
        feed: &FeedSender,
        now: Millis,
    ) -> InProcessCounters {
        let mut counters = Counters::new(zone.clone());
        let mut noted = NotedVisitors::default();
        for (number, lane) in (0..).zip(&sum.lanes) {
            counters.apply(number, &lane.delta, now);
            noted.touch(&zone, &lane.delta);
        }
        let _ = feed.send(Feed::Reset(Box::new(counters))).await;
        InProcessCounters {
            lanes: sum.lanes.map(|lane| tokio::sync::Mutex::new(lane.last)),
            noted: Mutex::new(noted),
            zone,
        }
    }
}

#[async_trait]
impl Lease for InProcess {
    /// No other process has these counters, so whoever asks leads.
    async fn lead(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn resign(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl LiveStore for InProcess {
    fn name(&self) -> &'static str {
        "in-process"
    }

    async fn apply(
        &self,
        id: BatchId,
        after: Option<BatchId>,
        sealed_at: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError> {
        let mut guard = self.counted()?.lanes[id.lane() as usize].lock().await;
        let verdict = judge(|run| guard.get(&run).copied().unwrap_or(0), id, after);
        if verdict == Applied::Counted {
            // First a place in the feed is reserved, which may wait. Guard and delta then follow
            // without an await between them, so that a caller that gives up while it waits has
            // changed nothing.
            let place = self.feed.reserve().await.map_err(|_| SinkError {
                kind: SinkErrorKind::Unavailable,
                message: "the broadcaster has stopped and takes no deltas".to_owned(),
            })?;
            guard.insert(id.run, id.seq);
            place.send(Feed::Delta { delta: delta.clone(), lane: id.lane(), sealed_at });
        }
        Ok(verdict)
    }

    async fn touch(&self, delta: &Delta) -> Result<(), SinkError> {
        let counted = self.counted()?;
        counted.noted.lock().touch(&counted.zone, delta);
        Ok(())
    }

    async fn population(&self, since: Millis, day: Date) -> Result<Population, SinkError> {
        let mut noted = self.counted()?.noted.lock();
        Ok(Population {
            active: noted.sessions.active(since),
            distinct: noted.distinct.counts(day),
        })
    }

    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError> {
        let lane = self.counted()?.lanes[lane as usize].lock().await;
        Ok(lane.get(&run).copied().unwrap_or(0))
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.counted().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::domain::delta::{DeltaSum, Visitor};

    const NOW: Millis = 1_795_420_800_000;

    fn delta(kind: &str, visitor: Visitor) -> Arc<Delta> {
        let mut sum = DeltaSum::default();
        sum.count(kind, NOW);
        sum.seen(visitor, NOW);
        Arc::new(sum.finish())
    }

    fn batch(seq: u64) -> BatchId {
        BatchId { run: NodeId::nil(), seq }
    }

    /// What batch `seq` follows on.
    fn after(seq: u64) -> Option<BatchId> {
        seq.checked_sub(LANES).filter(|&seq| seq > 0).map(batch)
    }

    #[tokio::test]
    async fn continues_where_the_ledger_stands() {
        let mut sum = LedgerSum::default();
        sum.lanes[1].delta = (*delta("page_view", 7)).clone();
        sum.lanes[1].last.insert(NodeId::nil(), 5);
        let (feed, mut fed) = mpsc::channel(8);
        let zone = BusinessZone::named("UTC").unwrap();
        let live = InProcess::continue_from(sum, zone, feed, NOW).await;

        let Some(Feed::Reset(counters)) = fed.recv().await else {
            panic!("the feed starts with a reset");
        };
        assert_eq!(counters.day(counters.zone().day_of(NOW).date).unwrap().count("page_view"), 1);
        let day = BusinessZone::named("UTC").unwrap().day_of(NOW).date;
        assert_eq!(live.population(NOW, day).await.unwrap().active, 1);

        let error = delta("error", 8);
        let apply = async |seq| live.apply(batch(seq), after(seq), NOW, &error).await.unwrap();
        assert_eq!(apply(5).await, Applied::AlreadyCounted);
        assert_eq!(apply(13).await, Applied::Gap { last: 5 });
        assert_eq!(apply(9).await, Applied::Counted);
        assert_eq!(apply(9).await, Applied::AlreadyCounted);
        assert_eq!(apply(8).await, Applied::Gap { last: 0 });
        assert_eq!(apply(4).await, Applied::Counted);
        assert_eq!(fed.len(), 2);
    }

    #[tokio::test]
    async fn giving_up_on_a_full_feed_changes_nothing() {
        let (feed, mut fed) = mpsc::channel(1);
        let zone = BusinessZone::named("UTC").unwrap();
        let live = InProcess::continue_from(LedgerSum::default(), zone, feed, NOW).await;
        let error = delta("error", 8);
        {
            // The feed has room for one message, and the reset is still in it. One poll shows that
            // apply waits for room.
            let mut waiting = std::pin::pin!(live.apply(batch(1), None, NOW, &error));
            assert!(futures_util::poll!(&mut waiting).is_pending());
        }
        fed.recv().await;
        let again = live.apply(batch(1), None, NOW, &error).await.unwrap();
        assert_eq!(again, Applied::Counted);
        assert!(matches!(fed.recv().await, Some(Feed::Delta { .. })));
    }
}
