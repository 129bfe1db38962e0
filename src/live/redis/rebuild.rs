//! Rebuilds the counters from the ledger when Redis has none.
//!
//! ```text
//!  ledger ──one read──> sum, guards ──HSET──> staged hashes ──install.lua──> the lane's hashes,
//!                                             (key:new:GEN)    one step      generation GEN
//! ```
//!
//! A lane without a generation refuses every batch, so nothing is counted between the read of the
//! ledger and the moment at which its sum is put in place. Sum and guards of a lane come from one
//! consistent read and are put in place in one step. Whatever the ledger has got since then is a gap
//! to the strict guard, and is replayed. It is therefore harmless if two nodes rebuild at once: the
//! second finds a generation and leaves it. The lock only saves the work.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    RedisShared,
    connection::Connection,
    error::unavailable,
    keys::{Bucket, Fields, LaneKeys, fields_of, held_by, staged},
    script,
};
use crate::{
    domain::{
        batch::LANES,
        delta::Delta,
        time::{Millis, now_ms},
    },
    live::{TakesLedger, counters::Counters, ledger_since, read_ledger},
    panics,
    retry::Backoff,
    sink::{SinkError, SinkErrorKind},
    store::LedgerSpan,
};

/// How long the lock keeps other nodes from rebuilding, in ms. It lets go by itself, should the
/// node that holds it die.
const LOCK_TTL_MS: u64 = 10_000;
/// How long a forced rebuild waits for the lock before it goes ahead without it: by then the lock
/// of a node that has died has let go.
const LOCK_PATIENCE: Duration = Duration::from_millis(LOCK_TTL_MS + 1_000);
/// How often a node that waits for another's rebuild looks whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long staged hashes stay, in seconds, should the node that rebuilds die.
const STAGED_TTL: u64 = 600;
/// Fields in one command. Redis does nothing else while it runs a command, so none is very large.
const CHUNK: usize = 1000;

