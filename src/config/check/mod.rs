//! What a configuration must be as a whole, beyond the types of its values. Everything that is
//! wrong is reported at once.

mod outside;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use super::{
    Config, ConfigError, PostgresAddress, Problem,
    postgres_url::{ENCODING_HINT, scheme},
};
use crate::domain::time::BusinessZone;

/// Numbers that may be 0; each says in `config/default.toml` what 0 means.
const MAY_BE_ZERO: [&str; 8] = [
    "http.drain_ms",
    "http.hsts_s",
    "http.workers",
    "http.max_connections_per_address",
    "http.min_body_bytes_per_s",
    "http.client_events_per_s",
    "spool.keep_s",
    "spool.keep_bytes",
];

/// The shortest `http.header_timeout_ms`.
const MIN_HEADER_TIMEOUT_MS: u64 = 1000;
/// The smallest `ledger.keep_hours`. Live counters are rebuilt from the ledger, which takes a
/// business day of up to 25 hours, and a day of margin.
const MIN_KEEP_HOURS: u64 = 49;

impl Config {
    /// The addresses that `listen` stands for: one for `127.0.0.1:8080`, perhaps two for
    /// `localhost:8080`. Looks a name up; an address is only parsed.
    pub fn listen_addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let no_address = |why: String| {
            format!(
                "listen: {:?} is not an address such as 127.0.0.1:8080 or 0.0.0.0:8080 ({why})",
                self.listen
            )
        };
        let addresses: Vec<_> =
            self.listen.to_socket_addrs().map_err(|e| no_address(e.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(no_address("the name has no address".to_owned()));
        }
        Ok(addresses)
    }

