//! Active visitors over all nodes, counted exactly. They are members of sorted sets, 16 bytes
//! each, and the score is the time at which a visitor was last seen. The sets are spread over
//! [`ACTIVE_SHARDS`] hash tags, so that the servers of a cluster share the load.
//!
//! A visitor who does much is in every batch, so most of what batches note is known already. The
//! window that is counted begins at a full second. Within one second a later sighting therefore
//! changes no count, and [`RecentVisitors`] keeps it from being sent.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{
    connection::Connection,
    keys::{ACTIVE_SHARDS, RedisKeys, active_shard},
    links::{self, RecentLinks, VisitorTerms},
    servers::Servers,
};
use crate::{
    domain::{
        delta::{Delta, UserLink, Visitor},
        time::{Millis, SECOND, bucket},
    },
    sink::SinkError,
};

/// Visitors in one command. Redis does nothing else while it runs a command, so none is very large.
const CHUNK: usize = 4096;
/// Visitors in one generation of [`RecentVisitors`], at most.
const MAX_RECENT: usize = 100_000;
/// Bytes of one visitor in a generation, at most: a table that has just doubled, and the one before.
const RECENT: u64 = 128;
/// How long a generation of [`RecentVisitors`] gathers.
const RECENT_FOR: Duration = Duration::from_secs(2);

/// The second at which this node last noted each visitor, as far as Redis is known to have it.
/// There are two generations: the newer takes visitors in, and after a while it becomes the older,
/// whose visitors are dropped all at once. Whatever hints at a Redis that has lost something
/// empties both ([`RecentVisitors::forget`]).
#[derive(Debug)]
pub(super) struct RecentVisitors {
    generations: Mutex<Generations>,
    /// Visitors in one generation, which bounds the memory.
    most: usize,
    /// The sessions of users, as far as Redis is known to have them.
    links: Mutex<RecentLinks>,
    /// Users in `links`, at most.
    most_links: usize,
}

#[derive(Debug, Default)]
struct Generations {
    /// The newer generation.
    now: HashMap<Visitor, Millis>,
    /// The older generation.
    before: HashMap<Visitor, Millis>,
    /// When the newer generation began.
    since: Option<Instant>,
    /// How often [`RecentVisitors::forget`] was called. An answer to something that was sent
    /// before such a call says nothing about Redis after it.
    losses: u64,
}

impl RecentVisitors {
    /// None yet; two generations of them, and the sessions of users, take no more than `bytes`.
    pub(super) fn within(bytes: u64) -> RecentVisitors {
        let most = |bytes: u64| MAX_RECENT.min((bytes / RECENT) as usize);
        RecentVisitors {
            generations: Mutex::default(),
            most: most((bytes - bytes / 4) / 2),
            links: Mutex::default(),
            most_links: most(bytes / 4),
        }
    }

    /// The sightings that Redis is not known to have, and the count of losses, which
    /// [`RecentVisitors::noted`] wants back.
    fn news(&self, visitors: &[(Visitor, Millis)]) -> (Vec<(Visitor, Millis)>, u64) {
        let known = self.generations.lock();
        let is_news = |&&(visitor, at): &&(Visitor, Millis)| {
            let last = known.now.get(&visitor).max(known.before.get(&visitor));
            last.is_none_or(|&last| last < bucket(at, SECOND))
        };
        (visitors.iter().filter(is_news).copied().collect(), known.losses)
    }

    /// Notes that Redis has these now, unless it may have lost them since they were sent.
    fn noted(&self, visitors: &[(Visitor, Millis)], losses: u64) {
        let mut known = self.generations.lock();
        if known.losses != losses {
            return;
        }
        if known.now.len() >= self.most
            || known.since.is_none_or(|since| since.elapsed() >= RECENT_FOR)
        {
            known.before = std::mem::take(&mut known.now);
            known.since = Some(Instant::now());
        }
        for &(visitor, at) in visitors {
            let last = known.now.entry(visitor).or_insert(Millis::MIN);
            *last = bucket(at, SECOND).max(*last);
        }
    }

    /// Notes that Redis has these sessions of users now, unless it may have lost them since they were sent.
    fn noted_links(&self, links: &[UserLink], generation: i64, losses: u64) {
        let visitors = self.generations.lock();
        if visitors.losses == losses {
            self.links.lock().noted(links, generation, self.most_links);
        }
    }

    /// Forgets everything, since Redis may have lost any of it.
    pub(super) fn forget(&self) {
        let mut known = self.generations.lock();
        let losses = known.losses + 1;
        *known = Generations { losses, ..Generations::default() };
        *self.links.lock() = RecentLinks::default();
    }
}

/// Notes the visitors of a delta in Redis.
pub(super) async fn touch(
    servers: &Servers,
    keys: &RedisKeys,
    recent: &RecentVisitors,
    delta: &Delta,
    terms: VisitorTerms,
) -> Result<(), SinkError> {
    let (news, losses) = recent.news(delta.visitors());
    let generation = terms.generation();
    let new_links = recent.links.lock().news(delta.links(), generation);
    if news.is_empty() && new_links.is_empty() {
        return Ok(());
    }
    let (users, mut sessions): (Vec<_>, Vec<_>) =
        news.iter().copied().partition(|(visitor, _)| delta.is_user(*visitor));
    let written = async {
        sessions.extend(links::link(servers, keys, &new_links, terms).await?);
        // After the links, since a user who comes without a session is looked up among them.
        sessions.extend(links::resolve(servers, keys, &users, terms).await?);
        add(servers, keys, &sessions, terms.ttl).await
    };
    match written.await {
        Ok(()) => {
            recent.noted(&news, losses);
            recent.noted_links(&new_links, generation, losses);
            Ok(())
        }
        Err(error) => {
            // Nobody knows which part of it arrived.
            recent.forget();
            Err(error)
        }
    }
}

