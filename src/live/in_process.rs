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
    Applied, Feed, FeedSender, LiveStore, Population, TakesLedger,
    counters::{CounterLimits, Counters},
    distinct::DistinctDays,
    judge, ledger_since, read_ledger,
    visitors::ActiveVisitors,
};
use crate::{
    config::{self, MemoryShares},
    domain::{
        batch::{BatchId, LANES, NodeId, RunId},
        delta::Delta,
        time::{BusinessZone, Millis, now_ms},
    },
    panics,
    retry::Backoff,
    sink::{Lease, SinkError, SinkErrorKind},
    store::{Ledger, LedgerHeads, LedgerSpan},
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
struct NotedVisitors {
    visitors: ActiveVisitors,
    distinct: DistinctDays,
}

impl NotedVisitors {
    fn touch(&mut self, zone: &BusinessZone, delta: &Delta) {
        // A user who comes without a session is looked up among these.
        delta.links().iter().for_each(|link| self.visitors.link(*link));
        for &(visitor, at) in delta.visitors() {
            match delta.is_user(visitor) {
                true => self.visitors.touch_user(visitor, at),
                false => self.visitors.touch(visitor, at),
            }
        }
        for (at, metric, hash) in delta.distinct() {
            self.distinct.note(zone.day_of(at).date, metric, hash);
        }
    }
}

/// What the ledger says, within the shares of memory. It is put together while the ledger is read.
pub(super) struct RecountedLedger {
    zone: BusinessZone,
    shares: MemoryShares,
    active_window: Millis,
    counters: Counters,
    noted: NotedVisitors,
    heads: LedgerHeads,
    /// The time of the read, Unix ms, which says what is too old.
    now: Millis,
}

impl RecountedLedger {
    /// Nothing read yet. Visitors are active for `active_window` ms.
    pub(super) fn nothing(
        zone: BusinessZone,
        shares: &MemoryShares,
        active_window: Millis,
    ) -> RecountedLedger {
        RecountedLedger {
            counters: Counters::within(zone.clone(), CounterLimits::of(shares)),
            noted: NotedVisitors {
                visitors: ActiveVisitors::within(shares.visitors, active_window),
                distinct: DistinctDays::default(),
            },
            heads: LedgerHeads::default(),
            now: now_ms(),
            zone,
            shares: *shares,
            active_window,
        }
    }

    /// Gives what was read, and begins anew.
    fn begin_anew(&mut self) -> RecountedLedger {
        let nothing = RecountedLedger::nothing(self.zone.clone(), &self.shares, self.active_window);
        std::mem::replace(self, nothing)
    }

    /// Reads the ledger as of `now` (Unix ms), from the beginning.
    async fn read(&mut self, ledger: &dyn Ledger, now: Millis) -> Result<(), SinkError> {
        self.begin_anew();
        // The window before the last one is read for the sessions of users. Of its visitors none is taken.
        self.noted.visitors.active(now - self.active_window);
        let asked = LedgerSpan {
            since: ledger_since(&self.zone, now),
            visitors_since: now - 2 * self.active_window,
            lane: None,
        };
        self.now = now;
        self.heads = read_ledger(ledger, asked, self).await?;
        Ok(())
    }

    /// Sends the counters to the feed as its [`Feed::Reset`], and goes on with the rest.
    async fn begin(self, feed: &FeedSender) -> InProcessCounters {
        // The error is ignored: the receiver is gone only while the process stops.
        let _ = feed.send(Feed::Reset(Box::new(self.counters))).await;
        InProcessCounters {
            lanes: self.heads.map(tokio::sync::Mutex::new),
            noted: Mutex::new(self.noted),
            zone: self.zone,
        }
    }
}

#[async_trait]
impl TakesLedger for RecountedLedger {
    async fn take(&mut self, lane: u64, delta: &Delta) -> Result<(), SinkError> {
        self.counters.apply(lane, delta, self.now);
        self.noted.touch(&self.zone, delta);
        Ok(())
    }
}

impl InProcess {
    /// Reads the ledger as of `now` (Unix ms) into `start`, sends the first [`Feed::Reset`] and
    /// counts on from there. Visitors seen within the active window are active from the start.
    /// A ledger that can't be reached is waited for in the background.
    pub(super) async fn start(
        ledger: Arc<dyn Ledger>,
        mut start: RecountedLedger,
        feed: FeedSender,
        now: Millis,
        retry: &config::RetryConfig,
    ) -> Result<InProcess, SinkError> {
        let error = match start.read(&*ledger, now).await {
            Ok(()) => return Ok(InProcess::continue_from(start, feed).await),
            Err(error) if error.kind == SinkErrorKind::Unavailable => error,
            Err(error) => return Err(error),
        };
        let reason = format!("can't read the ledger that the counters start from: {error}");
        tracing::warn!(reason, "the live numbers start once the ledger can be read");
        // The error is ignored: the receiver is gone only while the process stops.
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
                    let begin = async {
                        start.read(&*ledger, now_ms()).await?;
                        Ok::<_, SinkError>(start.begin_anew().begin(&feed).await)
                    };
                    if let Some(Ok(counters)) = panics::caught("live", begin).await {
                        let _ = counted.set(counters);
                        return;
                    }
                }
            }
        };
        Ok(InProcess { counted, feed, waiting: Some(tokio::spawn(wait)) })
    }

    /// The store as it goes on from what the ledger says.
    async fn continue_from(start: RecountedLedger, feed: FeedSender) -> InProcess {
        let counted = start.begin(&feed).await;
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
        let (active, approximate) = noted.visitors.active(since);
        Ok(Population { active, approximate, distinct: noted.distinct.counts(day) })
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

    fn nothing() -> RecountedLedger {
        let shares = config::Config::default().memory_shares().unwrap();
        RecountedLedger::nothing(BusinessZone::named("UTC").unwrap(), &shares, 300_000)
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
        let mut start = nothing();
        start.now = NOW;
        start.take(1, &delta("page_view", 7)).await.unwrap();
        start.heads[1].insert(NodeId::nil(), 5);
        let (feed, mut fed) = mpsc::channel(8);
        let live = InProcess::continue_from(start, feed).await;

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
        let live = InProcess::continue_from(nothing(), feed).await;
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
