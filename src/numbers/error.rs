//! The error of a question that only the store can answer.

/// The store does not answer, and no memory has what was asked for. The same question may be
/// answered later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rollups can't be read: {why}")]
pub struct Unavailable {
    /// The store's error, or how long it did not answer, in words.
    pub why: String,
}
