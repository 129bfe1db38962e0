//! The two kinds of place that every batch goes to.

/// A place that gets every sealed batch. The spool keeps a cursor for each, and deletes what
/// both have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sink {
    /// Where events are kept for good: Postgres or SQLite.
    Store,
    /// The live counters: Redis, or this process.
    Live,
}

impl Sink {
    /// Both.
    pub const ALL: [Sink; 2] = [Sink::Store, Sink::Live];

    /// The label `sink` of metrics, and the part of `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Sink::Store => "store",
            Sink::Live => "live",
        }
    }
}

impl std::fmt::Display for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
