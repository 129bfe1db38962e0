//! The sections of the configuration, in the order of `config/default.toml`. A field is the key
//! of the same name; names ending in `_ms` are milliseconds, in `_s` seconds, in `_bytes` bytes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::Severity,
    consent::ConsentRules,
    privacy::{Addresses, Privacy},
    shape::{DriftRule, SchemaLimits},
};

/// `[postgres]`: where PostgreSQL is and how long it may take.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Connection URL; empty: SQLite in the data dir.
    pub url: String,
    /// Connection URL of a replica that charts are read from; empty: none.
    pub read_url: String,
    /// A replica on which the newest sign of life is older is not read from.
    pub read_max_lag_ms: u64,
    /// How long connecting to one host may take.
    pub connect_timeout_ms: u64,
    /// How long one statement may take before the server cancels it.
    pub statement_timeout_ms: u64,
}

/// `[redis]`: where Redis is and how long it may take.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Addresses of the server, or of nodes of a cluster; empty: counters in this process.
    pub urls: Vec<String>,
    /// What every key and every channel begins with.
    pub prefix: String,
    /// PEM file of the CA to trust for `rediss://`; empty: the public ones.
    pub tls_ca: String,
    /// How long connecting to one server may take.
    pub connect_timeout_ms: u64,
    /// How long the answer to one command may take.
    pub response_timeout_ms: u64,
}

/// `[auth]`: who may send events and who may see the numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys that may send events; empty: anyone may.
    pub write_keys: Vec<String>,
    /// Tokens that may see the numbers; empty: anyone may.
    pub viewer_tokens: Vec<String>,
    /// Allows empty lists on addresses that other machines reach.
    pub insecure: bool,
    /// Characters that a password has at least.
    pub min_password_chars: usize,
    /// How long one is signed in.
    pub session_hours: u64,
}

/// `[http]`: the limits of connections and requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Threads that serve HTTP; 0: one for each core.
    pub workers: usize,
    /// Connections open at a time, over all workers.
    pub max_connections: usize,
    /// Connections open at a time of one address that is not in `proxies`; 0: no such limit.
    pub max_connections_per_address: usize,
    /// Names under which viewers may ask, besides loopback names and addresses.
    pub allowed_hosts: Vec<String>,
    /// Address of a second listener, for operators; empty: none.
    pub ops_listen: String,
    /// How long a browser that came over TLS comes by TLS only; 0: it is not told to.
    pub hsts_s: u64,
    /// Addresses or networks behind which many clients are, so that no limit by address holds for
    /// them.
    pub proxies: Vec<String>,
    /// Addresses or networks of proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<String>,
    /// How long an idle connection is kept.
    pub keep_alive_ms: u64,
    /// From the connect to the last byte of the header.
    pub header_timeout_ms: u64,
    /// From the last byte of the header to the last byte of the body.
    pub body_timeout_ms: u64,
    /// The least bytes a second of a body, over each `body_grace_ms`; 0: no such limit.
    pub min_body_bytes_per_s: u64,
    /// The spans over which the rate of a body is measured.
    pub body_grace_ms: u64,
    /// A client that takes nothing of its answer for so long is cut.
    pub write_timeout_ms: u64,
    /// Bytes of a body as it was sent.
    pub max_body_bytes: usize,
    /// Bytes of a body after decompression.
    pub max_decoded_bytes: usize,
    /// Events in one request.
    pub max_request_events: usize,
    /// Events a second of one client; 0: as many as it likes.
    pub client_events_per_s: u32,
    /// Bytes of bodies being read and decoded, over all requests.
    pub max_inflight_bytes: usize,
    /// Percent of `max_inflight_bytes` that one client may hold.
    pub client_inflight_percent: usize,
    /// How long `/readyz` says 503 before a server that got SIGTERM closes its door.
    pub drain_ms: u64,
    /// How long a stopping server waits for requests under way.
    pub shutdown_timeout_ms: u64,
}

