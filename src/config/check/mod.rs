//! What a configuration must be as a whole, beyond the types of its values. Everything that is
//! wrong is reported at once.

mod outside;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use super::{
    Config, ConfigError, PostgresAddress, Problem, limits,
    postgres_url::{ENCODING_HINT, scheme},
};
use crate::domain::{source::SourceSpec, time::BusinessZone};

/// Baselines reach back a week and a day; the rest is margin.
const LEAST_ROLLUPS_DAYS: u64 = 15;

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
        found.extend(limits::judge(&self.numbers()));
        found.extend(self.archive.judge(&self.retention));
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
        let mut addresses = self.listen_addresses().unwrap_or_default();
        addresses.extend(self.ops_addresses().unwrap_or_default());
        let is_local = addresses.iter().all(|address| address.ip().is_loopback());
        self.auth.insecure || (is_local && !addresses.is_empty())
    }

    /// Whether the configuration names who may send, and who may see the numbers.
    pub fn closes(&self) -> (bool, bool) {
        let is_set = |list: &[String]| list.iter().any(|item| !item.trim().is_empty());
        let sends =
            is_set(&self.auth.write_keys) || self.rules.sources.iter().any(SourceSpec::needs_key);
        (sends, is_set(&self.auth.viewer_tokens) || !self.oidc.issuer.is_empty())
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
                self.reached_at(),
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
        for (key, word) in [("log.format", &self.log.format), ("privacy.ip", &self.privacy.ip)] {
            let known = limits::words(key).unwrap_or_default();
            if !known.contains(&word.as_str()) {
                found.push(format!("{key}: {word:?} is none of {}", known.join(", ")));
            }
        }
        if let Err(e) = EnvFilter::from_str(&self.log.level) {
            found.push(format!("log.level: {:?}: {e}", self.log.level));
        }
        for (key, texts) in [("bots.also", &self.bots.also), ("bots.people", &self.bots.people)] {
            if texts.iter().any(|text| text.trim().is_empty()) {
                found.push(format!("{key}: every user agent has the empty text; remove it"));
            }
        }
        self.check_retention(found);
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

    /// Days that are too few for what else is promised.
    fn check_retention(&self, found: &mut Vec<String>) {
        let zero = self.retention.by_type.iter().filter(|(_, days)| **days == 0);
        found.extend(zero.map(|(kind, _)| {
            format!(
                "retention.by_type: {kind} = 0: must be more than 0; leave the type out to keep it"
            )
        }));
        let days = self.retention.rollups_days;
        if (1..LEAST_ROLLUPS_DAYS).contains(&days) {
            found.push(format!(
                "retention.rollups_days ({days}) must be 0 or at least {LEAST_ROLLUPS_DAYS}: alerts and \
                 charts compare with the week before"
            ));
        }
    }

    /// URLs that must be readable. The messages leave them out, since they may hold passwords.
    fn check_urls(&self, found: &mut Vec<String>) {
        let connect_timeout = Duration::from_millis(self.postgres.connect_timeout_ms);
        let addresses = [&self.postgres.url, &self.postgres.read_url];
        for url in addresses.into_iter().filter(|url| !url.is_empty()) {
            if let Err(words) = PostgresAddress::parse(url, connect_timeout) {
                found.push(words);
            }
        }
        if !self.postgres.read_url.is_empty() && self.postgres.url.is_empty() {
            found.push("postgres.read_url: there is no postgres.url that it could follow".into());
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

    /// Every number, by its dotted key.
    fn numbers(&self) -> BTreeMap<String, u64> {
        let table = toml::Table::try_from(self).expect("the configuration came from TOML");
        let mut found = BTreeMap::new();
        for (section, values) in &table {
            for (key, value) in values.as_table().into_iter().flatten() {
                if let Some(number) = value.as_integer() {
                    found.insert(format!("{section}.{key}"), number.max(0) as u64);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
