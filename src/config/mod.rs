//! The configuration: one struct a section, each key explained in `config/default.toml`,
//! which is also the list of all keys and the first layer.
//!
//! [`Config::load`] lays the layers over each other ([`layers`]), [`rules`] does the same with
//! metrics, alerts and the like, and [`Config::check`] looks at the result as a whole.

mod check;
mod layers;
mod problem;
mod rules;
mod variable;
mod webhook_url;

pub use layers::Overrides;
pub use problem::{ConfigError, Place, Problem};
pub use rules::Rules;
pub use variable::variable_name;

use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // config/default.toml documents each key, for users and for us
pub struct Config {
    pub listen: String,
    pub data_dir: std::path::PathBuf,
    pub timezone: String,
    pub currency: String,
    pub postgres: Postgres,
    pub redis: Redis,
    pub auth: Auth,
    pub http: Http,
    pub event: Event,
    pub dead_letters: DeadLetters,
    pub batch: Batch,
    pub ingest: Ingest,
    pub spool: Spool,
    pub ledger: Ledger,
    pub dedupe: Dedupe,
    pub live: Live,
    pub stream: Stream,
    pub retry: Retry,
    pub notify: Notify,
    pub log: Log,
    #[serde(skip)]
    pub rules: Rules,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: $type),+ }
    };
}

section!(
    /// `[postgres]`
    Postgres { url: String, connect_timeout_ms: u64, statement_timeout_ms: u64 }
);
section!(
    /// `[redis]`
    Redis {
        urls: Vec<String>,
        prefix: String,
        tls_ca: String,
        connect_timeout_ms: u64,
        response_timeout_ms: u64,
    }
);
section!(
    /// `[auth]`
    Auth { write_keys: Vec<String>, viewer_tokens: Vec<String>, insecure: bool }
);
section!(
    /// `[http]`
    Http {
        workers: usize,
        max_connections: usize,
        keep_alive_ms: u64,
        header_timeout_ms: u64,
        body_timeout_ms: u64,
        max_body_bytes: usize,
        max_decoded_bytes: usize,
        max_request_events: usize,
        client_events_per_s: u32,
        max_inflight_bytes: usize,
        shutdown_timeout_ms: u64,
    }
);
section!(
    /// `[event]`
    Event { max_bytes: usize, max_depth: usize }
);
section!(
    /// `[dead_letters]`
    DeadLetters { max_bytes: usize }
);
section!(
    /// `[batch]`
    Batch { max_events: u64, max_bytes: usize, flush_interval_ms: u64 }
);
section!(
    /// `[ingest]`
    Ingest { queue_requests: usize }
);
section!(
    /// `[spool]`
    Spool { segment_bytes: u64, max_bytes: u64, cursor_interval_ms: u64, unready_lag_s: u64 }
);
section!(
    /// `[ledger]`
    Ledger { keep_hours: u64, fold_interval_ms: u64 }
);
section!(
    /// `[dedupe]`
    Dedupe { window_s: u64, max_ids: usize, shared: bool }
);
section!(
    /// `[live]`
    Live { active_window_s: u64, max_event_types: usize }
);
section!(
    /// `[stream]`
    Stream {
        tick_ms: u64,
        heartbeat_ms: u64,
        behind_after_ms: u64,
        ping_interval_ms: u64,
        silence_timeout_ms: u64,
        slow_timeout_ms: u64,
        mailbox_frames: usize,
        compression: bool,
        send_buffer_bytes: usize,
        close_timeout_ms: u64,
        resume_frames: usize,
        resume_bytes: usize,
        max_viewers: usize,
        allowed_origins: Vec<String>,
    }
);
section!(
    /// `[retry]`
    Retry { initial_ms: u64, max_ms: u64 }
);
section!(
    /// `[notify]`
    Notify { timeout_ms: u64, max_retry_ms: u64, give_up_hours: u64 }
);
section!(
    /// `[log]`
    Log { level: String, format: String }
);

/// The built-in first layer, and the documentation of every key.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");