/// Rebuilds whenever somebody has noticed that a lane has no generation.
pub(super) async fn run(shared: Arc<RedisShared>) {
    loop {
        shared.rebuild_wanted.notified().await;
        let mut backoff = Backoff::new(&shared.retry);
        let mut told = None;
        // A rebuild that panics is begun again, as one that fails is: it is still wanted.
        loop {
            match panics::caught("rebuild", rebuild_missing(&shared)).await {
                Some(Ok(())) => break,
                // Logged once for each kind of error, not at each attempt.
                Some(Err(error)) if told != Some(error.kind) => {
                    tracing::warn!(%error, "can't rebuild the live counters yet");
                    told = Some(error.kind);
                }
                _ => {}
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }
}

/// Rebuilds the lanes that have no generation or have come back as another's, or waits until another
/// node has done so.
async fn rebuild_missing(shared: &RedisShared) -> Result<(), SinkError> {
    loop {
        let missing = missing(shared).await?;
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(lock) = Lock::take(shared).await? {
            tracing::info!(lanes = ?missing, "Redis has no counters: rebuilding from the ledger");
            shared.forget_foreign_visitors().await?;
            let rebuilt = rebuild(shared, &missing, false).await;
            lock.release(shared).await;
            return rebuilt;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Rebuilds all lanes, even those that have counters.
pub(super) async fn rebuild_all(shared: &RedisShared) -> Result<(), SinkError> {
    let wait = async {
        loop {
            if let Some(lock) = Lock::take(shared).await? {
                return Ok::<_, SinkError>(lock);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let lock = match tokio::time::timeout(LOCK_PATIENCE, wait).await {
        Ok(lock) => Some(lock?),
        Err(_) => None,
    };
    let all: Vec<u64> = (0..LANES).collect();
    let rebuilt = rebuild(shared, &all, true).await;
    if let Some(lock) = lock {
        lock.release(shared).await;
    }
    rebuilt
}

/// The lanes that have no generation, or have come back with another installation's counters.
async fn missing(shared: &RedisShared) -> Result<Vec<u64>, SinkError> {
    let look = async |mut connection: Connection| {
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            let mut ask = redis::cmd("HMGET");
            ask.arg(shared.keys.lane(lane).meta()).arg("generation").arg("installation");
            let found: (Option<String>, Option<String>) = ask.query_async(&mut connection).await?;
            lanes.push((lane, found));
        }
        Ok(lanes)
    };
    let lanes = shared.servers.run("look for the counters", look).await?;
    let mut missing = Vec::new();
    for (lane, (generation, owner)) in lanes {
        // The owner is looked at first: another's lane is left alone, whatever it lacks.
        let replaced = shared.owner.judge(owner.as_deref())?;
        if replaced || generation.is_none() {
            missing.push(lane);
        }
    }
    Ok(missing)
}

/// Reads the ledger and puts its sums in place, one lane after the other, so that the sums of one
/// lane are in memory. With `force`, counters that are there are replaced too.
async fn rebuild(shared: &RedisShared, lanes: &[u64], force: bool) -> Result<(), SinkError> {
    let _room = shared.spare.lock().await;
    let token = shared.token().await?;
    // Redis may lack any of the visitors, so all of the ledger's are sent, of all lanes.
    shared.recent.forget();
    for lane in 0..LANES {
        let rebuilt = read_lane(shared, lane).await?;
        if lanes.contains(&lane) {
            install(shared, lane, &rebuilt, (&token, force)).await?;
        }
    }
    Ok(())
}

/// What a lane must have.
struct RebuiltLane {
    counters: Counters,
    guards: Fields,
}

impl RebuiltLane {
    /// The fields of a hash of buckets; without one those of the guards.
    fn fields(&self, of: Option<Bucket>) -> Fields {
        of.map_or_else(|| self.guards.clone(), |bucket| fields_of(&self.counters, bucket))
    }
}

/// What is read of a lane.
struct ReadingLedger<'a> {
    shared: &'a RedisShared,
    counters: Counters,
    /// The time of the read, Unix ms, which says what is too old.
    now: Millis,
}

#[async_trait]
impl TakesLedger for ReadingLedger<'_> {
    async fn take(&mut self, lane: u64, delta: &Delta) -> Result<(), SinkError> {
        self.counters.apply(lane, delta, self.now);
        self.shared.touch(delta).await
    }
}

/// Reads what the ledger has of a lane, and notes its visitors and distinct values in Redis.
async fn read_lane(shared: &RedisShared, lane: u64) -> Result<RebuiltLane, SinkError> {
    let now = now_ms();
    let asked = LedgerSpan {
        since: ledger_since(&shared.zone, now),
        visitors_since: now - shared.active_window,
        lane: Some(lane),
    };
    let counters = Counters::within(shared.zone.clone(), shared.limits);
    let mut reading = ReadingLedger { shared, counters, now };
    let heads = read_ledger(&*shared.ledger, asked, &mut reading).await;
    let heads = heads.map_err(|error| SinkError {
        kind: SinkErrorKind::Rebuilding,
        message: format!("read the ledger to rebuild Redis: {error}"),
    })?;
    let counters = reading.counters;
    let last = &heads[lane as usize];
    let guards = last.iter().map(|(node, last)| (node.to_string(), last.to_string())).collect();
    Ok(RebuiltLane { counters, guards })
}

/// Stages what the hashes of a lane must hold, then puts them in place.
async fn install(
    shared: &RedisShared,
    lane: u64,
    rebuilt: &RebuiltLane,
    (token, force): (&str, bool),
) -> Result<(), SinkError> {
    let keys = shared.keys.lane(lane);
    let mut hashes = vec![(keys.guards(), 0, None)];
    // Hashes that have to be empty are named too, so that nothing old stays in them.
    // What is not of this node's time is there as well: another node's clock may be ahead.
    let mut buckets = held_by(&rebuilt.counters);
    buckets.extend(Bucket::kept_at(now_ms(), &shared.zone));
    hashes.extend(
        buckets.into_iter().map(|bucket| (keys.bucket(bucket), bucket.ttl(), Some(bucket))),
    );
    let answer = shared
        .servers
        .run("put the rebuilt counters in place", async |connection| {
            put_in_place(connection, &keys, &hashes, rebuilt, (token, force)).await
        })
        .await?;
    match answer {
        -1 => Err(unavailable("Redis was emptied again while it was rebuilt")),
        _ => Ok(()),
    }
}

/// Writes the hashes beside those in use, and has the script swap them in one step. Answers as
/// `install.lua` does.
async fn put_in_place(
    mut connection: Connection,
    lane: &LaneKeys,
    hashes: &[(String, i64, Option<Bucket>)],
    rebuilt: &RebuiltLane,
    (token, force): (&str, bool),
) -> redis::RedisResult<i64> {
    let generation = Uuid::new_v4().simple().to_string();
    let mut keys = vec![lane.meta()];
    let mode: &[u8] = if force { b"force" } else { b"missing" };
    let mut args =
        vec![generation.clone().into_bytes(), mode.to_vec(), lane.channel().into_bytes()];
    args.push(token.as_bytes().to_vec());
    args.push(rebuilt.counters.seconds_from().to_string().into_bytes());
    for (key, ttl, bucket) in hashes {
        // The fields of one hash at a time: as text they take several times their room.
        let fields = rebuilt.fields(*bucket);
        let staged = staged(key, &generation);
        for chunk in fields.chunks(CHUNK) {
            let mut set = redis::cmd("HSET");
            set.arg(&staged);
            for (field, value) in chunk {
                set.arg(field).arg(value);
            }
            set.exec_async(&mut connection).await?;
        }
        // An empty hash does not exist in Redis, so there is nothing to expire.
        if !fields.is_empty() {
            let mut expire = redis::cmd("EXPIRE");
            expire.arg(&staged).arg(STAGED_TTL);
            expire.exec_async(&mut connection).await?;
        }
        keys.extend([key.clone(), staged]);
        args.extend([fields.len().to_string().into_bytes(), ttl.to_string().into_bytes()]);
    }
    script::INSTALL.call(&mut connection, &keys, &args).await
}

/// The lock that a node holds while it rebuilds. It has a random token, so that a node whose lock
/// has expired does not let go of another's.
struct Lock(String);

impl Lock {
    /// Takes the lock; `None` where another node has it.
    async fn take(shared: &RedisShared) -> Result<Option<Lock>, SinkError> {
        let token = Uuid::new_v4().to_string();
        let take = async |mut connection: Connection| {
            let mut set = redis::cmd("SET");
            set.arg(shared.keys.rebuild_lock()).arg(&token);
            set.arg("NX").arg("PX").arg(LOCK_TTL_MS);
            set.query_async::<Option<String>>(&mut connection).await
        };
        let taken = shared.servers.run("take the rebuild lock", take).await?;
        Ok(taken.map(|_| Lock(token)))
    }

    /// Lets go of the lock. Where that fails, the lock expires by itself, so the error is ignored.
    async fn release(self, shared: &RedisShared) {
        let keys = [shared.keys.rebuild_lock()];
        let unlock = async |mut connection: Connection| {
            let token = [self.0.into_bytes()];
            script::UNLOCK.call::<i64>(&mut connection, &keys, &token).await
        };
        let _ = shared.servers.run("release the rebuild lock", unlock).await;
    }
}