    /// Checks values against each other and against the world that is compiled in (time
    /// zones, formats). Touches no disk and no server.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut found = Vec::new();
        self.check_listen(&mut found);
        self.check_words(&mut found);
        self.check_outside(&mut found);
        self.check_urls(&mut found);
        self.check_limits(&mut found);
        self.check_header_timeout(&mut found);
        self.check_ledger(&mut found);
        self.check_times(&mut found);
        self.check_sizes(&mut found);
        found.extend(self.memory_shares().err());
        if found.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Invalid(found.into_iter().map(Problem::Check).collect()))
    }

    fn check_listen(&self, found: &mut Vec<String>) {
        found.extend(self.listen_addresses().err());
    }

    /// Whether somebody whom nobody knows may ever be let in: only this machine reaches the address, or
    /// `auth.insecure` says so.
    pub fn may_be_open(&self) -> bool {
        let addresses = self.listen_addresses().unwrap_or_default();
        let is_local = addresses.iter().all(|address| address.ip().is_loopback());
        self.auth.insecure || (is_local && !addresses.is_empty())
    }

    /// Whether the configuration names who may send, and who may see the numbers.
    pub fn closes(&self) -> (bool, bool) {
        let is_set = |list: &[String]| list.iter().any(|item| !item.trim().is_empty());
        let sends = is_set(&self.auth.write_keys) || !self.rules.sources.is_empty();
        (sends, is_set(&self.auth.viewer_tokens))
    }

    /// What keeps a server from its start that other machines reach: neither the configuration nor the
    /// store names who may send, or who may see the numbers. `stored` says whether the store does.
    pub fn unlocked(&self, stored: (bool, bool)) -> Option<String> {
        let (sends, views) = self.closes();
        let missing: Vec<&str> = [
            (
                sends || stored.0,
                "auth.write_keys (FLOODMARK_AUTH__WRITE_KEYS; or `floodmark keys add`)",
            ),
            (
                views || stored.1,
                "auth.viewer_tokens (FLOODMARK_AUTH__VIEWER_TOKENS; or `floodmark users add`)",
            ),
        ]
        .into_iter()
        .filter_map(|(set, name)| (!set).then_some(name))
        .collect();
        (!self.may_be_open() && !missing.is_empty()).then(|| {
            format!(
                "listen: {} can be reached from other machines; set {}, or --insecure to let anyone \
                 send events and see the numbers",
                self.listen,
                missing.join(" and "),
            )
        })
    }

    /// Names and texts that must be known or have a form.
    fn check_words(&self, found: &mut Vec<String>) {
        if self.data_dir.as_os_str().is_empty() {
            found.push("data_dir: is empty; name a folder".to_owned());
        }
        if let Err(message) = BusinessZone::named(&self.timezone) {
            found.push(format!("timezone: {message}; use a name such as Europe/Berlin"));
        }
        let letters = self.currency.bytes().all(|b| b.is_ascii_uppercase());
        if self.currency.len() != 3 || !letters {
            found.push(format!(
                "currency: {:?} is not a code of three letters such as EUR",
                self.currency
            ));
        }
        if !["auto", "text", "json"].contains(&self.log.format.as_str()) {
            found.push(format!("log.format: {:?} is none of auto, text, json", self.log.format));
        }
        if let Err(e) = EnvFilter::from_str(&self.log.level) {
            found.push(format!("log.level: {:?}: {e}", self.log.level));
        }
        let mut keys = self.auth.write_keys.iter().chain(&self.auth.viewer_tokens);
        if keys.any(|key| key.trim().is_empty()) {
            found.push(
                "auth: an empty write key or viewer token would let anyone in; remove it"
                    .to_owned(),
            );
        }
        for origin in &self.stream.allowed_origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                found.push(format!(
                    "stream.allowed_origins: {origin:?} is not an origin such as \
                     https://shop.example"
                ));
            }
        }
    }

    /// URLs that must be readable. The messages leave them out, since they may hold passwords.
    fn check_urls(&self, found: &mut Vec<String>) {
        let connect_timeout = Duration::from_millis(self.postgres.connect_timeout_ms);
        if !self.postgres.url.is_empty()
            && let Err(words) = PostgresAddress::parse(&self.postgres.url, connect_timeout)
        {
            found.push(words);
        }
        if self.dedupe.shared && self.redis.urls.is_empty() {
            found.push(
                "dedupe.shared: nodes share ids through Redis; set redis.urls, or leave it false"
                    .to_owned(),
            );
        }
        for (at, url) in self.redis.urls.iter().enumerate() {
            if redis::parse_redis_url(url).is_none() {
                let why = match scheme(url) {
                    Some("redis" | "rediss") => ENCODING_HINT.to_owned(),
                    Some(other) => format!("its scheme is {other}://, not redis:// or rediss://"),
                    None => "it has no scheme".to_owned(),
                };
                found.push(format!(
                    "redis.urls: number {} is not a URL such as redis://:password@host:6379: {why}",
                    at + 1
                ));
            }
        }
    }

    /// Numbers that must not be 0.
    fn check_limits(&self, found: &mut Vec<String>) {
        let table = toml::Table::try_from(self).expect("the configuration came from TOML");
        for (section, values) in &table {
            let Some(values) = values.as_table() else {
                continue;
            };
            for (key, value) in values {
                let key = format!("{section}.{key}");
                if value.as_integer() == Some(0) && !MAY_BE_ZERO.contains(&key.as_str()) {
                    found.push(format!("{key}: must be more than 0"));
                }
            }
        }
    }

    /// A header timeout that is too short to be kept. actix-http counts it from a clock that it
    /// reads every 500 ms, so it may end that much early.
    fn check_header_timeout(&self, found: &mut Vec<String>) {
        let given = self.http.header_timeout_ms;
        if (1..MIN_HEADER_TIMEOUT_MS).contains(&given) {
            found.push(format!(
                "http.header_timeout_ms ({given}) must be at least {MIN_HEADER_TIMEOUT_MS}: it is \
                 kept to half a second, and a shorter one would refuse requests that came in time"
            ));
        }
    }

    /// The ledger must be kept for long enough to rebuild the live counters.
    fn check_ledger(&self, found: &mut Vec<String>) {
        if self.ledger.keep_hours < MIN_KEEP_HOURS {
            found.push(format!(
                "ledger.keep_hours ({}) must be at least {MIN_KEEP_HOURS}: today's counters are \
                 rebuilt from the ledger",
                self.ledger.keep_hours
            ));
        }
        at_most(
            ("live.active_window_s", self.live.active_window_s),
            ("3600 x ledger.keep_hours", self.ledger.keep_hours.saturating_mul(3600)),
            "who is active is rebuilt from the ledger",
            found,
        );
    }

    /// A waiting time or interval that must not be longer than another.
    fn check_times(&self, found: &mut Vec<String>) {
        let stream = &self.stream;
        at_most(
            ("stream.tick_ms", stream.tick_ms),
            ("stream.heartbeat_ms", stream.heartbeat_ms),
            "a frame leaves on a tick",
            found,
        );
        at_most(
            ("stream.ping_interval_ms", stream.ping_interval_ms + 1),
            ("stream.silence_timeout_ms", stream.silence_timeout_ms),
            "a viewer needs a ping to answer before it counts as silent",
            found,
        );
        at_most(
            ("retry.initial_ms", self.retry.initial_ms),
            ("retry.max_ms", self.retry.max_ms),
            "waiting time grows from the first to the second",
            found,
        );
    }

    /// What has to fit into something larger.
    fn check_sizes(&self, found: &mut Vec<String>) {
        let (http, spool) = (&self.http, &self.spool);
        let (batch_bytes, event_bytes) = (self.batch.max_bytes as u64, self.event.max_bytes as u64);
        let decoded_bytes = ("http.max_decoded_bytes", http.max_decoded_bytes as u64);
        at_most(
            ("spool.segment_bytes", spool.segment_bytes + 1),
            ("spool.max_bytes", spool.max_bytes),
            "the spool holds several segments",
            found,
        );
        at_most(
            ("batch.max_bytes", batch_bytes + 1),
            ("spool.segment_bytes", spool.segment_bytes),
            "a batch never spans two segments",
            found,
        );
        at_most(
            ("event.max_bytes", event_bytes),
            ("batch.max_bytes", batch_bytes),
            "an event has to fit into a batch",
            found,
        );
        at_most(
            ("event.max_bytes", event_bytes),
            decoded_bytes,
            "an event has to fit into a request",
            found,
        );
        at_most(
            ("http.max_body_bytes", http.max_body_bytes as u64),
            decoded_bytes,
            "a body is never smaller decoded than sent",
            found,
        );
        at_most(
            decoded_bytes,
            ("http.max_inflight_bytes", http.max_inflight_bytes as u64),
            "one request has to fit",
            found,
        );
        at_most(
            ("http.client_inflight_percent", http.client_inflight_percent as u64),
            ("100", 100),
            "it is a part of http.max_inflight_bytes",
            found,
        );
    }
}

/// Reports where the first of two values (key, value) is larger than the second.
fn at_most(small: (&str, u64), large: (&str, u64), why: &str, found: &mut Vec<String>) {
    if small.1 > large.1 {
        found.push(format!(
            "{} ({}) must be at most {} ({}): {why}",
            small.0, small.1, large.0, large.1
        ));
    }
}

#[cfg(test)]
mod tests;
