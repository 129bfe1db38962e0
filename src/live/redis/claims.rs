//! Ids over all nodes (`dedupe.shared`): an id that was sent to one node and again to another
//! within the window is counted once.
//!
//! A node's own index knows what is on its disk, and nobody else does. So an id in Redis is
//! either *kept* (`1`: it is on some node's disk) or *claimed* by one request of one run of a
//! node (`NODE:RUN:REQUEST`), which says afterwards what became of it:
//!
//! ```text
//! claim ──> append + fsync ──> keep
//!                    └─ refused ─> release
//! ```
//!
//! An id that another request has claimed is undecided: the client is told to come back (503),
//! since neither "duplicate" nor "accepted" would be known to be true. A run that dies leaves
//! its claims behind. The next run of the node first tells Redis every id that it finds on
//! its disk, and only then registers; from that moment a claim of the run before is known to
//! be of an event that never reached the disk, and anyone may take it over. So a client's
//! retry after a crash is neither refused nor counted twice, to whichever node it goes.
//!
//! Redis that can't be reached decides nothing: requests with ids get 503, those without go
//! on. Redis that is emptied has forgotten what it knew; each node tells it again as soon as
//! it notices, and until all have, an id may count once on each of two nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::future::try_join_all;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    connection::Connection,
    keys::{ID_SHARDS, RedisKeys},
    script,
    servers::Servers,
};
use crate::{
    config::{self, Config},
    domain::{
        batch::NodeId,
        ids::KnownIds,
        time::{Millis, SECOND},
    },
    retry::Backoff,
    sink::SinkError,
    telemetry::health::Health,
};

/// Ids told to Redis at once while a node registers.
const PAGE: usize = 2000;

/// Ids of requests whose end Redis has not been told yet. Beyond it nothing more is claimed:
/// what waits for Redis is in memory.
const MAX_UNSETTLED_IDS: usize = 1 << 18;

/// The part of the health that is told whether Redis decides.
const DEDUPE: &str = "dedupe";

/// Claims of one node.
pub struct Claims {
    servers: Servers,
    keys: RedisKeys,
    node: NodeId,
    /// Names this run of the node.
    run: String,
    requests: AtomicU64,
    unsettled: Arc<Semaphore>,
    window: Millis,
    retry: config::RetryConfig,
    health: Health,
    /// Somebody found this run unregistered.
    unregistered: Notify,
}

/// What one request has claimed. It ends with [`Claims::keep`] or [`Claims::release`], or
/// with this run of the node.
#[derive(Debug)]
pub struct Claim {
    request: u64,
    ids: Vec<String>,
    /// Places in the request of ids that are on a disk already; ascending.
    pub known: Vec<usize>,
    _unsettled: OwnedSemaphorePermit,
}

