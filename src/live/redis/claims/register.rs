//! How a run of a node registers: it tells Redis which ids it has, and again whenever Redis may have
//! lost some of them.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;

use super::{Claims, DEDUPE, every_shard, sharded};
use crate::{
    domain::ids::KnownIds,
    live::redis::{
        connection::Connection,
        keys::ID_SHARDS,
        script::{self, Script},
    },
    retry::Backoff,
    sink::SinkError,
};

/// How many ids are told to Redis at once while a node registers.
const PAGE: usize = 2000;

/// How long (ms) nothing is claimed on a server that may lack the last ids, while a node that was
/// registered there does not tell them again.
pub(super) const OWING_MS: u64 = 5_000;

/// How often a node looks whether Redis still knows its run.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Claims {
    /// Tells Redis every id on this node's disk, then that this run may claim, and does both again
    /// whenever Redis has forgotten. It runs as long as the node does.
    pub async fn register(self: Arc<Self>, known: impl KnownIds) {
        let mut backoff = Backoff::new(&self.retry);
        loop {
            match self.try_register(&known).await {
                Ok(ids) => {
                    backoff.reset();
                    self.health.well(DEDUPE);
                    tracing::info!(ids, "Redis knows the ids of this node");
                    self.until_unregistered().await;
                }
                Err(e) => {
                    self.trouble(&e);
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Waits until Redis does not know this run any more.
    async fn until_unregistered(&self) {
        loop {
            let told = tokio::time::timeout(LOOK_AGAIN, self.unregistered.notified()).await;
            self.under_way.lock().retain(|_, ids| ids.strong_count() > 0);
            // A Redis that can't be asked now is asked again. Requests report the outage.
            let states = self.try_claim(&self.nothing(), &every_shard()).await;
            if told.is_ok() || states.is_ok_and(|states| states.contains(&vec![-1])) {
                return;
            }
        }
    }

    /// The ids first, the registration last: whoever sees the registration takes every claim of
    /// an earlier run for lost, so no id on the disk may be missing by then.
    async fn try_register(&self, known: &impl KnownIds) -> Result<u64, SinkError> {
        // The scripts first: should a server restart while it is told the ids, its successor does
        // not know them, and is told all of it again.
        let prepare = async |connection: Connection| {
            try_join_all((0..ID_SHARDS).map(|shard| self.prepare(connection.clone(), shard))).await
        };
        self.servers.run("register for ids", prepare).await?;
        let (mut from, mut told) = (0, 0);
        while let Some((ids, next)) = known.page(from, PAGE).await {
            self.tell(&ids).await?;
            self.still_owing().await?;
            (from, told) = (next, told + ids.len() as u64);
        }
        let under_way: Vec<_> =
            self.under_way.lock().iter().map(|(n, ids)| (*n, ids.clone())).collect();
        for (request, ids) in under_way {
            if let Some(ids) = ids.upgrade() {
                self.claim_again(request, &ids).await?;
            }
        }
        let everywhere = async |connection: Connection| {
            try_join_all((0..ID_SHARDS).map(|shard| {
                let mut connection = connection.clone();
                async move {
                    let node = self.node.to_string();
                    let mut set = redis::cmd("HSET");
                    set.arg(self.keys.id_nodes(shard)).arg(&node).arg(&self.run);
                    set.exec_async(&mut connection).await?;
                    let mut paid = redis::cmd("HDEL");
                    paid.arg(self.keys.id_owing(shard)).arg(node);
                    paid.exec_async(&mut connection).await
                }
            }))
            .await
        };
        self.servers.run("register for ids", everywhere).await?;
        Ok(told)
    }

    /// Lets the server of a shard know the script of this run. Where the server is new to all
    /// nodes, all of them owe it their ids from now on.
    async fn prepare(&self, mut connection: Connection, shard: usize) -> redis::RedisResult<()> {
        let (nodes, owing) = (self.keys.id_nodes(shard), self.keys.id_owing(shard));
        let owe = Script::owe(&nodes);
        let args = |state: &str| vec![state.as_bytes().to_vec(), OWING_MS.to_string().into_bytes()];
        let keys = [nodes.clone(), owing.clone()];
        if owe.call_known::<i64>(&mut connection, &keys, &args("known")).await?.is_none() {
            owe.call::<i64>(&mut connection, &keys, &args("new")).await?;
        }
        let nothing = self.nothing();
        let keys = [nodes, self.given_up(shard, nothing.request), owing];
        let args = self.owner(nothing.request, &[]);
        self.script.call::<Vec<i8>>(&mut connection, &keys, &args).await.map(drop)
    }

    /// Says that this node is still telling its ids, so that the others wait.
    async fn still_owing(&self) -> Result<(), SinkError> {
        let everywhere = async |connection: Connection| {
            try_join_all((0..ID_SHARDS).map(|shard| {
                let mut connection = connection.clone();
                let mut wait = redis::cmd("PEXPIRE");
                wait.arg(self.keys.id_owing(shard)).arg(OWING_MS);
                async move { wait.exec_async(&mut connection).await }
            }))
            .await
        };
        self.servers.run("register for ids", everywhere).await.map(drop)
    }

    /// Claims once more what a request had claimed before the server lost it. An id that is kept, or
    /// claimed, stays as it is.
    async fn claim_again(&self, request: u64, ids: &[String]) -> Result<(), SinkError> {
        let args = &self.owner(request, ids);
        let sharded = sharded(ids.iter().map(String::as_str));
        let claim = async |connection: Connection| {
            try_join_all(sharded.iter().map(|(shard, places)| {
                let mut connection = connection.clone();
                let mut keys = vec![self.given_up(*shard, request)];
                keys.extend(places.iter().map(|at| self.keys.id(*shard, &ids[*at])));
                async move { script::RECLAIM.call::<u64>(&mut connection, &keys, args).await }
            }))
            .await
        };
        self.servers.run("claim ids again", claim).await.map(drop)
    }
}
