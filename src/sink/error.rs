//! The errors of both sinks.

/// Why a sink could not do what it was asked. Whoever asked tries again, since each of these may
/// pass: no error makes a batch be given up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct SinkError {
    /// The class, as the metric `floodmark_sink_errors_total{kind}` names it.
    pub kind: SinkErrorKind,
    /// What failed, on what, and what to do.
    pub message: String,
}

impl SinkError {
    /// An error of this class, with this message.
    pub fn new(kind: SinkErrorKind, message: impl Into<String>) -> SinkError {
        SinkError { kind, message: message.into() }
    }
}

/// The class of a [`SinkError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorKind {
    /// The sink is not reachable: it restarts, the connection is lost, a cluster is down.
    Unavailable,
    /// The sink takes no writes: it is a standby after a failover, a replica, a read-only file.
    ReadOnly,
    /// The sink refused our credentials.
    Denied,
    /// The sink's disk or memory is full.
    Full,
    /// The schema is missing or of another version. Only a store says this.
    Schema,
    /// The counters are being rebuilt from the ledger. Only the live side says this.
    Rebuilding,
    /// The sink belongs to another installation ([`super::Installation`]).
    Foreign,
    /// The sink's numbers were made by settings that this node does not have ([`super::Terms`]).
    Settings,
    /// Anything else that the sink answered.
    Other,
}

impl SinkErrorKind {
    /// All of them.
    pub const ALL: [SinkErrorKind; 9] = [
        SinkErrorKind::Unavailable,
        SinkErrorKind::ReadOnly,
        SinkErrorKind::Denied,
        SinkErrorKind::Full,
        SinkErrorKind::Schema,
        SinkErrorKind::Rebuilding,
        SinkErrorKind::Foreign,
        SinkErrorKind::Settings,
        SinkErrorKind::Other,
    ];

    /// The label `kind` of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            SinkErrorKind::Unavailable => "unavailable",
            SinkErrorKind::ReadOnly => "read_only",
            SinkErrorKind::Denied => "denied",
            SinkErrorKind::Full => "full",
            SinkErrorKind::Schema => "schema",
            SinkErrorKind::Rebuilding => "rebuilding",
            SinkErrorKind::Foreign => "foreign",
            SinkErrorKind::Settings => "settings",
            SinkErrorKind::Other => "other",
        }
    }
}

impl std::fmt::Display for SinkErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
