//! Why a sink could not do what it was asked.

/// An answer of a sink, or none. Whoever asked tries again: none of these is taken for good.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct SinkError {
    /// The class, as the metric `floodmark_sink_errors_total{kind}` names it.
    pub kind: SinkErrorKind,
    /// What failed, on what, and what to do.
    pub message: String,
}

impl SinkError {
    /// An error of a class, in these words.
    pub fn new(kind: SinkErrorKind, message: impl Into<String>) -> SinkError {
        SinkError { kind, message: message.into() }
    }
}

/// The class of a [`SinkError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorKind {
    /// It is not reachable: it restarts, the connection is lost, a cluster is down.
    Unavailable,
    /// It takes no writes: a standby after a failover, a replica, a read-only file.
    ReadOnly,
    /// It refused our credentials.
    Denied,
    /// Its disk or its memory is full.
    Full,
    /// Its schema is missing or of another version. Only a store says this.
    Schema,
    /// It was emptied and is being rebuilt from the ledger. Only the live side says this.
    Rebuilding,
    /// Anything else it answered.
    Other,
}

impl SinkErrorKind {
    /// The label `kind` of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            SinkErrorKind::Unavailable => "unavailable",
            SinkErrorKind::ReadOnly => "read_only",
            SinkErrorKind::Denied => "denied",
            SinkErrorKind::Full => "full",
            SinkErrorKind::Schema => "schema",
            SinkErrorKind::Rebuilding => "rebuilding",
            SinkErrorKind::Other => "other",
        }
    }
}

impl std::fmt::Display for SinkErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