impl HttpConfig {
    /// A list of proxies as networks; a single address is a network of one.
    ///
    /// # Errors
    /// The first one that is neither.
    pub fn networks(proxies: &[String]) -> Result<Vec<IpNet>, String> {
        let parse = |text: &String| {
            let network = text.parse::<IpNet>().ok();
            let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            network.or_else(address).ok_or_else(|| text.clone())
        };
        proxies.iter().map(parse).collect()
    }
}

/// `[tls]`: TLS towards clients.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the certificate and those that lead to its authority; empty: plain HTTP.
    pub cert: String,
    /// PEM file of its private key.
    pub key: String,
    /// Names for which the server gets a certificate by itself.
    pub acme_domains: Vec<String>,
    /// Mail address that the authority may write to.
    pub acme_contact: String,
    /// Directory of the authority; empty: that of Let's Encrypt.
    pub acme_directory: String,
    /// PEM file of the CA by which the authority itself is known; empty: the public ones.
    pub acme_ca: String,
}

/// `[event]`: the limits of one event.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// Bytes of one event.
    pub max_bytes: usize,
    /// Levels that the JSON of one event may nest.
    pub max_depth: usize,
}

/// `[privacy]`: what of an event is never stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyConfig {
    /// What becomes of addresses among the properties: `drop`, `cut` or `keep`.
    pub ip: String,
    /// Names of properties that are never stored, at any depth.
    pub never_store: Vec<String>,
    /// Whether `Sec-GPC: 1` is a refusal to be analysed.
    pub respect_gpc: bool,
    /// Whether `DNT: 1` is.
    pub respect_dnt: bool,
    /// The categories of consent that stand for being analysed, in events that say what was refused.
    pub consent_categories: Vec<String>,
}

impl PrivacyConfig {
    /// The same, to be applied.
    pub fn rules(&self) -> Privacy {
        Privacy::new(self.addresses(), &self.never_store)
    }

    /// What `ip` says.
    pub fn addresses(&self) -> Addresses {
        match self.ip.as_str() {
            "keep" => Addresses::Kept,
            "cut" => Addresses::Cut,
            // The check of the configuration lets no other word pass but "drop".
            _ => Addresses::Dropped,
        }
    }

    /// Which visitors refuse to be analysed.
    pub fn consent(&self) -> ConsentRules {
        ConsentRules {
            gpc: self.respect_gpc,
            dnt: self.respect_dnt,
            categories: self.consent_categories.iter().map(|name| name.to_lowercase()).collect(),
        }
    }
}

/// `[dead_letters]`: what is kept of refused events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLettersConfig {
    /// Bytes of a refused event's text that are kept.
    pub max_bytes: usize,
}

/// `[batch]`: when a batch is sealed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// A batch is sealed once it has this many events.
    pub max_events: u64,
    /// A batch is sealed once its rows have this many bytes.
    pub max_bytes: usize,
    /// A batch that is not full is sealed after this time.
    pub flush_interval_ms: u64,
}

/// `[ingest]`: the queue before the ingest actor.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Requests that may wait for their turn in the ingest actor.
    pub queue_requests: usize,
}

/// `[spool]`: the log on disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolConfig {
    /// Bytes after which the next batch begins a new segment file.
    pub segment_bytes: u64,
    /// Bytes of all segments; where a sink has not settled so many, requests are answered 503.
    pub max_bytes: u64,
    /// For how long segments are kept that both sinks have settled.
    pub keep_s: u64,
    /// Bytes of the segments that are kept.
    pub keep_bytes: u64,
    /// How often cursors are written and segments removed.
    pub cursor_interval_ms: u64,
    /// A sink whose oldest batch waits longer than this is a reason of `/readyz`.
    pub unready_lag_s: u64,
}

/// `[schemas]`: what is learnt of the properties of events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SchemasConfig {
    /// Pairs of an event type and a source whose properties are learnt.
    pub max_schemas: usize,
    /// Properties that are learnt of each pair.
    pub max_properties: usize,
    /// Whether the alert `schema_drift` is looked for.
    pub drift: bool,
    /// How bad that alert is.
    pub drift_severity: Severity,
    /// Events that it takes on each side of a change.
    pub drift_min_events: u64,
    /// Percent of the events that had the property before, at least.
    pub drift_from_percent: u64,
    /// Percent of that share that are left at most.
    pub drift_to_percent: u64,
}

