//! The live side keeps the counters of the last seconds, minutes and days, and knows who is active.
//! It is in this process ([`in_process`]) or in Redis ([`redis`]), behind one interface,
//! [`LiveStore`].
//!
//! ```text
//!  lane writer ──apply──> LiveStore ──Feed──> mirror of every node ──> HTTP, snapshots, frames
//! ```
//!
//! Either way, every node keeps a copy of the counters in memory. This copy is the mirror in
//! `numbers/`, which holds [`counters::Counters`]; it starts from a [`Feed::Reset`] and follows
//! [`Feed::Delta`]s. All reads come from the mirror, so there is one definition of each number, and
//! no read ever waits for Redis.

pub mod counters;
mod distinct;
pub mod in_process;
mod links;
mod messages;
pub mod redis;
pub mod sessions;
mod sliding;
pub mod tails;
pub mod target;
mod visitors;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;

use crate::{
    config::Config,
    domain::{
        batch::{BatchId, LANES, RunId},
        delta::Delta,
        time::{BusinessZone, MINUTE, Millis, SECOND, bucket},
    },
    sink::{Heads, Installation, Lease, Looked, SinkError},
    store::{Ledger, LedgerHeads, LedgerSpan, Stores},
};

pub use distinct::EXACT;
pub use messages::{Counted, CounterMailbox, NotesVisitors, Population, Touch};

/// What became of a batch's delta that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Counted now.
    Counted,
    /// Counted before: this was a replay, and nothing changed.
    AlreadyCounted,
    /// The live side lacks earlier batches of this lane: it lost them in a failover, or was rebuilt
    /// from a ledger that has not got them yet. Nothing changed. The caller has to bring these
    /// batches first.
    Gap {
        /// The last batch of this run and lane that the live side has; 0 for none.
        last: u64,
    },
}

/// What the broadcaster is told, in order.
#[derive(Clone, Debug)]
pub enum Feed {
    /// The counters are exactly these: start over from them.
    Reset(Box<counters::Counters>),
    /// Add this batch.
    Delta {
        /// Its increments. The batch may be of any node.
        delta: Arc<Delta>,
        /// Its lane.
        lane: u64,
        /// When it was sealed, Unix ms.
        sealed_at: Millis,
    },
    /// The feed is interrupted: numbers are stale from now on, until the next `Reset` or
    /// `Restored`.
    Interrupted {
        /// Why, in words, for logs and `/readyz`.
        reason: String,
    },
    /// The feed goes on where it stood, and nothing was missed.
    Restored,
}

/// Where a live store sends its [`Feed`]. It is bounded, and a full feed makes `apply` wait.
pub type FeedSender = tokio::sync::mpsc::Sender<Feed>;