/// Why ids could not be claimed; nothing is.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another request has one of them, and its end is not known yet.
    #[error("another request with the same id is under way, or its node has died and is not back")]
    Undecided,
    /// This node's ids are still being told to Redis.
    #[error("this node is telling Redis which ids it has")]
    Registering,
    /// Too many requests wait for Redis.
    #[error("too many requests wait for Redis to be told what became of their ids")]
    Busy,
    /// Redis can't be asked.
    #[error("Redis can't say which ids are new: {0}")]
    Unavailable(#[from] SinkError),
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
enum ClaimEnd {
    Keep,
    Release,
}

/// Shards with the places of their ids in a list.
type Sharded = Vec<(usize, Vec<usize>)>;

impl Claims {
    /// Connects to nothing yet; [`Claims::register`] has to run.
    ///
    /// # Errors
    /// A key of `[redis]` makes no sense.
    pub fn new(config: &Config, node: NodeId, health: Health) -> Result<Claims, String> {
        Ok(Claims {
            servers: Servers::new(&config.redis)?,
            keys: RedisKeys::new(&config.redis.prefix)?,
            node,
            run: format!("{:016x}", rand::random::<u64>()),
            requests: AtomicU64::new(0),
            unsettled: Arc::new(Semaphore::new(MAX_UNSETTLED_IDS)),
            window: config.dedupe.window_s as Millis * SECOND,
            retry: config.retry.clone(),
            health,
            unregistered: Notify::new(),
        })
    }

    /// Tells Redis every id on this node's disk, then that this run may claim; again whenever
    /// Redis has forgotten. Runs as long as the node does.
    pub async fn register(self: Arc<Self>, known: impl KnownIds) {
        let mut backoff = Backoff::new(&self.retry);
        loop {
            match self.try_register(&known).await {
                Ok(ids) => {
                    backoff.reset();
                    self.health.well(DEDUPE);
                    tracing::info!(ids, "Redis knows the ids of this node");
                    self.unregistered.notified().await;
                }
                Err(e) => {
                    self.trouble(&e);
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    async fn try_register(&self, known: &impl KnownIds) -> Result<u64, SinkError> {
        let (mut from, mut told) = (0, 0);
        while let Some((ids, next)) = known.page(from, PAGE).await {
            self.tell(&ids).await?;
            (from, told) = (next, told + ids.len() as u64);
        }
        let everywhere = async |connection: Connection| {
            try_join_all((0..ID_SHARDS).map(|shard| {
                let (mut connection, key) = (connection.clone(), self.keys.id_nodes(shard));
                let mut set = redis::cmd("HSET");
                set.arg(key).arg(self.node.to_string()).arg(&self.run);
                async move { set.exec_async(&mut connection).await }
            }))
            .await
        };
        self.servers.run("register for ids", everywhere).await?;
        Ok(told)
    }

    /// Claims the ids of one request: all or none.
    ///
    /// # Errors
    /// See [`ClaimError`]; each passes by itself.
    pub async fn claim(self: &Arc<Self>, ids: Vec<String>) -> Result<Claim, ClaimError> {
        let many = u32::try_from(ids.len()).map_err(|_| ClaimError::Busy)?;
        let unsettled = self.unsettled.clone().try_acquire_many_owned(many);
        let mut claim = Claim {
            request: self.requests.fetch_add(1, Ordering::Relaxed),
            ids,
            known: Vec::new(),
            _unsettled: unsettled.map_err(|_| ClaimError::Busy)?,
        };
        let sharded = sharded(claim.ids.iter().map(String::as_str));
        let answers = match self.try_claim(&claim, &sharded).await {
            Ok(answers) => answers,
            Err(e) => {
                self.trouble(&e);
                // It may have got there all the same.
                self.release(claim);
                return Err(e.into());
            }
        };
        self.health.well(DEDUPE);
        let mut refused = None;
        for ((_, places), states) in sharded.iter().zip(&answers) {
            if *states == [-1] {
                self.unregistered.notify_one();
                refused = Some(ClaimError::Registering);
            } else if states.contains(&2) {
                refused.get_or_insert(ClaimError::Undecided);
            }
            let known = places.iter().zip(states).filter(|(_, state)| **state == 1);
            claim.known.extend(known.map(|(at, _)| *at));
        }
        claim.known.sort_unstable();
        match refused {
            None => Ok(claim),
            Some(refused) => {
                self.release(claim);
                Err(refused)
            }
        }
    }

    async fn try_claim(&self, claim: &Claim, sharded: &Sharded) -> Result<Vec<Vec<i8>>, SinkError> {
        let args = &self.owner(claim.request);
        let ask = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let mut keys = vec![self.keys.id_nodes(*shard), self.given_up(*shard, claim)];
                keys.extend(places.iter().map(|at| self.keys.id(*shard, &claim.ids[*at])));
                async move { script::CLAIM.call(&mut connection, &keys, args).await }
            }))
            .await
        };
        self.servers.run("claim ids", ask).await
    }

    /// The request's events are on the disk. Where Redis can't be told now, it is in the
    /// background, until the window is over.
    pub async fn keep(self: &Arc<Self>, claim: Claim) {
        if let Err(e) = self.end(&claim, ClaimEnd::Keep).await {
            self.trouble(&e);
            tokio::spawn(self.clone().settle(claim, ClaimEnd::Keep));
        }
    }

    /// Nothing of the request is on the disk. Told in the background.
    pub fn release(self: &Arc<Self>, claim: Claim) {
        tokio::spawn(self.clone().settle(claim, ClaimEnd::Release));
    }

    async fn settle(self: Arc<Self>, claim: Claim, end: ClaimEnd) {
        let mut backoff = Backoff::new(&self.retry);
        let begin = Instant::now();
        while let Err(e) = self.end(&claim, end).await {
            self.trouble(&e);
            if begin.elapsed().as_millis() as Millis > self.window {
                return;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    async fn end(&self, claim: &Claim, end: ClaimEnd) -> Result<(), SinkError> {
        match end {
            ClaimEnd::Keep => {
                let ids: Vec<_> = claim.ids.iter().map(|id| (self.window, id.clone())).collect();
                self.tell(&ids).await
            }
            ClaimEnd::Release => self.try_release(claim).await,
        }
    }

    async fn try_release(&self, claim: &Claim) -> Result<(), SinkError> {
        let args = &self.owner(claim.request);
        let sharded = sharded(claim.ids.iter().map(String::as_str));
        let give = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let mut keys = vec![self.given_up(*shard, claim)];
                keys.extend(places.iter().map(|at| self.keys.id(*shard, &claim.ids[*at])));
                async move { script::RELEASE.call::<u64>(&mut connection, &keys, args).await }
            }))
            .await
        };
        self.servers.run("release ids", give).await.map(drop)
    }

    /// Tells Redis that these ids are on a disk, each with its time.
    async fn tell(&self, ids: &[(Millis, String)]) -> Result<(), SinkError> {
        let sharded = sharded(ids.iter().map(|(_, id)| id.as_str()));
        let tell = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let of = |at: &usize| &ids[*at];
                let keys: Vec<String> =
                    places.iter().map(of).map(|(_, id)| self.keys.id(*shard, id)).collect();
                let left: Vec<Vec<u8>> =
                    places.iter().map(of).map(|(left, _)| left.to_string().into_bytes()).collect();
                async move { script::KEEP.call::<u64>(&mut connection, &keys, &left).await }
            }))
            .await
        };
        self.servers.run("keep ids", tell).await.map(drop)
    }

    /// Node, run, request, and how long what it leaves in Redis stays.
    fn owner(&self, request: u64) -> Vec<Vec<u8>> {
        let (node, window) = (self.node.to_string(), self.window.to_string());
        [node, self.run.clone(), request.to_string(), window].map(String::into_bytes).into()
    }

    fn given_up(&self, shard: usize, claim: &Claim) -> String {
        self.keys.id_given_up(shard, &format!("{}:{}:{}", self.node, self.run, claim.request))
    }

    fn trouble(&self, e: &SinkError) {
        self.health.trouble(DEDUPE, &e.kind.to_string(), &e.message);
    }
}

fn sharded<'a>(ids: impl Iterator<Item = &'a str>) -> Sharded {
    let mut shards = vec![Vec::new(); ID_SHARDS];
    for (at, id) in ids.enumerate() {
        shards[(xxh3_64(id.as_bytes()) % ID_SHARDS as u64) as usize].push(at);
    }
    shards.into_iter().enumerate().filter(|(_, places)| !places.is_empty()).collect()
}
