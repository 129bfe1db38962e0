//! The feed of this node's mirror.
//!
//! ```text
//!   subscribe         load                      follow
//!   SSUBSCRIBE ─────> counters, generation, ──> each message of this generation:
//!     ^               version                     the next version    ─> Feed::Delta
//!     │               ─> Feed::Reset              an older version    ─> passed over
//!     │                                           anything else       ─> lost
//!     │                                         each second a probe:
//!     │                                           not where we stand  ─> lost
//!     └── Feed::Interrupted, if it takes long <───────────────────────────┘
//! ```
//!
//! A subscription is one connection to each server that owns a lane. It first subscribes to the
//! channels of all lanes. Then the counters are read on other connections ([`load`] says how they
//! come out exact), and the messages with a higher version than the one that was reached are
//! exactly those that the counters lack. From there on each message must have the next version. Any
//! other message, a new generation, a lost connection or a probe that disagrees ends the
//! subscription, and a new one starts with a [`Feed::Reset`] from the counters.
//!
//! The probe reads generation and version on the same connections. It notices a connection that is
//! only half open, and messages that got lost on the way.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use redis::{PushInfo, aio::MultiplexedConnection};

use super::{
    RedisShared,
    error::{live_error, rebuilding, unavailable},
    heads::Heads,
    load::{self, Loaded},
    push::{Heard, Position, PushReceiver, ToldBatch, heard, push_queue},
};
use crate::{
    domain::batch::LANES,
    live::{Feed, FeedSender, counters::Counters},
    retry::Backoff,
    sink::{SinkError, SinkErrorKind},
};

/// How often the subscription is probed.
const PROBE_INTERVAL: Duration = Duration::from_millis(1000);
/// How long a lost subscription may take to come back before the feed counts as interrupted: a
/// short hiccup must not be told to every viewer.
const PATIENCE: Duration = Duration::from_millis(300);
/// A subscription that ended sooner than this is followed by a pause, so that one that fails at
/// once is not tried in a tight loop.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// How long the counters may lack batches that they had before, until the mirror shows them as they
/// are. The nodes that have the batches count them again within seconds. A node that has died may
/// stay away, and batches that the store has lost for good are counted by nobody.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(15);

/// A running subscription.
struct Subscription {
    /// The connection to the owner of each lane, by lane.
    lines: Vec<MultiplexedConnection>,
    /// The channel of each lane, by lane.
    channels: Vec<String>,
    /// How far the mirror has come, by lane.
    positions: Vec<Position>,
    /// What the servers publish.
    pushes: PushReceiver,
    /// What the counters are known to have that were read, and what was counted since.
    heads: Heads,
}

/// Why a subscription ended.
enum FollowEnd {
    /// The mirror may lack something, for this reason: a new subscription has to start.
    Lost(String),
    /// The broadcaster has stopped.
    NobodyListens,
}

/// Feeds the mirror for as long as the broadcaster listens.
pub(super) async fn run(shared: Arc<RedisShared>, feed: FeedSender) {
    let mut backoff = Backoff::new(&shared.retry);
    let mut reason = String::new();
    let mut interrupted = false;
    // What Redis has counted, as far as it was seen, and since when it has had less than that.
    let mut reached = Heads::default();
    let mut fewer_since = None;
    loop {
        let started = {
            let mut start = pin!(Subscription::start(&shared, &reached, &mut fewer_since));
            match tokio::time::timeout(PATIENCE, &mut start).await {
                Ok(started) => started,
                // The broadcaster knows already that there is no feed.
                Err(_) if interrupted => start.await,
                Err(_) => {
                    if reason.is_empty() {
                        reason = "the counters are not read from Redis yet".to_owned();
                    }
                    if interrupt(&feed, &reason).await.is_err() {
                        return;
                    }
                    interrupted = true;
                    start.await
                }
            }
        };
        match started {
            Ok((mut subscription, counters)) => {
                if feed.send(Feed::Reset(Box::new(counters))).await.is_err() {
                    return;
                }
                if interrupted {
                    tracing::info!("the feed from Redis is back");
                }
                interrupted = false;
                let since = tokio::time::Instant::now();
                match subscription.follow(&shared, &feed).await {
                    FollowEnd::NobodyListens => return,
                    FollowEnd::Lost(why) => reason = why,
                }
                reached = subscription.heads;
                tracing::debug!(reason, "starting over from Redis' counters");
                if since.elapsed() < SHORT_LIVED {
                    tokio::time::sleep(backoff.pause()).await;
                } else {
                    backoff.reset();
                }
            }
            Err(error) => {
                if !interrupted {
                    reason = error.to_string();
                    if interrupt(&feed, &reason).await.is_err() {
                        return;
                    }
                    interrupted = true;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.pause()) => {}
                    () = feed.closed() => return,
                }
            }
        }
    }
}

