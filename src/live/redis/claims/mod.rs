//! Ids that all nodes share (`dedupe.shared`): an event that was sent to one node, and within the
//! window again to another, is counted once.
//!
//! A node's own index knows which ids are on its disk, and no other node does. So Redis has a key
//! for each id. Its value is `1` while the id is *kept* (it is on some node's disk), or
//! `NODE:RUN:REQUEST` while it is *claimed* by one request of one run of a node. That request says
//! afterwards what became of the id:
//!
//! ```text
//!  free ──> claimed ─┬─ its events are on disk ─> keep ────> kept
//!                    ├─ its request is refused ─> release ─> free
//!                    └─ its run dies ─> the next run registers ─> kept, where the id is on the
//!                                                                 disk, else free
//! ```
//!
//! Whatever the state, Redis forgets the id when the window is over.
//!
//! An id that another request has claimed is undecided. The client is told to come back (503),
//! since neither "duplicate" nor "accepted" would be known to be true.
//!
//! A run that dies leaves its claims behind. The next run of the node first tells Redis every id
//! that it finds on its disk, and only then registers. From that moment a claim of the run before
//! is known to be of an event that never reached the disk, and any request may take it over. So a
//! client's retry after a crash is neither refused nor counted twice, whichever node gets it.
//!
//! While Redis can't be reached, nothing can be decided: requests with ids get 503, and requests
//! without ids go on. A Redis that was emptied has forgotten what it knew. Each node tells it again
//! as soon as it notices, and until all of them have, an id may count once on each of two nodes.
//!
//! A Redis that comes back without its last writes (it was restarted from an older file, or a replica
//! took over that lacked them) looks as if nothing had happened. But it is a process that no node has
//! talked to, and that shows: each run claims by a script of its own, and a server forgets scripts
//! when it starts, and does not pass them to its replicas. The first node that finds its script gone
//! notes that all nodes *owe* the server what they have (`owe.lua`). Each tells it all ids that are on
//! its disk, and what its requests under way have claimed. Until the last has done so, nothing can be
//! claimed. A node that is dead is waited for no longer than [`register::OWING_MS`].

mod forget;
mod register;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    connection::Connection,
    keys::{ID_SHARDS, RedisKeys},
    script::{self, Script},
    servers::Servers,
};
use crate::{
    config::{self, Config},
    domain::{
        batch::NodeId,
        ids::{IdClass, bare_id},
        time::{Millis, SECOND},
    },
    retry::Backoff,
    sink::SinkError,
    telemetry::health::Health,
};

pub use forget::forget_node;

/// The most ids of requests whose end Redis has not been told yet. They wait in memory, so beyond
/// this number nothing more is claimed.
const MAX_UNSETTLED_IDS: usize = 1 << 18;

/// The part of the health that is told whether Redis can say which ids are new.
pub const DEDUPE: &str = "dedupe";

/// Claims of one node.
pub struct Claims {
    servers: Servers,
    keys: RedisKeys,
    node: NodeId,
    /// Names this run of the node, by a random number.
    run: String,
    /// The script that this run claims by.
    script: Script,
    /// What requests have claimed whose end Redis has not been told.
    under_way: Mutex<HashMap<u64, Weak<Vec<String>>>>,
    /// The number of the next request.
    requests: AtomicU64,
    /// One permit for each id of [`MAX_UNSETTLED_IDS`].
    unsettled: Arc<Semaphore>,
    /// How long an id of [`IdClass::Short`] is remembered, in ms.
    window: Millis,
    /// How long any other id is, in ms.
    long_window: Millis,
    retry: config::RetryConfig,
    health: Health,
    /// Told when a request finds that this run is not registered in Redis.
    unregistered: Notify,
}

