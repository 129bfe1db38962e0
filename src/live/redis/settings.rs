//! Reads the settings of the servers that decide whether the live numbers are right, for
//! `floodmark check`.

use std::{collections::BTreeSet, sync::Arc};

use redis::aio::MultiplexedConnection;

use super::{
    error::live_error, keys::RedisKeys, owner::Owner, push::push_queue, script, servers::Servers,
};
use crate::{
    config::Config,
    domain::{
        batch::RunId,
        time::{clock_apart, now_ms},
    },
    sink::{Installation, Looked, SinkError},
};

/// Less than this (bytes) is too little for what a subscriber may have waiting: a second of full
/// batches is as much.
const LEAST_PUBSUB_LIMIT: u64 = 8 << 20;

/// The version of Redis, and what there is to say about its settings: each thing that should be changed
/// or could not be looked at, with what to do. No doubts where all is well.
///
/// # Errors
/// A server can't be reached, is too old, takes no writes, or does not let us subscribe.
pub(in crate::live) async fn doubts(
    config: &Config,
    installation: Arc<Installation>,
) -> Result<Looked, SinkError> {
    let other = |message| SinkError { kind: crate::sink::SinkErrorKind::Other, message };
    let servers = Servers::new(&config.redis).map_err(other)?;
    let keys = RedisKeys::new(&config.redis.prefix).map_err(other)?;
    let channels: Vec<String> = keys.lanes().map(|lane| lane.channel()).collect();
    // Nobody reads what is published meanwhile.
    let (pushes, _unread) = push_queue();
    let mut doubts = BTreeSet::new();
    let owners = servers.owners(&channels, Some(&pushes)).await?;
    for ((lane, channel), mut line) in keys.lanes().zip(&channels).zip(owners) {
        let subscribed = redis::cmd("SSUBSCRIBE").arg(channel).exec_async(&mut line).await;
        subscribed.map_err(|e| live_error("subscribe to the deltas", &e))?;
        // Before anything is tried there: nothing is written to what is another shop's.
        let owner: redis::RedisResult<Option<String>> =
            redis::cmd("HGET").arg(lane.meta()).arg("installation").query_async(&mut line).await;
        let owner = owner.map_err(|e| live_error("ask whose the counters are", &e))?;
        Owner::new(installation.clone()).judge(owner.as_deref())?;
        // The script reads, and Redis refuses it in every state in which it would refuse a write.
        let (names, nobody) =
            ([lane.meta(), lane.guards()], [RunId::nil().to_string().into_bytes()]);
        let head = script::HEAD.call::<i64>(&mut line, &names, &nobody);
        if head.await.map_err(|e| live_error("read the guards", &e))? < 0 {
            doubts
                .insert("it is new or was emptied: the server fills it from the ledger".to_owned());
        }
        let tried = [lane.trial(), format!("{}:to", lane.trial())];
        let channel = [lane.trial().into_bytes()];
        let tried = script::RIGHTS.call::<i64>(&mut line, &tried, &channel);
        tried.await.map_err(|e| live_error("try all commands that counting needs", &e))?;
        doubts.extend(limits(&mut line).await);
    }
    doubts.extend(clock(&servers).await);
    let version = version(&servers).await.unwrap_or_default();
    Ok(Looked { version, doubts: doubts.into_iter().collect() })
}

/// The version of the server; of a cluster, that of one of its servers.
async fn version(servers: &Servers) -> Option<String> {
    let ask = async |mut line: super::connection::Connection| {
        redis::cmd("INFO").arg("server").query_async::<redis::InfoDict>(&mut line).await
    };
    servers.run("ask for the version", ask).await.ok()?.get("redis_version")
}

/// What there is to say about the clock, where this user may ask for it: a lease and the age of visitors
/// are in its time.
async fn clock(servers: &Servers) -> Option<String> {
    let ask = async |mut line: super::connection::Connection| {
        redis::cmd("TIME").query_async::<(i64, i64)>(&mut line).await
    };
    let asked_at = now_ms();
    let (seconds, micros) = servers.run("ask for the time", ask).await.ok()?;
    let apart = clock_apart(seconds * 1000 + micros / 1000 - (asked_at + now_ms()) / 2)?;
    Some(format!("its clock is {apart} that of this machine: set both by NTP"))
}

/// What there is to say about the limits of one server.
async fn limits(line: &mut MultiplexedConnection) -> Vec<String> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("client-output-buffer-limit").arg("maxmemory").arg("maxmemory-policy");
    let asked: redis::RedisResult<std::collections::BTreeMap<String, String>> =
        ask.query_async(line).await;
    let Ok(told) = asked else {
        return vec![
            "this user may not ask CONFIG GET, so the limits were not looked at: \
             maxmemory-policy has to be noeviction, and client-output-buffer-limit pubsub \
             32mb 8mb 60 (the default) or more"
                .to_owned(),
        ];
    };
    let of = |name: &str| told.get(name).map_or("", String::as_str);
    let mut doubts = Vec::new();
    let policy = of("maxmemory-policy");
    if policy != "noeviction" {
        let now = if of("maxmemory") == "0" { " once maxmemory is set" } else { "" };
        doubts.push(format!(
            "maxmemory-policy is {policy}: Redis may evict counters{now}, which makes the live \
             numbers wrong without any error; set maxmemory-policy noeviction"
        ));
    }
    let limit = pubsub_limit(of("client-output-buffer-limit"));
    if limit.is_some_and(|limit| limit < LEAST_PUBSUB_LIMIT) {
        doubts.push(format!(
            "client-output-buffer-limit pubsub is {} bytes: Redis may cut off nodes that follow the \
             counters; set it to 32mb 8mb 60 (the default) or more",
            limit.unwrap_or_default()
        ));
    }
    doubts
}

/// The lower of the two limits for subscribers, in bytes; `None` where there is none.
/// `client-output-buffer-limit` reads `normal 0 0 0 slave … pubsub HARD SOFT SECONDS`.
fn pubsub_limit(limits: &str) -> Option<u64> {
    let mut words = limits.split_whitespace().skip_while(|word| *word != "pubsub").skip(1);
    let both = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
    both.into_iter().filter(|limit| *limit > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_of_subscribers_counts() {
        let limits =
            |pubsub: &str| format!("normal 0 0 0 slave 268435456 67108864 60 pubsub {pubsub}");
        assert_eq!(pubsub_limit(&limits("33554432 8388608 60")), Some(8 << 20));
        assert_eq!(pubsub_limit(&limits("0 1024 60")), Some(1024));
        assert_eq!(pubsub_limit(&limits("0 0 0")), None);
    }
}
