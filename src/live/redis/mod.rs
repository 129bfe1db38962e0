//! The live store in Redis or a Redis Cluster, 7.0 or newer, shared by all nodes.
//!
//! - A batch is counted by one call of one script (`scripts/apply.lua`), which checks the guard,
//!   adds the increments and publishes the message to all mirrors, all of it or nothing.
//! - All keys of a lane carry one hash tag ([`keys`]), so that this works in a cluster as well.
//! - A lane has a *generation*, which is new each time its counters are put in place, and a
//!   *version*, which is one more with every batch. They tell a mirror whether it missed anything
//!   ([`mirror`]). A lane without a generation is rebuilt from the ledger ([`rebuild`]).
//! - Active visitors are in sorted sets under several tags ([`active`]).
//!
//! ```text
//!  lane writer ──apply──> guards, buckets, version ──feed──> mirror of every node
//!                          │ no generation
//!                          v
//!  ledger ──sum──> rebuild ──install──> guards, buckets, a new generation
//! ```

mod active;
pub mod claims;
mod connection;
mod distinct;
mod error;
mod heads;
mod keys;
mod links;
mod load;
mod mirror;
mod owner;
mod push;
mod rebuild;
mod script;
mod seeds;
mod servers;
pub(super) mod settings;
mod slots;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::civil::Date;
use tokio::{sync::Notify, task::JoinHandle};

use self::{
    connection::Connection,
    error::rebuilding,
    keys::{RedisKeys, buckets_of},
    owner::Owner,
    servers::Servers,
};
use super::{
    Applied, FeedSender, LiveStore, Population,
    counters::{CounterLimits, Counters},
};
use crate::{
    config::{self, Config},
    domain::{
        batch::{BatchId, RunId},
        delta::Delta,
        time::{BusinessZone, Millis, SECOND, now_ms},
        top,
    },
    panics,
    sink::{Lease, SinkError, SinkErrorKind},
    store::{Ledger, Stores},
};

/// What the parts of the Redis live store have in common.
struct RedisShared {
    servers: Servers,
    keys: RedisKeys,
    zone: BusinessZone,
    ledger: Arc<dyn Ledger>,
    /// Whose counters Redis must have.
    owner: Owner,
    /// The names of the distinct metrics.
    distinct: Vec<String>,
    /// How long a visitor is active, in ms.
    active_window: Millis,
    retry: config::RetryConfig,
    /// How much counters may hold.
    limits: CounterLimits,
    /// The room in which counters are loaded or rebuilt beside those that are shown. There is room
    /// for one such copy.
    spare: tokio::sync::Mutex<()>,
    /// The visitors that Redis has from this node.
    recent: active::RecentVisitors,
    /// Told when somebody finds a lane without a generation.
    rebuild_wanted: Notify,
}

impl RedisShared {
    fn new(config: &Config, stores: &Stores, zone: BusinessZone) -> Result<RedisShared, String> {
        let shares = config.memory_shares()?;
        Ok(RedisShared {
            servers: Servers::new(&config.redis)?,
            keys: RedisKeys::new(&config.redis.prefix)?,
            zone,
            ledger: stores.ledger.clone(),
            owner: Owner::new(stores.installation.clone()),
            distinct: config.rules.metric_set.distinct().map(str::to_owned).collect(),
            active_window: config.live.active_window_s as Millis * SECOND,
            retry: config.retry.clone(),
            recent: active::RecentVisitors::within(shares.visitors),
            limits: CounterLimits::of(&shares),
            spare: tokio::sync::Mutex::default(),
            rebuild_wanted: Notify::new(),
        })
    }

    /// Notes visitors and distinct values.
    async fn touch(&self, delta: &Delta) -> Result<(), SinkError> {
        let terms = self.visitor_terms();
        active::touch(&self.servers, &self.keys, &self.recent, delta, terms).await?;
        distinct::note(&self.servers, &self.keys, &self.zone, delta).await
    }

    /// How long visitors stay.
    fn visitor_terms(&self) -> links::VisitorTerms {
        links::VisitorTerms { window: self.active_window, ttl: 2 * self.active_window }
    }
}

