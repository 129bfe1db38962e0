//! What one read of the rollups asks for, and how much it may give.

use crate::{
    domain::delta::Series,
    sink::{SinkError, SinkErrorKind},
};

/// Series that are summed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summed {
    /// One series.
    One(Series),
    /// Events of all types.
    AllCounts,
}

impl Summed {
    /// The key in the rollups, or what all the keys begin with.
    pub(crate) fn key(&self) -> String {
        match self {
            Summed::One(series) => series.to_string(),
            Summed::AllCounts => Series::Count(String::new()).to_string(),
        }
    }
}

/// The most values that one read may return, over all series: some tens of MiB.
pub(crate) const ROLLUP_ROWS: usize = 500_000;

/// The error of a read that would give more than [`ROLLUP_ROWS`].
pub(crate) fn too_many_minutes() -> SinkError {
    let message = format!(
        "more than {ROLLUP_ROWS} minutes in one read of the rollups: ask for a shorter span or \
         for fewer series"
    );
    SinkError::new(SinkErrorKind::Other, message)
}
