//! Which session a user was last seen with, over all nodes: a user who is then seen without a session is
//! that visitor, and no other.
//!
//! A link is a field of a hash under the tag of its user, beside the sorted set in which the user would be.
//! So one step of a script looks for the link and notes the user, or notes the link and takes the user out of
//! the set. What it gives back are sightings of sessions, which are under tags of their own.
//!
//! A hash has the links of one generation ([`LINKS_KEPT`]), and the one before is looked at as well.

use futures_util::future::try_join_all;
use hashbrown::HashMap;

use super::{
    connection::Connection,
    keys::{ACTIVE_SHARDS, RedisKeys, active_shard},
    script::{self, Script},
    servers::Servers,
};
use crate::{
    domain::{
        delta::{UserLink, Visitor},
        time::{Millis, now_ms},
    },
    live::links::LINKS_KEPT,
    sink::SinkError,
};

/// Users in one call of a script.
const CHUNK: usize = 1000;

/// How long things stay, in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct VisitorTerms {
    /// How long a visitor is active.
    pub window: Millis,
    /// How long a set of active visitors stays that nobody touches.
    pub ttl: Millis,
}

impl VisitorTerms {
    /// How long a generation takes links in.
    fn kept(self) -> Millis {
        LINKS_KEPT.max(self.window)
    }

    /// The generation of links now.
    pub(super) fn generation(self) -> i64 {
        now_ms().div_euclid(self.kept())
    }

    /// How long a hash of links stays after the last write: for the generation after its own, and some
    /// more, since the clocks of nodes differ.
    fn links_ttl(self) -> Millis {
        3 * self.kept()
    }
}

/// The links that Redis is known to have from this node, of one generation.
#[derive(Debug, Default)]
pub(super) struct RecentLinks {
    generation: i64,
    sessions: HashMap<Visitor, Visitor>,
}

impl RecentLinks {
    /// The links that Redis is not known to have.
    pub(super) fn news(&self, links: &[UserLink], generation: i64) -> Vec<UserLink> {
        let is_news = |link: &&UserLink| {
            self.generation != generation || self.sessions.get(&link.user) != Some(&link.session)
        };
        links.iter().filter(is_news).copied().collect()
    }

    /// Notes that Redis has these, `most` of them.
    pub(super) fn noted(&mut self, links: &[UserLink], generation: i64, most: usize) {
        if self.generation != generation || self.sessions.len() + links.len() > most {
            *self = RecentLinks { generation, sessions: HashMap::new() };
        }
        let taken = links.iter().take(most);
        self.sessions.extend(taken.map(|link| (link.user, link.session)));
    }
}

/// Notes links, and takes their users out of the active ones. Gives the sightings of the users' sessions
/// that come of it.
pub(super) async fn link(
    servers: &Servers,
    keys: &RedisKeys,
    links: &[UserLink],
    terms: VisitorTerms,
) -> Result<Vec<(Visitor, Millis)>, SinkError> {
    let pairs = links.iter().map(|link| (link.user, link.session.to_be_bytes().to_vec()));
    call(servers, keys, &script::LINK, pairs, terms).await
}

/// Notes users who were seen without a session (with the time, Unix ms). Those of whom a session is known
/// are not noted: the sightings of their sessions are given back.
pub(super) async fn resolve(
    servers: &Servers,
    keys: &RedisKeys,
    users: &[(Visitor, Millis)],
    terms: VisitorTerms,
) -> Result<Vec<(Visitor, Millis)>, SinkError> {
    let pairs = users.iter().map(|(user, at)| (*user, at.to_string().into_bytes()));
    call(servers, keys, &script::SEEN, pairs, terms).await
}

/// Calls a script for users and what belongs to each, shard by shard.
async fn call(
    servers: &Servers,
    keys: &RedisKeys,
    script: &'static Script,
    pairs: impl Iterator<Item = (Visitor, Vec<u8>)>,
    terms: VisitorTerms,
) -> Result<Vec<(Visitor, Millis)>, SinkError> {
    let mut shards: Vec<Vec<[Vec<u8>; 2]>> = vec![Vec::new(); ACTIVE_SHARDS];
    for (user, belongs) in pairs {
        shards[active_shard(user)].push([user.to_be_bytes().to_vec(), belongs]);
    }
    if shards.iter().all(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let generation = terms.generation();
    let times = [terms.ttl, terms.links_ttl()].map(|ms| ms.to_string().into_bytes());
    let write = async |connection: Connection| {
        let chunks = shards
            .iter()
            .enumerate()
            .flat_map(|(shard, pairs)| pairs.chunks(CHUNK).map(move |chunk| (shard, chunk)));
        try_join_all(chunks.map(|(shard, chunk)| {
            let names = [
                keys.active(shard),
                keys.links(shard, generation),
                keys.links(shard, generation - 1),
            ];
            let args: Vec<Vec<u8>> = times.iter().chain(chunk.iter().flatten()).cloned().collect();
            let mut connection = connection.clone();
            async move { script.call::<Vec<Vec<u8>>>(&mut connection, &names, &args).await }
        }))
        .await
    };
    let answers = servers.run("note the sessions of users", write).await?;
    // The script gives a session and a time, one after the other, and each is as we have written it.
    let sighting = |pair: &[Vec<u8>]| {
        let session = Visitor::from_be_bytes(pair[0].as_slice().try_into().ok()?);
        let at: f64 = std::str::from_utf8(&pair[1]).ok()?.parse().ok()?;
        Some((session, at as Millis))
    };
    Ok(answers.iter().flat_map(|answer| answer.chunks_exact(2).filter_map(sighting)).collect())
}
