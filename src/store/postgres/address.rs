//! The reader of `postgres.url`. Most parameters go to tokio-postgres as they are. Those that it
//! does not know (verify-ca, verify-full, sslrootcert, passfile) are read here, with the meaning
//! that they have in libpq.
//! Source: PostgreSQL 15 documentation, 34.1 "Database Connection Control Functions".

use std::{path::PathBuf, time::Duration};

use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use crate::sink::{SinkError, SinkErrorKind};

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing: the connection may be encrypted, but the server may be anyone.
    Nothing,
    /// The certificate is signed by a root that we trust (verify-ca).
    Chain,
    /// The certificate is signed by a root that we trust, and is made out to the host's name
    /// (verify-full).
    ChainAndName,
}

/// Where the server is, how to reach it and how far to trust it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// What tokio-postgres connects with: hosts, user, database, timeouts.
    pub config: Config,
    /// What of the server's certificate is checked.
    pub verify: Verify,
    /// `sslrootcert`, the file of trusted roots; `None` where the URL does not give it.
    pub roots: Option<PathBuf>,
    /// `passfile`, the password file; `None` where the URL does not give it.
    pub passfile: Option<PathBuf>,
    /// Host, port and database, for messages. The password is never in it.
    pub name: String,
}

/// tokio-postgres's own default of two hours, which is as good as none. A URL that does not set
/// it has this value, so it is replaced by [`KEEPALIVES_IDLE`].
const DEFAULT_KEEPALIVES_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// With these three, a server that is gone without a word is noticed after about
/// 15 + 3 · 5 = 30 seconds on an idle connection.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;

impl Address {
    /// Reads the URL. `connect_timeout` is also how long sent data may stay without the
    /// other side's acknowledgement, unless the URL says otherwise.
    pub fn parse(url: &str, connect_timeout: Duration) -> Result<Address, SinkError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(invalid("it must begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        let (mut mode, mut roots, mut passfile) = (None, None, None);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key {
                "sslmode" => mode = Some(decode(value)?),
                "sslrootcert" => roots = Some(PathBuf::from(decode(value)?)),
                "passfile" => passfile = Some(PathBuf::from(decode(value)?)),
                _ => kept.push(parameter),
            }
        }
        let (ssl_mode, verify) = match mode.as_deref().unwrap_or("prefer") {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
            // libpq does so too: with a file of roots, `require` means `verify-ca`.
            "require" if roots.is_some() => (SslMode::Require, Verify::Chain),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Chain),
            "verify-full" => (SslMode::Require, Verify::ChainAndName),
            other => {
                return Err(invalid(&format!(
                    "sslmode={other} is none of disable, allow, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        let mut config: Config = format!("{base}?{}", kept.join("&"))
            .trim_end_matches('?')
            .parse()
            .map_err(|e: tokio_postgres::Error| {
                let cause = std::error::Error::source(&e).map(|cause| cause.to_string());
                invalid(&cause.unwrap_or_else(|| e.to_string()))
            })?;
        config.ssl_mode(ssl_mode);
        defaults(&mut config, connect_timeout);
        Ok(Address { name: name(&config), config, verify, roots, passfile })
    }
}

/// Sets what a process that runs for months needs and libpq's defaults don't give, wherever the
/// URL says nothing else.
fn defaults(config: &mut Config, connect_timeout: Duration) {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    if config.get_application_name().is_none() {
        config.application_name("floodmark");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(connect_timeout);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(connect_timeout);
    }
    if config.get_keepalives_idle() == DEFAULT_KEEPALIVES_IDLE {
        config.keepalives_idle(KEEPALIVES_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVES_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVES_RETRIES);
    }
    // Several hosts are one primary and its standbys. Asking for the one that takes writes
    // finds the new primary after a failover.
    if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any
    {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// Hosts with ports, and the database, as messages name them.
fn name(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(i, host)| {
        let ports = config.get_ports();
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let dbname = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{dbname}", hosts.join(","))
}

fn invalid(why: &str) -> SinkError {
    SinkError { kind: SinkErrorKind::Other, message: format!("postgres.url: {why}") }
}

/// Undoes percent-encoding.
fn decode(value: &str) -> Result<String, SinkError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(
            decoded.ok_or_else(|| invalid(&format!("{value:?} has a % without two hex digits")))?,
        );
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| invalid(&format!("{value:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, Duration::from_secs(5)).map_err(|e| e.message)
    }

    #[test]
    fn sslmode_says_how_far_to_trust() {
        for (query, mode, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("?sslmode=require", SslMode::Require, Verify::Nothing),
            ("?sslmode=require&sslrootcert=/a", SslMode::Require, Verify::Chain),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Chain),
            ("?sslmode=verify-full", SslMode::Require, Verify::ChainAndName),
        ] {
            let address = parse(&format!("postgres://u:secret@h/db{query}")).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.verify), (mode, verify), "{query}");
            assert_eq!(address.name, "h:5432/db");
        }
        assert!(parse("postgres://h/db?sslmode=maybe").unwrap_err().contains("sslmode=maybe"));
    }

    #[test]
    fn other_parameters_reach_the_driver() {
        let url =
            "postgresql://u@a:1,b:2/db?connect_timeout=9&sslrootcert=%2Fx%20y&application_name=me";
        let address = parse(url).unwrap();
        assert_eq!(address.roots, Some("/x y".into()));
        assert_eq!(address.config.get_application_name(), Some("me"));
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(address.name, "a:1,b:2/db");
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "mysql://u:secret@h",
            "postgres://u:secret@h/db?colour=red",
            "postgres://u:secret@h:port/db",
        ] {
            let message = parse(url).unwrap_err();
            assert!(message.starts_with("postgres.url: "), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