/// The live counters and active-session sets.
#[async_trait]
pub trait LiveStore: Lease + Send + Sync + 'static {
    /// `"redis"` or `"in-process"`.
    fn name(&self) -> &'static str;

    /// Adds the delta of batch `id`, which follows on `after`, exactly once, in one atomic step with
    /// the guard of its (run, lane), and sees to it that the feed of every node gets it.
    async fn apply(
        &self,
        id: BatchId,
        after: Option<BatchId>,
        sealed_at: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError>;

    /// Notes the visitors of a delta, with the time they were last seen, and its distinct values.
    /// To note them twice changes nothing, and the order does not matter.
    async fn touch(&self, delta: &Delta) -> Result<(), SinkError>;

    /// Counts the visitors that were seen at `since` (Unix ms, a full second) or later, and the
    /// distinct values of the business day `day`, over all nodes. Forgets older visitors.
    async fn population(&self, since: Millis, day: Date) -> Result<Population, SinkError>;

    /// The last batch of `run` that a lane has counted; 0 for none.
    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError>;

    /// The head of every lane, by lane. A writer that has nothing to send asks now and then: a live
    /// side that has lost its last batches says so only when it is asked, and the writer then
    /// replays what follows.
    async fn heads(&self, run: RunId) -> Result<Heads, SinkError> {
        let mut heads = [0; LANES as usize];
        for (lane, head) in (0..).zip(&mut heads) {
            *head = self.head(run, lane).await?;
        }
        Ok(heads)
    }

    /// Puts what the ledger says in the place of all counters, for all nodes. Without a server that
    /// nodes share there is nothing to do, since nobody else counts in this process.
    async fn rebuild(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Whether it answers and would take a write.
    async fn check(&self) -> Result<(), SinkError>;

    /// Makes sure that the counters are those of this node's installation, and were made by its
    /// settings. What is in this process is so always.
    ///
    /// # Errors
    /// [`crate::sink::SinkErrorKind::Foreign`] or `Settings`, or the live side can't be reached.
    async fn claim(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why the live side can't be opened. An unreachable Redis is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key of `[redis]` or `[memory]` makes no sense.
    #[error("{0}")]
    Config(String),
    /// The ledger that the in-process counters start from can't be read.
    #[error("read the ledger for the live counters: {0}")]
    Ledger(#[from] SinkError),
}

/// Opens the live side that `redis.urls` asks for. Without a URL it is in this process; with one it
/// is Redis (or the Redis Cluster that this server is part of); with several it is a Redis Cluster.
///
/// In this process, the ledger is summed up as of `now` (Unix ms) before the function returns,
/// unless the ledger's server is away. Redis is connected to in the background.
pub async fn open(
    config: &Config,
    stores: &Stores,
    zone: BusinessZone,
    feed: FeedSender,
    now: Millis,
) -> Result<Arc<dyn LiveStore>, OpenError> {
    if config.redis.urls.is_empty() {
        let window = config.live.active_window_s as Millis * SECOND;
        let shares = config.memory_shares().map_err(OpenError::Config)?;
        let start = in_process::RecountedLedger::nothing(zone, &shares, window);
        let retry = &config.retry;
        let ledger = stores.ledger.clone();
        let live = in_process::InProcess::start(ledger, start, feed, now, retry).await?;
        return Ok(Arc::new(live));
    }
    let live = redis::Redis::start(config, stores, zone, feed).map_err(OpenError::Config)?;
    Ok(Arc::new(live))
}

/// Puts what the ledger says in the place of all live counters in Redis, for `floodmark rebuild`.
/// Batches that the ledger lacks are replayed by the nodes that have them. Without Redis there is
/// nothing to do.
pub async fn rebuild(
    config: &Config,
    stores: &Stores,
    zone: BusinessZone,
) -> Result<(), SinkError> {
    if config.redis.urls.is_empty() {
        return Ok(());
    }
    redis::rebuild(config, stores, zone).await
}

/// The version of Redis, and what should be changed in its settings or could not be looked at; nothing
/// where there is no Redis.
///
/// # Errors
/// A server of Redis can't be reached, is too old, or does not let us subscribe.
pub async fn redis_look(
    config: &Config,
    installation: Arc<Installation>,
) -> Result<Looked, SinkError> {
    if config.redis.urls.is_empty() {
        return Ok(Looked::default());
    }
    redis::settings::doubts(config, installation).await
}

/// The strict guard of a lane: what becomes of batch `id`, which follows on `after`. `last` gives the
/// last batch of a run that the lane has counted (0: none yet). Only the very next batch is counted, so
/// that a lost batch is never skipped. `redis/scripts/apply.lua` judges in the same way, and the
/// statements of both stores do ([`crate::store`]).
///
/// The first batch of a run follows on one of an earlier run. That run may have gone on meanwhile, in
/// another copy of the data dir, so it is enough that the lane has got as far.
pub(crate) fn judge(last: impl Fn(RunId) -> u64, id: BatchId, after: Option<BatchId>) -> Applied {
    let own = last(id.run);
    let may_follow = match after {
        None => own == 0,
        Some(after) if after.run == id.run => own == after.seq,
        Some(after) => own == 0 && last(after.run) >= after.seq,
    };
    if id.seq <= own {
        Applied::AlreadyCounted
    } else if may_follow {
        Applied::Counted
    } else {
        Applied::Gap { last: own }
    }
}

/// Takes up what the ledger says.
#[async_trait]
trait TakesLedger: Send {
    /// Takes up what some rows of a lane add.
    async fn take(&mut self, lane: u64, delta: &Delta) -> Result<(), SinkError>;
}

/// Reads the ledger, and has `taker` take up each part of it as it comes. Gives the last batches. The
/// ledger is read no faster than its parts are taken up.
async fn read_ledger(
    ledger: &dyn Ledger,
    asked: LedgerSpan,
    taker: &mut dyn TakesLedger,
) -> Result<LedgerHeads, SinkError> {
    let (parts, mut read) = tokio::sync::mpsc::channel(1);
    let taken = async move {
        while let Some((lane, delta)) = read.recv().await {
            taker.take(lane, &delta).await?;
        }
        Ok(())
    };
    let (heads, taken) = tokio::join!(ledger.read(asked, parts), taken);
    // If it could not be taken up, then the ledger could not be read for that reason.
    taken.and(heads)
}

/// How far back the ledger is summed up, so that everything that a mirror shows is complete: the
/// business day of `now`, and 24 hours of minutes. It is a full minute, since that is how finely the
/// rollups know what dropped ledger rows have counted.
fn ledger_since(zone: &BusinessZone, now: Millis) -> Millis {
    bucket(zone.day_of(now).start.min(now - counters::MINUTES_KEPT), MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_batch_of_a_lane_is_counted() {
        let run = RunId::from_u128;
        let id = |of, seq| BatchId { run: run(of), seq };
        // The lane has run 1 up to batch 41, and run 2 up to batch 49.
        let last = |asked| match asked {
            asked if asked == run(1) => 41,
            asked if asked == run(2) => 49,
            _ => 0,
        };
        for (batch, after, expected) in [
            (id(2, 53), Some(id(2, 49)), Applied::Counted),
            (id(2, 49), Some(id(2, 45)), Applied::AlreadyCounted),
            (id(2, 45), Some(id(1, 41)), Applied::AlreadyCounted),
            (id(2, 57), Some(id(2, 53)), Applied::Gap { last: 49 }),
            (id(2, 53), None, Applied::Gap { last: 49 }),
            (id(1, 45), Some(id(1, 41)), Applied::Counted),
            (id(3, 45), Some(id(1, 41)), Applied::Counted),
            (id(3, 41), Some(id(1, 37)), Applied::Counted),
            (id(3, 49), Some(id(1, 45)), Applied::Gap { last: 0 }),
            (id(3, 53), Some(id(3, 49)), Applied::Gap { last: 0 }),
            (id(3, 1), None, Applied::Counted),
        ] {
            assert_eq!(judge(last, batch, after), expected, "{batch:?} after {after:?}");
        }
    }
}
