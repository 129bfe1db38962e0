//! Sorts the errors of Postgres into the classes of [`SinkErrorKind`].
//! Source: PostgreSQL 15 documentation, appendix A, "PostgreSQL Error Codes".

use std::{error::Error, time::Duration};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::SqlState;

use crate::sink::{SinkError, SinkErrorKind};

/// An error of one exchange with the server. By its code the store decides whether it can do
/// something about it; if not, the failure goes to the caller as a [`SinkError`].
#[derive(Debug)]
pub(super) struct Failure {
    /// The SQLSTATE of the server's answer; `None` where the server did not answer.
    pub code: Option<SqlState>,
    /// The class that the caller is told.
    pub kind: SinkErrorKind,
    /// What went wrong, with detail and hint of the server.
    pub message: String,
    /// Whether the error is COPY's answer to the rows it was sent. Only then can a row be at
    /// fault.
    pub of_copy: bool,
}

impl Failure {
    /// A failure of our own making, without a code.
    pub fn new(kind: SinkErrorKind, message: impl Into<String>) -> Failure {
        Failure { code: None, kind, message: message.into(), of_copy: false }
    }

    /// The same failure, marked as COPY's answer to the rows it was sent.
    pub fn of_copy(mut self) -> Failure {
        self.of_copy = true;
        self
    }

    /// The server has not answered within `limit`.
    pub fn timeout(limit: Duration) -> Failure {
        Failure::new(
            SinkErrorKind::Unavailable,
            format!("no answer within {} ms", limit.as_millis()),
        )
    }

    /// Whether a row is at fault, so that sending it again can't help: bad data
    /// (22), a constraint (23, 44), a limit such as nesting (54), the message of a row
    /// (08P01: "insufficient data left in message"), a trigger's RAISE (P0001).
    pub fn is_of_a_row(&self) -> bool {
        let Some(code) = self.code.as_ref().filter(|_| self.of_copy) else {
            return false;
        };
        matches!(class(code), "22" | "23" | "44" | "54") || matches!(code.code(), "08P01" | "P0001")
    }

    /// The error as the caller gets it, with the place (host, port, database) in its message.
    pub fn at(self, place: &str) -> SinkError {
        SinkError { kind: self.kind, message: format!("Postgres {place}: {}", self.message) }
    }
}

/// The first two characters of a code, which name its class.
fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

impl From<SinkError> for Failure {
    fn from(e: SinkError) -> Failure {
        Failure::new(e.kind, e.message)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Failure {
        let code = e.code().cloned();
        let (kind, message) = match e.as_db_error() {
            Some(db) => {
                let mut message = format!("{} ({})", db.message(), db.code().code());
                for more in [db.detail(), db.hint()].into_iter().flatten() {
                    message.push_str(": ");
                    message.push_str(more);
                }
                (kind_of_code(db.code(), db.message()), message)
            }
            None => (kind_of_chain(&e), chain(&e)),
        };
        Failure { code, kind, message, of_copy: false }
    }
}

impl From<PoolError> for Failure {
    fn from(e: PoolError) -> Failure {
        match e {
            PoolError::Backend(e) => e.into(),
            PoolError::Timeout(TimeoutType::Wait) => Failure::new(
                SinkErrorKind::Unavailable,
                "all connections are busy, and none became free in time",
            ),
            PoolError::Timeout(_) => Failure::new(
                SinkErrorKind::Unavailable,
                "no answer to the connection attempt in time",
            ),
            other => Failure::new(SinkErrorKind::Other, other.to_string()),
        }
    }
}

fn kind_of_code(code: &SqlState, message: &str) -> SinkErrorKind {
    use SinkErrorKind::*;
    match (class(code), code.code()) {
        (_, "25006") => ReadOnly,
        (_, "42501") | ("28", _) => Denied,
        // PgBouncer before 1.20 has this one code for everything, so its message decides.
        ("08", "08P01") if message.contains("authentication failed") => Denied,
        (_, "53100") => Full,
        // Lost connections, short resources, a rollback of our transaction, timeouts, a
        // shutdown, I/O errors: all of these pass by themselves.
        ("08" | "40" | "53" | "55" | "57" | "58", _) | (_, "25P03" | "25P04") => Unavailable,
        // No such database, no such schema, no such table or column.
        ("3D" | "3F" | "42", _) => Schema,
        _ => Other,
    }
}

/// The class of an error that is not an answer of the server. The driver has no codes for these,
/// so the types and texts of the causes decide.
fn kind_of_chain(e: &tokio_postgres::Error) -> SinkErrorKind {
    let first: &(dyn Error + 'static) = e;
    let of_tls = std::iter::successors(Some(first), |e| (*e).source()).any(|e| {
        let inner = e.downcast_ref::<std::io::Error>().and_then(|e| e.get_ref());
        e.is::<rustls::Error>() || inner.is_some_and(|e| e.is::<rustls::Error>())
    });
    let text = chain(e);
    if of_tls || text.contains("does not support TLS") {
        // Waiting does not make a certificate good. The writer tries again all the same, since
        // the server may be replaced.
        SinkErrorKind::Other
    } else if text.contains("does not allow writes") {
        SinkErrorKind::ReadOnly
    } else if text.contains("password missing") || text.contains("authentication error") {
        SinkErrorKind::Denied
    } else {
        SinkErrorKind::Unavailable
    }
}

/// The text of an error with the texts of all its causes. The error's own text is only the
/// outermost, such as "error connecting to server".
fn chain(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        let code = SqlState::from_code(code);
        let kind = kind_of_code(&code, "");
        Failure { code: Some(code), kind, message: String::new(), of_copy: true }
    }

    #[test]
    fn codes_have_their_class() {
        use SinkErrorKind::*;
        for (code, kind) in [
            ("57P01", Unavailable),
            ("57P03", Unavailable),
            ("57014", Unavailable),
            ("08006", Unavailable),
            ("53300", Unavailable),
            ("40P01", Unavailable),
            ("25006", ReadOnly),
            ("28P01", Denied),
            ("42501", Denied),
            ("53100", Full),
            ("42P01", Schema),
            ("3D000", Schema),
            ("XX000", Other),
        ] {
            assert_eq!(failure(code).kind, kind, "{code}");
            assert!(!failure(code).is_of_a_row(), "{code}");
        }
        for code in ["22P05", "22003", "23514", "54001", "08P01", "P0001"] {
            assert!(failure(code).is_of_a_row(), "{code}");
            let mut elsewhere = failure(code);
            elsewhere.of_copy = false;
            assert!(!elsewhere.is_of_a_row(), "{code}");
        }
    }
}
