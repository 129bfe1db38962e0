//! The configuration: one struct for the whole and one for each section.
//!
//! `config/default.toml` explains every key to users; it is also the list of all keys and the
//! first layer. A new key therefore needs an entry there and a field in [`sections`] (or here,
//! for a key outside any section), and nothing else unless [`Config::check`] has to judge it.
//!
//! [`Config::load`] lays the layers over each other ([`layers`]), [`rules`] does the same with
//! metrics, alerts and the like, and [`Config::check`] looks at the result as a whole.

mod again;
mod archive;
mod bots;
mod check;
mod environment;
mod event_schemas;
mod history;
mod layers;
mod ledger;
mod limits;
mod memory;
mod oidc;
mod otlp;
mod postgres_url;
mod problem;
pub mod reference;
mod retention;
mod rules;
mod secrets;
mod sections;
mod variable;
mod webhook_url;
mod written;

pub use again::ConfigOrigin;
pub use archive::{ArchiveConfig, ArchivePlace};
pub use bots::BotsConfig;
pub use environment::variables;
pub use event_schemas::{EventSchemas, SchemaMode, SchemaSpec, Violation};
pub use history::HistoryConfig;
pub use layers::Overrides;
pub use ledger::LedgerConfig;
pub use memory::MemoryShares;
pub use oidc::OidcConfig;
pub use otlp::OtlpConfig;
pub use postgres_url::{PostgresAddress, Verify};
pub use problem::{ConfigError, Place, Problem};
pub use retention::RetentionConfig;
pub use rules::Rules;
pub use secrets::Secrets;
pub use sections::{
    AuthConfig, BatchConfig, DeadLettersConfig, DedupeConfig, EventConfig, HttpConfig,
    IngestConfig, LiveConfig, LogConfig, MemoryConfig, NotifyConfig, PostgresConfig, PrivacyConfig,
    RedisConfig, RetryConfig, SchemasConfig, SpoolConfig, StreamConfig, TlsConfig,
};
pub use variable::variable_name;

use serde::{Deserialize, Serialize};

/// The whole configuration. A field is the key of the same name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port that HTTP is served on, such as `127.0.0.1:8080`.
    pub listen: String,
    /// The folder that holds the spool, the SQLite file and the node's identity.
    pub data_dir: std::path::PathBuf,
    /// The business time zone by its IANA name: "today" turns at its midnight.
    pub timezone: String,
    /// The currency that amounts are shown in, by its ISO 4217 code.
    pub currency: String,
    /// `[postgres]`
    pub postgres: PostgresConfig,
    /// `[redis]`
    pub redis: RedisConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[oidc]`
    pub oidc: OidcConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[event]`
    pub event: EventConfig,
    /// `[privacy]`
    pub privacy: PrivacyConfig,
    /// `[bots]`
    pub bots: BotsConfig,
    /// `[dead_letters]`
    pub dead_letters: DeadLettersConfig,
    /// `[batch]`
    pub batch: BatchConfig,
    /// `[ingest]`
    pub ingest: IngestConfig,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[ledger]`
    pub ledger: LedgerConfig,
    /// `[history]`
    pub history: HistoryConfig,
    /// `[retention]`
    pub retention: RetentionConfig,
    /// `[archive]`
    pub archive: ArchiveConfig,
    /// `[schemas]`
    pub schemas: SchemasConfig,
    /// `[dedupe]`
    pub dedupe: DedupeConfig,
    /// `[memory]`
    pub memory: MemoryConfig,
    /// `[live]`
    pub live: LiveConfig,
    /// `[stream]`
    pub stream: StreamConfig,
    /// `[retry]`
    pub retry: RetryConfig,
    /// `[notify]`
    pub notify: NotifyConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[otlp]`
    pub otlp: OtlpConfig,
    /// `[rates]`, `[[metric]]`, `[[breakdown]]`, `[[alert]]`, `[[webhook]]`, `[[map]]`, `[[source]]`
    /// and `[[schema]]`, compiled.
    /// Skipped by serde, since these tables have layers of their own (`rules.rs`).
    #[serde(skip)]
    pub rules: Rules,
    /// Where all of this was read from.
    #[serde(skip)]
    pub origin: ConfigOrigin,
}

impl Config {
    /// A key with which a command of ours may send: the first of `auth.write_keys`, else the first of
    /// `[[source]]`; `None` where nobody needs one.
    pub fn first_write_key(&self) -> Option<&str> {
        let named = || self.rules.sources.iter().find_map(|source| source.key.0.first());
        self.auth.write_keys.first().or_else(named).map(String::as_str)
    }
}

/// The built-in first layer, and the documentation of every key.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");
