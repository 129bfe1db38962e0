//! The connections to Redis, which is one server or a cluster. Which of the two it is shows at the
//! first connection.
//!
//! Commands go through one shared connection. It is made when it is needed and replaced when it
//! fails. In a cluster it is the client library's own, which follows MOVED and ASK. The feed has
//! connections of its own ([`Servers::owners`]), one to each server that owns a lane.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::seq::SliceRandom;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates,
    Value, aio::MultiplexedConnection, cluster::ClusterClientBuilder,
};

use super::{
    connection::{Connection, Line},
    error::{connect_error, live_error, unavailable},
    push::PushSender,
    seeds::Seeds,
    slots::{self, Slots},
};
use crate::{
    config,
    sink::{SinkError, SinkErrorKind},
};

/// The oldest Redis that has sharded pub/sub and script flags.
const MIN_MAJOR_VERSION: u64 = 7;
/// How old the connection to a cluster must be before an error replaces it. The client library
/// mends its connections itself, and a new one would have to find the cluster again.
const CLUSTER_MENDS: Duration = Duration::from_secs(3);

/// The servers of `redis.urls`.
pub(super) struct Servers {
    seeds: Vec<ConnectionInfo>,
    /// The CA of `redis.tls_ca`; the seeds have it too.
    certificates: Option<TlsCertificates>,
    /// Whether they are a cluster. Known from the first answer on.
    cluster: OnceLock<bool>,
    /// The cluster's servers as they were last seen: a way in when all seeds are gone.
    known: Mutex<Vec<ConnectionInfo>>,
    /// The shared connection for commands. The lock is held while a new one is made, so that all
    /// who need one wait for the same.
    current: tokio::sync::Mutex<Option<Connection>>,
    /// The id of the next connection.
    connections: AtomicU64,
    /// Whether a server was asked if it may evict counters; one warning is enough.
    eviction_looked_at: AtomicBool,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Servers {
    /// Reads the URLs; connects to nothing yet.
    pub(super) fn new(config: &config::RedisConfig) -> Result<Servers, String> {
        let Seeds { seeds, certificates } = Seeds::read(config)?;
        Ok(Servers {
            seeds,
            certificates,
            cluster: OnceLock::new(),
            known: Mutex::default(),
            current: tokio::sync::Mutex::default(),
            connections: AtomicU64::new(0),
            eviction_looked_at: AtomicBool::new(false),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            response_timeout: Duration::from_millis(config.response_timeout_ms),
        })
    }

    /// How long a cheap command may take before its connection counts as dead.
    pub(super) fn probe_timeout(&self) -> Duration {
        self.connect_timeout.min(self.response_timeout)
    }

    /// Runs commands on the shared connection. `doing` says for the message of an error what was
    /// being done. A connection that has failed is replaced before the next call.
    pub(super) async fn run<T>(
        &self,
        doing: &str,
        commands: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, SinkError> {
        let connection = self.connection().await?;
        let (id, since) = (connection.id, connection.since);
        let is_cluster = matches!(connection.line, Line::Cluster(_));
        match commands(connection).await {
            Ok(answer) => Ok(answer),
            Err(e) => {
                let error = live_error(doing, &e);
                let broken = match is_cluster {
                    true => {
                        error.kind == SinkErrorKind::Unavailable && since.elapsed() > CLUSTER_MENDS
                    }
                    false => e.is_unrecoverable_error() || e.is_timeout(),
                };
                // A replica, or a server that refuses the login, may be about to be replaced by
                // another server behind the same name, which only a new connection reaches.
                if broken || matches!(error.kind, SinkErrorKind::ReadOnly | SinkErrorKind::Denied) {
                    let mut current = self.current.lock().await;
                    // Another caller may have replaced it already.
                    if current.as_ref().is_some_and(|current| current.id == id) {
                        *current = None;
                    }
                }
                Err(error)
            }
        }
    }

    /// The shared connection, made where there is none.
    async fn connection(&self) -> Result<Connection, SinkError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let line = match self.is_cluster().await? {
            false => Line::Single(self.connect(&self.seeds[0], None).await?.0),
            true => {
                let mut client = ClusterClientBuilder::new(self.ways_in());
                if let Some(certificates) = &self.certificates {
                    client = client.certs(certificates.clone());
                }
                let client = client
                    .connection_timeout(self.connect_timeout)
                    .response_timeout(self.response_timeout)
                    .overall_response_timeout(Some(self.response_timeout))
                    .retries(4)
                    .max_retry_wait(500)
                    .build();
                let connect = async { client?.get_async_connection().await };
                let line = connect.await;
                Line::Cluster(line.map_err(|e| live_error("connect to the Redis Cluster", &e))?)
            }
        };
        metrics::counter!("floodmark_redis_connects_total").increment(1);
        let connection = Connection {
            id: self.connections.fetch_add(1, Ordering::Relaxed),
            since: Instant::now(),
            line,
        };
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Seeds and known servers, each once. Their order is random, so that not every node asks the
    /// same server and a dead one is not always tried first.
    fn ways_in(&self) -> Vec<ConnectionInfo> {
        let mut all = self.seeds.clone();
        for known in self.known.lock().iter() {
            if all.iter().all(|seed| seed.addr() != known.addr()) {
                all.push(known.clone());
            }
        }
        all.shuffle(&mut rand::rng());
        all
    }

    /// Whether the servers are a cluster. Asks one of them where that is not known yet.
    async fn is_cluster(&self) -> Result<bool, SinkError> {
        if let Some(known) = self.cluster.get() {
            return Ok(*known);
        }
        let mut failed = None;
        for seed in self.ways_in() {
            match self.connect(&seed, None).await {
                Ok((_, is_cluster)) if is_cluster || self.seeds.len() == 1 => {
                    return Ok(*self.cluster.get_or_init(|| is_cluster));
                }
                Ok(_) => {
                    return Err(SinkError {
                        kind: SinkErrorKind::Other,
                        message: format!(
                            "redis.urls has several servers, which means a Redis Cluster, but \
                             {} is not part of one; give one URL for a single server",
                            seed.addr()
                        ),
                    });
                }
                Err(e) => failed = Some(e),
            }
        }
        Err(failed.unwrap_or_else(|| unavailable("redis.urls is empty")))
    }

    /// Connects to one server, looks at its version, and says whether it is part of a cluster.
    /// With `pushes`, what the server publishes goes there. What has no room is dropped; the
    /// versions of the messages show that something is missing.
    async fn connect(
        &self,
        info: &ConnectionInfo,
        pushes: Option<PushSender>,
    ) -> Result<(MultiplexedConnection, bool), SinkError> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout));
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push| pushes.send(push));
        }
        let doing = format!("connect to Redis at {}", info.addr());
        let connect = async {
            let client = Client::open(info.clone())?;
            let mut line = client.get_multiplexed_async_connection_with_config(&config).await?;
            let hello: std::collections::HashMap<String, Value> =
                redis::cmd("HELLO").query_async(&mut line).await?;
            Ok((line, hello))
        };
        let with_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let (mut line, hello) =
            connect.await.map_err(|e| connect_error(live_error(&doing, &e), &e, with_tls))?;
        let text = |field: &str| match hello.get(field) {
            Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            _ => String::new(),
        };
        let version = text("version");
        let major = version.split('.').next().and_then(|v| v.parse().ok());
        if major.is_some_and(|major: u64| major < MIN_MAJOR_VERSION) {
            return Err(SinkError {
                kind: SinkErrorKind::Other,
                message: format!(
                    "Redis at {} is version {version}; Floodmark needs {MIN_MAJOR_VERSION}.0 or newer",
                    info.addr()
                ),
            });
        }
        self.warn_of_eviction(&mut line, info).await;
        Ok((line, text("mode") == "cluster"))
    }

    /// Warns once if a server may throw counters away when its memory is full. Where the user is
    /// not allowed to ask, there is no warning.
    async fn warn_of_eviction(&self, line: &mut MultiplexedConnection, info: &ConnectionInfo) {
        if self.eviction_looked_at.swap(true, Ordering::Relaxed) {
            return;
        }
        let asked = redis::cmd("INFO").arg("memory").query_async(line).await;
        let memory: String = asked.unwrap_or_default();
        let of = |field: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap_or_default().trim().to_owned()
        };
        let (limit, policy) = (of("maxmemory:"), of("maxmemory_policy:"));
        if !matches!(&limit[..], "" | "0") && !matches!(&policy[..], "" | "noeviction") {
            tracing::warn!(
                server = %info.addr(), limit, policy,
                "Redis may evict counters, which makes the live numbers wrong without any error; \
                 set maxmemory-policy noeviction"
            );
        }
    }

    /// Connects to the server that owns each of `keys`, and returns the connections in the order
    /// of the keys. A server that owns several keys has one connection. With `pushes`, what the
    /// servers publish goes there.
    pub(super) async fn owners(
        &self,
        keys: &[String],
        pushes: Option<&PushSender>,
    ) -> Result<Vec<MultiplexedConnection>, SinkError> {
        if !self.is_cluster().await? {
            let (line, _) = self.connect(&self.seeds[0], pushes.cloned()).await?;
            return Ok(vec![line; keys.len()]);
        }
        let mut failed = unavailable("redis.urls is empty");
        // Any server of the cluster knows the owners, so the first that answers is enough.
        for way_in in self.ways_in() {
            let addresses = match self.addresses(&way_in, keys).await {
                Ok(addresses) => addresses,
                Err(e) => {
                    failed = e;
                    continue;
                }
            };
            let mut open: Vec<(ConnectionAddr, MultiplexedConnection)> = Vec::new();
            let mut owners = Vec::new();
            for address in addresses {
                let line = match open.iter().find(|(known, _)| *known == address) {
                    Some((_, line)) => line.clone(),
                    None => {
                        let info = way_in.clone().set_addr(address.clone());
                        let (line, _) = self.connect(&info, pushes.cloned()).await?;
                        open.push((address, line.clone()));
                        line
                    }
                };
                owners.push(line);
            }
            return Ok(owners);
        }
        Err(failed)
    }

    /// Asks one server of the cluster which servers own `keys`.
    async fn addresses(
        &self,
        way_in: &ConnectionInfo,
        keys: &[String],
    ) -> Result<Vec<ConnectionAddr>, SinkError> {
        let doing = format!("read the cluster's slots from {}", way_in.addr());
        let (mut line, _) = self.connect(way_in, None).await?;
        let asked = async {
            let slots = Slots::ask(&mut line, way_in.addr()).await?;
            let mut wanted = Vec::new();
            for key in keys {
                wanted.push(slots::of_key(&mut line, key).await?);
            }
            Ok((slots, wanted))
        };
        let (slots, wanted) = asked.await.map_err(|e| live_error(&doing, &e))?;
        let servers = slots.owners().map(|address| way_in.clone().set_addr(address.clone()));
        *self.known.lock() = servers.collect();
        let owner = |slot: &u16| {
            let nobody = || unavailable(format!("{doing}: nobody owns slot {slot}"));
            slots.owner(*slot).cloned().ok_or_else(nobody)
        };
        wanted.iter().map(owner).collect()
    }
}
