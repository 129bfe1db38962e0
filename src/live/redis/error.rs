//! Sorts the errors of Redis into the kinds that the live side's lane writers report.

use redis::{ErrorKind, RedisError};

use crate::sink::{SinkError, SinkErrorKind};

/// The codes of Redis' errors, each with its kind and what to do about it. A code begins an answer,
/// or stands in the middle of one that the client library has made of several servers' answers.
const CODES: &[(&str, SinkErrorKind, &str)] = &[
    ("OOM", SinkErrorKind::Full, "raise maxmemory or free memory"),
    ("READONLY", SinkErrorKind::ReadOnly, "this is a replica: point redis.urls at the primary"),
    (
        "MISCONF",
        SinkErrorKind::ReadOnly,
        "Redis can't save to its disk and refuses writes: see its log",
    ),
    ("NOREPLICAS", SinkErrorKind::ReadOnly, "Redis has fewer replicas than min-replicas-to-write"),
    ("WRONGPASS", SinkErrorKind::Denied, "check user name and password in redis.urls"),
    ("NOAUTH", SinkErrorKind::Denied, "put the password into redis.urls: redis://:PASSWORD@HOST"),
    (
        "NOPERM",
        SinkErrorKind::Denied,
        "give the user the commands, keys and channels of redis.prefix",
    ),
    ("LOADING", SinkErrorKind::Unavailable, "Redis is starting"),
    ("BUSY", SinkErrorKind::Unavailable, "a script is running"),
    ("CLUSTERDOWN", SinkErrorKind::Unavailable, "the cluster lacks a master"),
    ("MASTERDOWN", SinkErrorKind::Unavailable, "the replica has lost its master"),
    ("MOVED", SinkErrorKind::Unavailable, "slots are moving"),
    ("ASK", SinkErrorKind::Unavailable, "slots are moving"),
    ("TRYAGAIN", SinkErrorKind::Unavailable, "slots are moving"),
];

/// Sorts an error. `doing` says for the message what was being done.
pub(super) fn live_error(doing: &str, error: &RedisError) -> SinkError {
    let text = error.to_string();
    let by_code = |code: &str| CODES.iter().find(|known| known.0 == code);
    let known = error
        .code()
        .and_then(by_code)
        .or_else(|| text.split(|c: char| !c.is_ascii_uppercase()).find_map(by_code));
    let (kind, hint) = match known {
        _ if is_denied_in_script(&text) => (
            SinkErrorKind::Denied,
            Some("give the user the commands that docs/OPERATIONS.md names"),
        ),
        Some(&(_, kind, hint)) => (kind, Some(hint)),
        None => (kind_of(error, &text), None),
    };
    let hint = hint.or_else(|| tls_hint(&text));
    let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
    SinkError { kind, message: format!("{doing}: {text}{hint}") }
}

/// Whether a script met a command or key that the user lacks. Redis 7.0 has no code for that; from 7.2
/// on it says "ACL failure in script".
fn is_denied_in_script(text: &str) -> bool {
    text.contains("The user executing the script") || text.contains("ACL failure in script")
}

/// Adds to the error of a connection that one side perhaps speaks TLS and the other does not. Redis
/// answers a TLS handshake with nothing, since it waits for the end of a line, or with an error in plain
/// text; a TLS server ends a connection that begins in plain text.
pub(super) fn connect_error(error: SinkError, of: &RedisError, with_tls: bool) -> SinkError {
    let text = of.to_string();
    let is_handshake = text.contains("corrupt message") || text.contains("InvalidMessage");
    if of.code().is_some() || !(is_handshake || of.is_timeout() || of.is_connection_dropped()) {
        return error;
    }
    let hint = match with_tls {
        true => "if this port speaks no TLS, begin the URL with redis://",
        false => "if this port speaks TLS, begin the URL with rediss://",
    };
    SinkError { message: format!("{} ({hint})", error.message), ..error }
}

/// What to do about a certificate that is refused.
fn tls_hint(text: &str) -> Option<&'static str> {
    if text.contains("UnknownIssuer") {
        return Some("name the CA that signed the server's certificate in redis.tls_ca");
    }
    let of_name = text.contains("NotValidForName") || text.contains("not valid for name");
    of_name.then_some("its certificate is for another name: use that name in redis.urls")
}

/// The kind of an error that has none of the codes.
fn kind_of(error: &RedisError, text: &str) -> SinkErrorKind {
    match error.kind() {
        ErrorKind::AuthenticationFailed => SinkErrorKind::Denied,
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => SinkErrorKind::Unavailable,
        _ if error.is_timeout() || error.is_connection_dropped() => SinkErrorKind::Unavailable,
        _ if text.contains("max number of clients") => SinkErrorKind::Unavailable,
        _ => SinkErrorKind::Other,
    }
}

/// An error of our own making, where Redis did not answer.
pub(super) fn unavailable(message: impl Into<String>) -> SinkError {
    SinkError { kind: SinkErrorKind::Unavailable, message: message.into() }
}

/// The error while the live side has no counters to add to.
pub(super) fn rebuilding() -> SinkError {
    SinkError {
        kind: SinkErrorKind::Rebuilding,
        message:
            "Redis has no counters (it is new, or was emptied): they are rebuilt from the ledger"
                .to_owned(),
    }
}
