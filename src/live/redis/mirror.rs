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
//! A subscription is one connection to each server that owns a lane. For each lane it first
//! subscribes to the lane's channel, and then runs one script that reads the lane's counters with
//! their generation and version. A server answers one connection in order, so the messages with a
//! higher version than the one read are exactly those that the counters lack. From there on each
//! message must have the next version. Any other message, a new generation, a lost connection or a
//! probe that disagrees ends the subscription, and a new one starts with a [`Feed::Reset`] from the
//! counters.
//!
//! The probe reads generation and version on the same connections. It notices a connection that is
//! only half open, and messages that got lost on the way.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::mpsc;

use super::{
    RedisShared,
    error::{live_error, rebuilding, unavailable},
    keys::Bucket,
    script,
};
use crate::{
    domain::{
        batch::LANES,
        delta::Delta,
        time::{Millis, now_ms},
    },
    live::{Feed, FeedSender, counters::Counters},
    retry::Backoff,
    sink::SinkError,
};

/// How many messages may wait for the broadcaster. Further ones are dropped; the next message then
/// has a version that is not the next, and the subscription starts over.
const MAX_WAITING: usize = 4096;
/// How often the subscription is probed.
const PROBE_INTERVAL: Duration = Duration::from_millis(1000);
/// How long a lost subscription may take to come back before the feed counts as interrupted: a
/// short hiccup must not be told to every viewer.
const PATIENCE: Duration = Duration::from_millis(300);
/// A subscription that ended sooner than this is followed by a pause, so that one that fails at
/// once is not tried in a tight loop.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// How far the counters of a lane have come.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    /// Which time it was that the counters were put in place.
    generation: String,
    /// How many batches they have counted since then.
    version: u64,
}

