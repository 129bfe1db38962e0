//! Active visitors over all nodes, exactly: sorted sets of 16-byte members scored by the
//! time last seen, spread over [`ACTIVE_SHARDS`] hash tags so that a cluster shares the
//! load.

use futures_util::future::try_join_all;

use super::{
    keys::{ACTIVE_SHARDS, Keys, active_shard},
    servers::Servers,
};
use crate::{
    domain::{delta::Visitor, time::Millis},
    live::LiveError,
};

/// Visitors in one command.
const CHUNK: usize = 4096;

/// Notes visitors; `ttl` (ms) is how long an untouched set stays.
pub(super) async fn touch(
    servers: &Servers,
    keys: &Keys,
    visitors: &[(Visitor, Millis)],
    ttl: Millis,
) -> Result<(), LiveError> {
    let mut shards: Vec<Vec<(Visitor, Millis)>> = vec![Vec::new(); ACTIVE_SHARDS];
    for &(visitor, at) in visitors {
        shards[active_shard(visitor)].push((visitor, at));
    }
    let write = async |connection: super::servers::Connection| {
        let shards = shards.iter().enumerate().filter(|(_, seen)| !seen.is_empty());
        try_join_all(shards.map(|(shard, seen)| {
            let (key, mut connection) = (keys.active(shard), connection.clone());
            async move {
                for chunk in seen.chunks(CHUNK) {
                    let mut zadd = redis::cmd("ZADD");
                    // GT: an older sighting that arrives late changes nothing.
                    zadd.arg(&key).arg("GT");
                    for (visitor, at) in chunk {
                        zadd.arg(at).arg(&visitor.to_be_bytes()[..]);
                    }
                    zadd.exec_async(&mut connection).await?;
                }
                redis::cmd("PEXPIRE").arg(&key).arg(ttl).exec_async(&mut connection).await
            }
        }))
        .await
    };
    servers.run("note active visitors", write).await?;
    Ok(())
}

/// Forgets who was last seen before `since`, counts the others.
pub(super) async fn count(servers: &Servers, keys: &Keys, since: Millis) -> Result<u64, LiveError> {
    let read = async |connection: super::servers::Connection| {
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