/// What one request has claimed. It ends with [`Claims::keep`] or [`Claims::release`], or
/// with this run of the node.
#[derive(Debug)]
pub struct Claim {
    request: u64,
    ids: Arc<Vec<String>>,
    /// Which of the ids are on a disk already, as places in the request; ascending.
    pub known: Vec<usize>,
    _unsettled: OwnedSemaphorePermit,
}

/// Why the ids of a request could not be claimed. None of them is.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another request has one of them, and its end is not known yet.
    #[error("another request with the same id is under way, or its node has died and is not back")]
    Undecided,
    /// The ids of this node, or of another, are still being told to Redis.
    #[error("the nodes are telling Redis which ids they have")]
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

/// Ids by shard: each shard with the places that its ids have in a list.
type Sharded = Vec<(usize, Vec<usize>)>;

impl Claims {
    /// Connects to nothing yet. Nothing can be claimed before [`Claims::register`] runs.
    ///
    /// # Errors
    /// A key of `[redis]` makes no sense.
    pub fn new(config: &Config, node: NodeId, health: Health) -> Result<Claims, String> {
        let run = format!("{:016x}", rand::random::<u64>());
        Ok(Claims {
            script: Script::claim(&run),
            under_way: Mutex::default(),
            servers: Servers::new(&config.redis)?,
            keys: RedisKeys::new(&config.redis.prefix)?,
            node,
            run,
            requests: AtomicU64::new(0),
            unsettled: Arc::new(Semaphore::new(MAX_UNSETTLED_IDS)),
            window: config.dedupe.window_s as Millis * SECOND,
            long_window: config.dedupe.longest_window_s() as Millis * SECOND,
            retry: config.retry.clone(),
            health,
            unregistered: Notify::new(),
        })
    }