/// Tells the broadcaster that its numbers are stale from now on. An error means that it has
/// stopped.
async fn interrupt(feed: &FeedSender, reason: &str) -> Result<(), ()> {
    tracing::warn!(reason, "the feed from Redis is interrupted");
    let reason = reason.to_owned();
    feed.send(Feed::Interrupted { reason }).await.map_err(drop)
}

impl Subscription {
    /// Subscribes, and reads the counters that the messages continue.
    ///
    /// Counters that were just rebuilt from the ledger, or come from an older file, lack the batches
    /// that the nodes have yet to count again. Until these have, the mirror keeps what it shows, and
    /// says that it stands still: a total that goes down would look like a fact.
    async fn start(
        shared: &RedisShared,
        reached: &Heads,
        fewer_since: &mut Option<tokio::time::Instant>,
    ) -> Result<(Subscription, Counters), SinkError> {
        let (sender, mut pushes) = push_queue();
        let channels: Vec<String> = shared.keys.lanes().map(|lane| lane.channel()).collect();
        let mut lines = shared.servers.owners(&channels, Some(&sender)).await?;
        // Subscribed first: what is published while the counters are read must not be missed.
        for (channel, line) in channels.iter().zip(&mut lines) {
            let subscribed = redis::cmd("SSUBSCRIBE").arg(channel).exec_async(line).await;
            subscribed.map_err(|e| live_error("subscribe to the deltas", &e))?;
        }
        let (stands, heads) = look(lines.clone(), shared).await?;
        stands.iter().try_for_each(|stand| shared.of_owner(stand.owner.as_deref()))?;
        // A lane has no counters, so Redis is new or was emptied.
        if stands.iter().any(|stand| stand.generation.is_empty()) {
            shared.rebuild_wanted.notify_one();
            return Err(rebuilding());
        }
        let lacking = heads.lacking(reached);
        if lacking == 0 {
            *fewer_since = None;
        } else if fewer_since.get_or_insert_with(tokio::time::Instant::now).elapsed()
            < CAUGHT_UP_WITHIN
        {
            let again = "Redis lacks batches that it had counted: the nodes count them again";
            return Err(SinkError { kind: SinkErrorKind::Rebuilding, message: again.to_owned() });
        } else {
            tracing::warn!(
                lacking,
                "batches that Redis had counted are not counted again: the nodes that have them are away"
            );
        }
        let loaded = load::load(shared, &channels, &lines, &mut pushes, heads).await?;
        let Loaded { counters, positions, heads } = loaded;
        Ok((Subscription { lines, channels, positions, pushes, heads }, counters))
    }