/// Adds sightings to the sorted sets. A set that nobody touches for `ttl` ms goes away.
async fn add(
    servers: &Servers,
    keys: &RedisKeys,
    seen: &[(Visitor, Millis)],
    ttl: Millis,
) -> Result<(), SinkError> {
    if seen.is_empty() {
        return Ok(());
    }
    let mut shards: Vec<Vec<(Visitor, Millis)>> = vec![Vec::new(); ACTIVE_SHARDS];
    for &(visitor, at) in seen {
        shards[active_shard(visitor)].push((visitor, at));
    }
    let write = async |connection: Connection| {
        let shards = shards.iter().enumerate().filter(|(_, seen)| !seen.is_empty());
        try_join_all(shards.map(|(shard, seen)| {
            let (key, mut connection) = (keys.active(shard), connection.clone());
            async move {
                for chunk in seen.chunks(CHUNK) {
                    let mut note = redis::pipe();
                    // With GT, an older sighting that arrives late changes nothing.
                    note.cmd("ZADD").arg(&key).arg("GT");
                    for (visitor, at) in chunk {
                        note.arg(at).arg(&visitor.to_be_bytes()[..]);
                    }
                    note.cmd("PEXPIRE").arg(&key).arg(ttl);
                    note.exec_async(&mut connection).await?;
                }
                Ok(())
            }
        }))
        .await
    };
    servers.run("note active visitors", write).await.map(drop)
}

/// Forgets visitors that were last seen before `since` (Unix ms), and counts the others.
pub(super) async fn count(
    servers: &Servers,
    keys: &RedisKeys,
    since: Millis,
) -> Result<u64, SinkError> {
    let read = async |connection: Connection| {
        try_join_all((0..ACTIVE_SHARDS).map(|shard| {
            let (key, mut connection) = (keys.active(shard), connection.clone());
            async move {
                redis::cmd("ZREMRANGEBYSCORE")
                    .arg(&key)
                    .arg("-inf")
                    .arg(format!("({since}"))
                    .exec_async(&mut connection)
                    .await?;
                redis::cmd("ZCARD").arg(&key).query_async::<u64>(&mut connection).await
            }
        }))
        .await
    };
    let counts = servers.run("count active visitors", read).await?;
    Ok(counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_second_is_news_once() {
        let recent = RecentVisitors::within(u64::MAX);
        let (news, losses) = recent.news(&[(1, 5_100), (2, 5_900)]);
        assert_eq!(news.len(), 2);
        recent.noted(&news, losses);
        let of = |visitors: &[(Visitor, Millis)]| recent.news(visitors).0;
        // A sighting later in the same second, or in an earlier second, changes the count of no
        // window.
        assert_eq!(of(&[(1, 5_999), (2, 5_000), (2, 900), (3, 5_000)]), [(3, 5_000)]);
        assert_eq!(of(&[(1, 6_000)]), [(1, 6_000)]);
        recent.forget();
        assert_eq!(of(&[(1, 5_100)]), [(1, 5_100)]);
    }

    #[test]
    fn what_was_sent_before_a_loss_is_not_known_after_it() {
        let recent = RecentVisitors::within(u64::MAX);
        let (news, losses) = recent.news(&[(1, 5_000)]);
        recent.forget();
        recent.noted(&news, losses);
        assert_eq!(recent.news(&[(1, 5_000)]).0.len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let recent = RecentVisitors::within(u64::MAX);
        for visitor in 0..3 * MAX_RECENT as u128 {
            recent.noted(&[(visitor, 5_000)], 0);
        }
        let known = recent.generations.lock();
        assert!(known.now.len() <= MAX_RECENT && known.before.len() <= MAX_RECENT);
    }

    proptest! {
        /// Every window that begins at a full second counts the same with the filter as without it.
        #[test]
        fn counts_are_those_without_it(
            seen in proptest::collection::vec((0..6u128, 0..9_000i64), 1..60),
        ) {
            let recent = RecentVisitors::within(u64::MAX);
            let (mut all, mut sent) = (HashMap::new(), HashMap::new());
            let add = |set: &mut HashMap<Visitor, Millis>, (visitor, at): (Visitor, Millis)| {
                let last = set.entry(visitor).or_insert(at);
                *last = at.max(*last);
            };
            for sighting in seen {
                add(&mut all, sighting);
                let (news, losses) = recent.news(&[sighting]);
                news.iter().for_each(|&news| add(&mut sent, news));
                recent.noted(&news, losses);
            }
            for since in (0..10_000).step_by(SECOND as usize) {
                let count = |set: &HashMap<Visitor, Millis>| {
                    set.values().filter(|at| **at >= since).count()
                };
                prop_assert_eq!(count(&all), count(&sent));
            }
        }
    }
}