    /// A claim of no ids.
    fn nothing(&self) -> Claim {
        let unsettled = self.unsettled.clone().try_acquire_many_owned(0);
        Claim {
            request: u64::MAX,
            ids: Arc::default(),
            known: Vec::new(),
            _unsettled: unsettled.expect("no permits are always there"),
        }
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
            ids: Arc::new(ids),
            known: Vec::new(),
            _unsettled: unsettled.map_err(|_| ClaimError::Busy)?,
        };
        self.under_way.lock().insert(claim.request, Arc::downgrade(&claim.ids));
        let sharded = sharded(claim.ids.iter().map(String::as_str));
        let answers = match self.try_claim(&claim, &sharded).await {
            Ok(answers) => answers,
            Err(e) => {
                self.trouble(&e);
                // The request may have reached Redis all the same, and then the ids are claimed.
                self.release(claim);
                return Err(e.into());
            }
        };
        self.health.well(DEDUPE);
        // Each shard answers for itself, so one may have claimed while another refused.
        let mut refused = None;
        for ((_, places), states) in sharded.iter().zip(&answers) {
            if *states == [-1] {
                self.unregistered.notify_one();
                refused = Some(ClaimError::Registering);
            } else if *states == [-2] {
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

    /// Asks each shard for its ids. The answers are those of `claim.lua`, a state for each id.
    async fn try_claim(&self, claim: &Claim, sharded: &Sharded) -> Result<Vec<Vec<i8>>, SinkError> {
        let args = &self.owner(claim.request, &claim.ids);
        let ask = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let mut keys = vec![
                    self.keys.id_nodes(*shard),
                    self.given_up(*shard, claim.request),
                    self.keys.id_owing(*shard),
                ];
                keys.extend(places.iter().map(|at| self.keys.id(*shard, &claim.ids[*at])));
                async move {
                    let states = self.script.call_known(&mut connection, &keys, args).await?;
                    // A server that does not know the script may lack the last ids.
                    Ok(states.unwrap_or_else(|| vec![-1]))
                }
            }))
            .await
        };
        self.servers.run("claim ids", ask).await
    }

    /// Says that the request's events are on the disk. Where Redis can't be told now, it is told in
    /// the background, for as long as the window lasts.
    pub async fn keep(self: &Arc<Self>, claim: Claim) {
        if let Err(e) = self.end(&claim, ClaimEnd::Keep).await {
            self.trouble(&e);
            tokio::spawn(self.clone().settle(claim, ClaimEnd::Keep));
        }
    }

    /// Says that nothing of the request is on the disk. Redis is told in the background, since the
    /// client's answer does not depend on it.
    pub fn release(self: &Arc<Self>, claim: Claim) {
        tokio::spawn(self.clone().settle(claim, ClaimEnd::Release));
    }

    /// Tells Redis what became of a claim, and tries again until it knows. After the window the
    /// claim has expired by itself.
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

    /// Tells Redis once what became of a claim.
    async fn end(&self, claim: &Claim, end: ClaimEnd) -> Result<(), SinkError> {
        match end {
            ClaimEnd::Keep => {
                let ids: Vec<_> =
                    claim.ids.iter().map(|id| (self.window_of(id), id.clone())).collect();
                self.tell(&ids).await?;
            }
            ClaimEnd::Release => self.try_release(claim).await?,
        }
        self.under_way.lock().remove(&claim.request);
        Ok(())
    }

    /// Gives the ids back. The mark that the request has given up comes first, for a claim of it
    /// that is still on its way (see `release.lua`).
    async fn try_release(&self, claim: &Claim) -> Result<(), SinkError> {
        let args = &self.owner(claim.request, &claim.ids);
        let sharded = sharded(claim.ids.iter().map(String::as_str));
        let give = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let mut keys = vec![self.given_up(*shard, claim.request)];
                keys.extend(places.iter().map(|at| self.keys.id(*shard, &claim.ids[*at])));
                async move { script::RELEASE.call::<u64>(&mut connection, &keys, args).await }
            }))
            .await
        };
        self.servers.run("release ids", give).await.map(drop)
    }

    /// Tells Redis that these ids are on a disk, each with the time (ms) for which it is still to
    /// be remembered.
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

    /// How long an id is remembered, in ms.
    fn window_of(&self, id: &str) -> Millis {
        match IdClass::of(id) {
            IdClass::Short => self.window,
            IdClass::Long | IdClass::LongPublic => self.long_window,
        }
    }

    /// The arguments by which the scripts know a request: node, run, number, and how long (ms) what
    /// it leaves in Redis stays: as long as the id that is remembered longest.
    fn owner(&self, request: u64, ids: &[String]) -> Vec<Vec<u8>> {
        let window = ids.iter().map(|id| self.window_of(id)).max().unwrap_or(self.window);
        let (node, window) = (self.node.to_string(), window.to_string());
        [node, self.run.clone(), request.to_string(), window].map(String::into_bytes).into()
    }

    /// The key of the mark that a request has given up.
    fn given_up(&self, shard: usize, request: u64) -> String {
        self.keys.id_given_up(shard, &format!("{}:{}:{}", self.node, self.run, request))
    }

    /// Tells the health that Redis can't decide.
    fn trouble(&self, e: &SinkError) {
        self.health.trouble(DEDUPE, &e.kind.to_string(), &e.message);
    }
}

/// All shards, each without ids.
fn every_shard() -> Sharded {
    (0..ID_SHARDS).map(|shard| (shard, Vec::new())).collect()
}

/// Spreads ids over the shards, by their hash: every node has to come to the same shard. The type of
/// the event says nothing here, so that `claim.lua` finds in the shard what an earlier version wrote,
/// which is the id alone.
fn sharded<'a>(ids: impl Iterator<Item = &'a str>) -> Sharded {
    let mut shards = vec![Vec::new(); ID_SHARDS];
    for (at, id) in ids.enumerate() {
        shards[(xxh3_64(bare_id(id).as_bytes()) % ID_SHARDS as u64) as usize].push(at);
    }
    shards.into_iter().enumerate().filter(|(_, places)| !places.is_empty()).collect()
}