/// The Redis live store. Its tasks end when it is dropped.
pub struct Redis {
    shared: Arc<RedisShared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Redis {
    /// Starts to connect in the background, and feeds the mirror from then on. Redis may be away:
    /// until it is there, the feed says that it is interrupted.
    pub(super) fn start(
        config: &Config,
        stores: &Stores,
        zone: BusinessZone,
        feed: FeedSender,
    ) -> Result<Redis, String> {
        let shared = Arc::new(RedisShared::new(config, stores, zone)?);
        let tasks = vec![
            // A feed that is begun again starts from the counters, so the mirror misses nothing.
            tokio::spawn(panics::lasting("feed", {
                let shared = shared.clone();
                move || mirror::run(shared.clone(), feed.clone())
            })),
            tokio::spawn(rebuild::run(shared.clone())),
        ];
        Ok(Redis { shared, tasks })
    }

    /// Says why a lane is not ours, and sees to it that it is rebuilt where that is due.
    async fn not_ours(&self) -> SinkError {
        self.shared.recent.forget();
        match self.shared.look_at_owner().await {
            Err(why) => why,
            // It was rebuilt meanwhile.
            Ok(()) => rebuilding(),
        }
    }

    /// Asks for a rebuild, and says to the caller why it has to wait.
    fn want_rebuild(&self) -> SinkError {
        self.shared.recent.forget();
        self.shared.rebuild_wanted.notify_one();
        rebuilding()
    }
}

/// Rebuilds all counters from the ledger, in place of whatever Redis has.
pub(super) async fn rebuild(
    config: &Config,
    stores: &Stores,
    zone: BusinessZone,
) -> Result<(), SinkError> {
    let shared = RedisShared::new(config, stores, zone)
        .map_err(|message| SinkError { kind: SinkErrorKind::Other, message })?;
    rebuild::rebuild_all(&shared).await
}

#[async_trait]
impl LiveStore for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn apply(
        &self,
        id: BatchId,
        after: Option<BatchId>,
        sealed_at: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError> {
        let lane = self.shared.keys.lane(id.lane());
        // The rules of the mirror say which buckets an increment goes to, so that Redis and the
        // mirrors never disagree.
        let mut cells = Counters::new(self.shared.zone.clone());
        cells.apply(id.lane(), delta, now_ms());
        let buckets = buckets_of(&cells);

        let mut keys = vec![lane.meta(), lane.guards()];
        keys.extend(buckets.keys().map(|bucket| lane.bucket(*bucket)));
        let number = |n: i64| n.to_string().into_bytes();
        let mut args = vec![
            id.run.to_string().into_bytes(),
            number(id.seq as i64),
            after.map(|after| after.run.to_string()).unwrap_or_default().into_bytes(),
            number(after.map_or(0, |after| after.seq) as i64),
            lane.channel().into_bytes(),
            push::message_body(id, sealed_at, delta),
            number(top::CAPACITY as i64),
        ];
        let numbers = buckets.iter().filter(|(bucket, _)| bucket.holds_numbers());
        args.push(number(numbers.map(|(_, fields)| fields.len() as i64).sum()));
        args.push(self.shared.token().await?.into_bytes());
        args.extend(buckets.keys().map(|bucket| number(bucket.ttl())));
        // The script takes the numbers first and the breakdowns after them.
        for holds_numbers in [true, false] {
            for (index, (bucket, fields)) in (1..).zip(&buckets) {
                if bucket.holds_numbers() == holds_numbers {
                    for (field, value) in fields {
                        let field = field.clone().into_bytes();
                        args.extend([number(index), field, value.clone().into_bytes()]);
                    }
                }
            }
        }
        let call = async |mut connection: Connection| {
            script::APPLY.call::<(u8, u64)>(&mut connection, &keys, &args).await
        };
        let answer = self.shared.servers.run("count a batch", call).await;
        if !matches!(answer, Ok((0, _))) {
            // Whatever was lost, visitors may be lost with it, so the next try sends them all.
            self.shared.recent.forget();
        }
        match answer? {
            (0, _) => Ok(Applied::Counted),
            (1, _) => Ok(Applied::AlreadyCounted),
            (2, last) => Ok(Applied::Gap { last }),
            (4, _) => Err(self.not_ours().await),
            _ => Err(self.want_rebuild()),
        }
    }

    async fn touch(&self, delta: &Delta) -> Result<(), SinkError> {
        self.shared.is_ours().await?;
        self.shared.touch(delta).await
    }

    async fn population(&self, since: Millis, day: Date) -> Result<Population, SinkError> {
        let RedisShared { servers, keys, distinct, .. } = &*self.shared;
        Ok(Population {
            active: active::count(servers, keys, since).await?,
            approximate: false,
            distinct: distinct::counts(servers, keys, distinct, day).await?,
        })
    }

    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError> {
        let keys = self.shared.keys.lane(lane);
        let keys = [keys.meta(), keys.guards()];
        let run = [run.to_string().into_bytes(), self.shared.token().await?.into_bytes()];
        let ask = async |mut connection: Connection| {
            script::HEAD.call::<i64>(&mut connection, &keys, &run).await
        };
        let head = self.shared.servers.run("read the guards", ask).await?;
        match head {
            -2 => Err(self.not_ours().await),
            // The script answers -1 where the lane has no counters.
            head => u64::try_from(head).map_err(|_| self.want_rebuild()),
        }
    }

    async fn rebuild(&self) -> Result<(), SinkError> {
        rebuild::rebuild_all(&self.shared).await
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.heads(RunId::nil()).await.map(drop)
    }

    async fn claim(&self) -> Result<(), SinkError> {
        self.shared.look_at_owner().await
    }
}

#[async_trait]
impl Lease for Redis {
    async fn lead(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError> {
        let keys = [self.shared.keys.alerts_lease()];
        let args = [holder.as_bytes().to_vec(), ttl.as_millis().to_string().into_bytes()];
        let ask = async |mut connection: Connection| {
            script::LEASE.call::<i64>(&mut connection, &keys, &args).await
        };
        Ok(self.shared.servers.run("take the lease of alerts", ask).await? == 1)
    }

    async fn resign(&self, holder: &str) -> Result<(), SinkError> {
        let keys = [self.shared.keys.alerts_lease()];
        let args = [holder.as_bytes().to_vec()];
        let unlock = async |mut connection: Connection| {
            script::UNLOCK.call::<i64>(&mut connection, &keys, &args).await
        };
        self.shared.servers.run("let go of the lease of alerts", unlock).await.map(drop)
    }
}