/// A running subscription.
struct Subscription {
    /// The connection to the owner of each lane, by lane.
    lines: Vec<MultiplexedConnection>,
    /// The channel of each lane, by lane.
    channels: Vec<String>,
    /// How far the mirror has come, by lane.
    positions: Vec<Position>,
    /// What the servers publish.
    pushes: mpsc::Receiver<PushInfo>,
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
    loop {
        let mut start = pin!(Subscription::start(&shared));
        let started = match tokio::time::timeout(PATIENCE, &mut start).await {
            Ok(started) => started,
            // The broadcaster knows already that there is no feed.
            Err(_) if interrupted => start.await,
            Err(_) => {
                if reason.is_empty() {
                    reason = "Redis does not answer yet".to_owned();
                }
                if interrupt(&feed, &reason).await.is_err() {
                    return;
                }
                interrupted = true;
                start.await
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
    async fn start(shared: &RedisShared) -> Result<(Subscription, Counters), SinkError> {
        let (sender, pushes) = mpsc::channel(MAX_WAITING);
        let lanes: Vec<_> = shared.keys.lanes().collect();
        let channels: Vec<String> = lanes.iter().map(|lane| lane.channel()).collect();
        let mut lines = shared.servers.owners(&channels, &sender).await?;

        let now = now_ms();
        let buckets = Bucket::kept_at(now, &shared.zone);
        let mut counters = Counters::new(shared.zone.clone());
        let mut positions = Vec::new();
        for (number, (lane, line)) in (0..).zip(lanes.iter().zip(&mut lines)) {
            // Subscribed first: what is published while the counters are read must not be missed.
            let subscribed = redis::cmd("SSUBSCRIBE").arg(lane.channel()).exec_async(line).await;
            subscribed.map_err(|e| live_error("subscribe to the deltas", &e))?;

            let mut keys = vec![lane.meta()];
            keys.extend(buckets.iter().map(|bucket| lane.bucket(*bucket)));
            let (generation, version, hashes): (String, u64, Vec<Vec<(String, String)>>) =
                script::LOAD
                    .call(line, &keys, &[])
                    .await
                    .map_err(|e| live_error("load the counters", &e))?;
            // The lane has no counters, so Redis is new or was emptied.
            if generation.is_empty() {
                shared.rebuild_wanted.notify_one();
                return Err(rebuilding());
            }
            for (bucket, fields) in buckets.iter().zip(&hashes) {
                bucket.add_to(&mut counters, number, fields);
            }
            positions.push(Position { generation, version });
        }
        counters.prune(now);
        let subscription = Subscription { lines, channels, positions, pushes };
        Ok((subscription, counters))
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
            let found = match found {
                Ok(found) => found,
                Err(error) => return FollowEnd::Lost(error.to_string()),
            };
            // Some of them may have arrived at the same time as the probe's answer.
            while let Ok(push) = self.pushes.try_recv() {
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
        }
    }

    /// Checks one message and passes it on.
    async fn take(&mut self, push: Option<PushInfo>, feed: &FeedSender) -> Result<(), FollowEnd> {
        let lost = |why: &str| Err(FollowEnd::Lost(why.to_owned()));
        let Some(PushInfo { kind, data }) = push else {
            return lost("the connection to Redis was lost");
        };
        match kind {
            PushKind::SMessage => {}
            PushKind::SSubscribe => return Ok(()),
            PushKind::SUnsubscribe => return lost("a lane moved to another server"),
            PushKind::Disconnection => return lost("the connection to Redis was lost"),
            _ => return Ok(()),
        }
        let [Value::BulkString(channel), Value::BulkString(payload)] = &data[..] else {
            return lost("Redis sent a message of another shape");
        };
        let lane = self.channels.iter().position(|known| known.as_bytes() == channel);
        let (Some(lane), Some(message)) = (lane, PushMessage::parse(payload)) else {
            return lost("somebody else publishes on our channels");
        };
        let position = &mut self.positions[lane];
        if message.generation != position.generation {
            return lost("the counters were rebuilt");
        }
        if message.version <= position.version {
            // It was published before the counters were read, so they contain it.
            return Ok(());
        }
        if message.version != position.version + 1 {
            return lost("a message was lost");
        }
        position.version = message.version;
        let (delta, sealed_at) = match message.delta() {
            Ok(read) => read,
            Err(why) => return Err(FollowEnd::Lost(why)),
        };
        let delta = Arc::new(delta);
        let sent = feed.send(Feed::Delta { delta, lane: lane as u64, sealed_at }).await;
        sent.map_err(|_| FollowEnd::NobodyListens)
    }
}

/// Waits for the interval, then asks every lane where it stands.
async fn probe(
    lines: Vec<MultiplexedConnection>,
    shared: &RedisShared,
) -> Result<Vec<Position>, SinkError> {
    tokio::time::sleep(PROBE_INTERVAL).await;
    let asked = try_join_all((0..LANES).zip(lines).map(|(lane, mut line)| async move {
        let mut ask = redis::cmd("HMGET");
        ask.arg(shared.keys.lane(lane).meta()).arg("generation").arg("version");
        let (generation, version): (Option<String>, Option<u64>) =
            ask.query_async(&mut line).await?;
        Ok(Position { generation: generation.unwrap_or_default(), version: version.unwrap_or(0) })
    }));
    match tokio::time::timeout(shared.servers.probe_timeout(), asked).await {
        Ok(answer) => answer.map_err(|e| live_error("probe the subscription", &e)),
        Err(_) => Err(unavailable("probe the subscription: Redis does not answer")),
    }
}

/// A delta as it is published: `GENERATION:VERSION:`, which the script puts before it, then
/// `sealed_at` (8 bytes, big-endian) and the encoded cells. It has no visitors, since those are
/// counted in Redis.
struct PushMessage<'a> {
    generation: &'a str,
    version: u64,
    body: &'a [u8],
}

/// The part of a message that comes from the writer and not from the script.
pub(super) fn message_body(sealed_at: Millis, delta: &Delta) -> Vec<u8> {
    let mut body = sealed_at.to_be_bytes().to_vec();
    body.extend(delta.encode_cells());
    body
}

impl<'a> PushMessage<'a> {
    /// Takes a message apart; `None` where it has another shape.
    fn parse(payload: &'a [u8]) -> Option<PushMessage<'a>> {
        let mut parts = payload.splitn(3, |byte| *byte == b':');
        let generation = std::str::from_utf8(parts.next()?).ok()?;
        let version = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        Some(PushMessage { generation, version, body: parts.next()? })
    }

    /// The delta, and when its batch was sealed (Unix ms).
    fn delta(&self) -> Result<(Delta, Millis), String> {
        let (sealed_at, cells) = self.body.split_first_chunk().ok_or("a message was cut short")?;
        let delta =
            Delta::decode(cells, None).map_err(|e| format!("a message can't be read: {e}"))?;
        Ok((delta, Millis::from_be_bytes(*sealed_at)))
    }
}