impl SchemasConfig {
    /// How much is learnt at most.
    pub fn limits(&self) -> SchemaLimits {
        SchemaLimits { schemas: self.max_schemas, properties: self.max_properties }
    }

    /// When a property has drifted.
    pub fn drift_rule(&self) -> DriftRule {
        DriftRule {
            min_events: self.drift_min_events,
            from: self.drift_from_percent as f64 / 100.0,
            to: self.drift_to_percent as f64 / 100.0,
        }
    }
}

/// `[dedupe]`: how long and how many ids are remembered.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DedupeConfig {
    /// How long the id of an event is remembered.
    pub window_s: u64,
    /// How long the id of an order, a refund or a webhook is remembered, where that is more than
    /// `window_s`.
    pub long_window_s: u64,
    /// Ids that this node remembers; beyond them the oldest go.
    pub max_ids: usize,
    /// Whether all nodes share their ids, through Redis.
    pub shared: bool,
}

impl DedupeConfig {
    /// How long the ids are remembered that are remembered longest.
    pub fn longest_window_s(&self) -> u64 {
        self.long_window_s.max(self.window_s)
    }
}

/// `[memory]`: how much memory the process may take.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// Resident memory of the whole process but for its viewers ([`super::MemoryShares`]).
    pub max_bytes: u64,
}

/// `[live]`: the live counters.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LiveConfig {
    /// A visitor is active for this long after an event.
    pub active_window_s: u64,
    /// Event types with counters of their own; further ones count as "other".
    pub max_event_types: usize,
}

/// `[stream]`: the WebSocket stream and its viewers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// How often the increments that came in become a frame.
    pub tick_ms: u64,
    /// The longest time between two frames of a quiet stream.
    pub heartbeat_ms: u64,
    /// Frames carry `behindMs` once counting is this late.
    pub behind_after_ms: u64,
    /// How often each viewer is sent a ping.
    pub ping_interval_ms: u64,
    /// A viewer that sends nothing, not even a pong, for this long is closed.
    pub silence_timeout_ms: u64,
    /// A viewer that takes no frame for this long is closed.
    pub slow_timeout_ms: u64,
    /// Frames that may wait for one viewer.
    pub mailbox_frames: usize,
    /// Whether viewers that offer `permessage-deflate` get deflated frames.
    pub compression: bool,
    /// Bytes of the kernel's send buffer for one viewer.
    pub send_buffer_bytes: usize,
    /// From the Close frame to the cut of a connection that stays.
    pub close_timeout_ms: u64,
    /// Frames kept for `?resume=`.
    pub resume_frames: usize,
    /// Bytes of the frames kept for `?resume=`.
    pub resume_bytes: usize,
    /// Viewers at a time.
    pub max_viewers: usize,
    /// Of these, those that may watch the past at a time.
    pub max_playbacks: usize,
    /// Origins that may watch besides the server's own.
    pub allowed_origins: Vec<String>,
}

/// `[retry]`: the pauses between tries of a sink that fails.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RetryConfig {
    /// The first pause after a failure; each further one is twice as long.
    pub initial_ms: u64,
    /// The longest pause.
    pub max_ms: u64,
}

/// `[notify]`: requests to webhooks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// How long one request to a webhook may take.
    pub timeout_ms: u64,
    /// The longest pause between two tries, unless `Retry-After` asks for more.
    pub max_retry_ms: u64,
    /// A notification that was not taken for this long is given up.
    pub give_up_hours: u64,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The least severe level that is logged, or a filter of `tracing`.
    pub level: String,
    /// `text`, `json`, or `auto`: text on a terminal and JSON elsewhere.
    pub format: String,
    /// Whether each request has a line.
    pub access: bool,
}
