//! The values that distinct metrics saw, over all nodes. Each day and metric has a set in each of
//! the [`ACTIVE_SHARDS`] hash tags. Once a set is full, a HyperLogLog takes its place. A value is
//! always in the same shard, so the counts of the shards add up.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::civil::Date;

use super::{
    connection::Connection,
    keys::{ACTIVE_SHARDS, RedisKeys},
    script,
    servers::Servers,
};
use crate::{
    domain::{
        delta::Delta,
        time::{BusinessZone, DAY, SECOND, now_ms},
    },
    live::distinct::EXACT,
    sink::SinkError,
};

/// How long a day's values stay after the last was noted, in seconds.
const TTL: i64 = 3 * DAY / SECOND;

/// Notes the values in a delta. To note them twice changes nothing.
pub(super) async fn note(
    servers: &Servers,
    keys: &RedisKeys,
    zone: &BusinessZone,
    delta: &Delta,
) -> Result<(), SinkError> {
    let mut noted: BTreeMap<(usize, Date, &str), Vec<u64>> = BTreeMap::new();
    // Of earlier days nobody asks here, and an import of a year would leave a set of each of its days.
    let since = now_ms() - 2 * DAY;
    for (at, metric, hash) in delta.distinct().filter(|(at, ..)| *at >= since) {
        let shard = (hash % ACTIVE_SHARDS as u64) as usize;
        noted.entry((shard, zone.day_of(at).date, metric)).or_default().push(hash);
    }
    if noted.is_empty() {
        return Ok(());
    }
    let write = async |connection: Connection| {
        try_join_all(noted.iter().map(|((shard, day, metric), hashes)| {
            let mut connection = connection.clone();
            async move {
                let (set, hll) = keys.distinct(*shard, *day, metric);
                let number = |n: i64| n.to_string().into_bytes();
                let mut args = vec![number((EXACT / ACTIVE_SHARDS) as i64), number(TTL)];
                args.extend(hashes.iter().map(|hash| hash.to_be_bytes().to_vec()));
                script::DISTINCT.call::<()>(&mut connection, &[set, hll], &args).await
            }
        }))
        .await
    };
    servers.run("note distinct values", write).await?;
    Ok(())
}

/// Counts the values of each metric on a day.
pub(super) async fn counts(
    servers: &Servers,
    keys: &RedisKeys,
    metrics: &[String],
    day: Date,
) -> Result<BTreeMap<String, u64>, SinkError> {
    let read = async |connection: Connection| {
        let one = |metric: &String, shard: usize| {
            let (set, hll) = keys.distinct(shard, day, metric);
            let mut connection = connection.clone();
            async move {
                // A shard has the set or the HyperLogLog. The other is missing, and counts 0.
                let exact: u64 = redis::cmd("SCARD").arg(set).query_async(&mut connection).await?;
                let more: u64 = redis::cmd("PFCOUNT").arg(hll).query_async(&mut connection).await?;
                Ok::<u64, redis::RedisError>(exact + more)
            }
        };
        let all = metrics.iter().map(|metric| {
            let shards = try_join_all((0..ACTIVE_SHARDS).map(|shard| one(metric, shard)));
            async move { Ok::<_, redis::RedisError>((metric.clone(), shards.await?.iter().sum())) }
        });
        Ok(try_join_all(all).await?.into_iter().collect())
    };
    servers.run("count distinct values", read).await
}
