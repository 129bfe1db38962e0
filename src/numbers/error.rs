//! Why a number can't be told.

/// The store does not answer, and what was asked for is only there. Whoever asked may ask again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rollups can't be read: {why}")]
pub struct Unavailable {
    /// What the store said, or how long it said nothing, in words.
    pub why: String,
}
