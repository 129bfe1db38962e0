//! The live side: counters of the running second, minute and day, and who is active.
//! In-process ([`in_process`]) or Redis ([`redis`]), behind one interface.
//!
//! Whichever it is, every node keeps a copy of the counters in memory (the mirror, in
//! `numbers/`, which holds [`counters::Counters`]): it starts from a [`Feed::Reset`] and
//! follows [`Feed::Delta`]s. All reads (HTTP, snapshots, frames) come from the mirror, so there is
//! one definition of each number and no read ever waits for Redis.

pub mod counters;
mod distinct;
pub mod in_process;
mod messages;
pub mod redis;
pub mod sessions;
pub mod target;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;

use crate::{
    config::Config,
    domain::{
        batch::{BatchId, LANES, NodeId},
        delta::Delta,
        time::{BusinessZone, Millis, SECOND},
    },
    sink::{Lease, SinkError},
    store::Ledger,
};

pub use messages::{Counted, Population, Touch};

/// What became of a batch's delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Counted now.
    Counted,
    /// Counted before: a replay, nothing changed.
    AlreadyCounted,
    /// The live side lacks earlier batches of this lane (it lost them in a failover, or
    /// was rebuilt from a ledger that has not got them yet): nothing changed; continue
    /// with the batch after `last`.
    Gap {
        /// The last batch of this node and lane that it has; 0 for none.
        last: u64,
    },
}

/// What the broadcaster is told, in order.
#[derive(Clone, Debug)]
pub enum Feed {
    /// The counters are exactly these: start over from them.
    Reset(Box<counters::Counters>),
    /// Add this.
    Delta {
        /// Increments (of any node).
        delta: Arc<Delta>,
        /// The lane of the batch.
        lane: u64,
        /// When the batch was sealed, Unix ms.
        sealed_at: Millis,
    },
    /// The feed is interrupted: numbers are stale from now on, until the next `Reset` or
    /// `Restored`.
    Interrupted {
        /// In words, for logs and `/readyz`.
        reason: String,
    },
    /// The feed goes on where it stood; nothing was missed.
    Restored,
}

/// Where a live store sends its [`Feed`]. Bounded: a full feed makes `apply` wait.
pub type FeedSender = tokio::sync::mpsc::Sender<Feed>;

/// The live counters and active-session sets.
#[async_trait]
pub trait LiveStore: Lease + Send + Sync + 'static {
    /// `"redis"` or `"in-process"`.
    fn name(&self) -> &'static str;

    /// Adds the delta of batch `id` exactly once, in one atomic step with the guard of its
    /// (node, lane), and sees to it that the feed of every node gets it.
    async fn apply(
        &self,
        id: BatchId,
        sealed_at: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError>;

    /// Notes visitors with the time they were last seen, and what distinct metrics saw.
    /// Idempotent, order does not matter.
    async fn touch(&self, delta: &Delta) -> Result<(), SinkError>;

    /// Who was seen at `since` (Unix ms, a full second) or later, and what distinct metrics
    /// saw on the business day `day`, over all nodes. Forgets older visitors.
    async fn population(&self, since: Millis, day: Date) -> Result<Population, SinkError>;

    /// The last batch of `node` that a lane has counted, 0 for none. A writer that has nothing
    /// to send asks now and then: a live side that lost its last batches says so only when it
    /// is asked, and the writer then replays what follows.
    async fn head(&self, node: NodeId, lane: u64) -> Result<u64, SinkError>;

    /// The same of every lane.
    async fn heads(&self, node: NodeId) -> Result<[u64; LANES as usize], SinkError> {
        let mut heads = [0; LANES as usize];
        for (lane, head) in (0..).zip(&mut heads) {
            *head = self.head(node, lane).await?;
        }
        Ok(heads)
    }

    /// Whether it answers and would take a write.
    async fn check(&self) -> Result<(), SinkError>;
}

/// Why the live side can't be opened. An unreachable Redis is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key of `[redis]` makes no sense.
    #[error("{0}")]
    Config(String),
    /// The ledger that the in-process counters start from can't be read.
    #[error("read the ledger for the live counters: {0}")]
    Ledger(#[from] SinkError),
}

/// Opens the live side that `redis.urls` asks for: none, in-process; one, Redis (or the
/// Redis Cluster it is part of); several, a Redis Cluster. In-process sums the ledger as
/// of `now` (Unix ms) first, unless its server is away; Redis is connected to in the
/// background.
pub async fn open(
    config: &Config,
    ledger: Arc<dyn Ledger>,
    zone: BusinessZone,
    feed: FeedSender,
    now: Millis,
) -> Result<Arc<dyn LiveStore>, OpenError> {
    if config.redis.urls.is_empty() {
        let window = config.live.active_window_s as Millis * SECOND;
        let retry = &config.retry;
        let live = in_process::InProcess::start(ledger, zone, window, feed, now, retry).await?;
        return Ok(Arc::new(live));
    }
    let live = redis::Redis::start(config, ledger, zone, feed).map_err(OpenError::Config)?;
    Ok(Arc::new(live))
}

/// Puts all live counters in Redis back to what the ledger says, in place of whatever is
/// there; `floodmark rebuild`. What the ledger lacks is replayed by the nodes that have
/// it. Without Redis there is nothing to do.
pub async fn rebuild(
    config: &Config,
    ledger: Arc<dyn Ledger>,
    zone: BusinessZone,
) -> Result<(), SinkError> {
    if config.redis.urls.is_empty() {
        return Ok(());
    }
    redis::rebuild(config, ledger, zone).await
}

/// What the guard of a (node, lane) that stands at `last` (0: nothing yet) says to batch
/// `seq` of that lane. The script in `redis/scripts` says the same.
fn judge(last: u64, seq: u64) -> Applied {
    if seq <= last {
        Applied::AlreadyCounted
    } else if last == seq.saturating_sub(LANES) {
        Applied::Counted
    } else {
        Applied::Gap { last }
    }
}

/// How far back the ledger is summed so that all that a mirror shows is whole: the
/// business day of `now`, and 24 hours of minutes.
fn ledger_since(zone: &BusinessZone, now: Millis) -> Millis {
    zone.day_of(now).start.min(now - counters::MINUTES_KEPT)
}
