//! The one reader of `postgres.url`, for the check of a configuration and for the store. Most
//! parameters go to tokio-postgres as they are. Those that it does not know (verify-ca, verify-full,
//! sslrootcert, passfile) are read here, with the meaning that they have in libpq.
//! Source: PostgreSQL 15 documentation, 34.1 "Database Connection Control Functions".

use std::{path::PathBuf, time::Duration};

use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
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
pub struct PostgresAddress {
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

impl PostgresAddress {
    /// Reads the URL; connects to nothing. `connect_timeout` is also how long sent data may stay
    /// without the other side's acknowledgement, unless the URL says otherwise.
    ///
    /// # Errors
    /// It is no such URL. The text says why, and never has the password in it.
    pub fn parse(url: &str, connect_timeout: Duration) -> Result<PostgresAddress, String> {
        let form = "a URL such as postgres://user:password@host:5432/database is needed";
        match scheme(url) {
            Some("postgres" | "postgresql") => {}
            Some(other) => return Err(invalid(&format!("the scheme is {other}://, and {form}"))),
            None => return Err(invalid(&format!("it has no scheme, and {form}"))),
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
                let cause = cause.unwrap_or_else(|| e.to_string());
                invalid(&format!("{cause}; {ENCODING_HINT}"))
            })?;
        // A password with an @ in it ends at that @, and the rest of it would be the host's name.
        let has_at = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().iter().any(has_at) {
            return Err(invalid(&format!(
                "there is an @ in the name of the host; {ENCODING_HINT}"
            )));
        }
        config.ssl_mode(ssl_mode);
        defaults(&mut config, connect_timeout);
        Ok(PostgresAddress { name: name(&config), config, verify, roots, passfile })
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

fn invalid(why: &str) -> String {
    format!("postgres.url: {why}")
}

/// What a URL begins with, before `://`, as far as it can be shown: never what may be a password.
pub fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.bytes().all(is_plain).then_some(scheme)
}

/// What is wrong most often with a URL that can't be read.
pub const ENCODING_HINT: &str = "in user names and passwords, @ : / ? # [ ] and % have to be \
     percent-encoded (@ is %40, / is %2F)";

/// Undoes percent-encoding.
fn decode(value: &str) -> Result<String, String> {
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
        bytes.push(decoded.ok_or_else(|| {
            invalid(&format!("a parameter has a % without two hex digits; {ENCODING_HINT}"))
        })?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| invalid("a parameter is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresAddress, String> {
        PostgresAddress::parse(url, Duration::from_secs(5))
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
    fn a_wrong_url_is_told_what_to_change() {
        let mysql = parse("mysql://u@h").unwrap_err();
        assert!(mysql.contains("the scheme is mysql://"), "{mysql}");
        let at = parse("postgres://u:a@b@h/db").unwrap_err();
        assert!(at.contains("@ is %40"), "{at}");
        assert!(parse("postgres://u:a%40b@h/db").is_ok());
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "mysql://u:secret@h",
            "postgres://u:secret@h/db?colour=red",
            "postgres://u:secret@h:port/db",
            "host=h user=u password=secret",
            "postgres://u:x@secret@h/db",
        ] {
            let message = parse(url).unwrap_err();
            assert!(message.starts_with("postgres.url: "), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