    /// Passes messages on until the subscription ends, and probes it meanwhile.
    async fn follow(&mut self, shared: &RedisShared, feed: &FeedSender) -> FollowEnd {
        loop {
            let before = self.positions.clone();
            let probe = probe(self.lines.clone(), shared);
            let mut probe = pin!(probe);
            let found = loop {
                tokio::select! {
                    // Messages that were published before the probe was answered come first, or
                    // the probe would be ahead of the mirror.
                    biased;
                    push = self.pushes.recv() => {
                        if let Err(end) = self.take(push, feed).await {
                            return end;
                        }
                    }
                    found = &mut probe => break found,
                    () = feed.closed() => return FollowEnd::NobodyListens,
                }
            };
            let (found, heads) = match found {
                Ok(found) => found,
                Err(error) => return FollowEnd::Lost(error.to_string()),
            };
            // Some of them may have arrived at the same time as the probe's answer.
            while let Some(push) = self.pushes.try_recv() {
                if let Err(end) = self.take(Some(push), feed).await {
                    return end;
                }
            }
            for (lane, found) in found.into_iter().enumerate() {
                let (before, now) = (&before[lane], &self.positions[lane]);
                // The probe was answered at some moment since `before`, so its version must lie
                // between the one from which this round began and the one reached now.
                let is_ours = found.generation == now.generation;
                if !is_ours || !(before.version..=now.version).contains(&found.version) {
                    return FollowEnd::Lost(format!(
                        "lane {lane} is at version {} of generation {}, the mirror at version {} of {}",
                        found.version, found.generation, now.version, now.generation
                    ));
                }
            }
            self.heads.note_all(heads);
        }
    }

    /// Checks one message and passes it on.
    async fn take(&mut self, push: Option<PushInfo>, feed: &FeedSender) -> Result<(), FollowEnd> {
        let lost = |why: &str| Err(FollowEnd::Lost(why.to_owned()));
        let (lane, message) = match heard(push.as_ref(), &self.channels) {
            Ok(Heard::Message(lane, message)) => (lane, message),
            Ok(Heard::Nothing) => return Ok(()),
            Err(why) => return lost(why),
        };
        let position = &mut self.positions[lane];
        if message.generation != position.generation {
            return lost("the counters were rebuilt");
        }
        let ToldBatch { delta, sealed_at, id } = match message.told() {
            Ok(told) => told,
            Err(why) => return Err(FollowEnd::Lost(why)),
        };
        self.heads.note(id);
        if message.version <= position.version {
            // It was published before the counters were read, so they contain it.
            return Ok(());
        }
        if message.version != position.version + 1 {
            return lost("a message was lost");
        }
        position.version = message.version;
        let delta = Arc::new(delta);
        let sent = feed.send(Feed::Delta { delta, lane: lane as u64, sealed_at }).await;
        sent.map_err(|_| FollowEnd::NobodyListens)
    }
}

/// Waits for the interval, then asks every lane where it stands.
async fn probe(
    lines: Vec<MultiplexedConnection>,
    shared: &RedisShared,
) -> Result<(Vec<Position>, Heads), SinkError> {
    tokio::time::sleep(PROBE_INTERVAL).await;
    look(lines, shared).await
}

/// Asks every lane where it stands, and what it has of each node.
async fn look(
    lines: Vec<MultiplexedConnection>,
    shared: &RedisShared,
) -> Result<(Vec<Position>, Heads), SinkError> {
    let asked = try_join_all((0..LANES).zip(lines).map(|(lane, mut line)| async move {
        let keys = shared.keys.lane(lane);
        let mut ask = redis::cmd("HMGET");
        ask.arg(keys.meta()).arg("generation").arg("version").arg("installation");
        let (generation, version, owner): (Option<String>, Option<u64>, Option<String>) =
            ask.query_async(&mut line).await?;
        let mut ask = redis::cmd("HGETALL");
        ask.arg(keys.guards());
        let last: BTreeMap<String, u64> = ask.query_async(&mut line).await?;
        let (generation, version) = (generation.unwrap_or_default(), version.unwrap_or(0));
        let position = Position { generation, version, owner };
        Ok((position, last))
    }));
    let answer = match tokio::time::timeout(shared.servers.probe_timeout(), asked).await {
        Ok(answer) => answer.map_err(|e| live_error("probe the subscription", &e))?,
        Err(_) => return Err(unavailable("probe the subscription: Redis does not answer")),
    };
    let (mut positions, mut heads) = (Vec::new(), Heads::default());
    for (lane, (position, last)) in answer.into_iter().enumerate() {
        positions.push(position);
        heads.note_lane(lane, last);
    }
    Ok((positions, heads))
}
