//! What can go wrong with the spool, but for committing ([`super::CommitError`]).

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{domain::delta::DeltaError, spool::segment};

/// Why the spool could not be opened, read or tidied up.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk failed, or the permissions don't allow the operation.
    #[error("spool: can't {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version of Floodmark wrote this segment.
    #[error(
        "spool: {path} has format version {version}, this floodmark reads version \
         {current}: start the version that wrote it", current = segment::VERSION
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// The format version in its header.
        version: u32,
    },
    /// The batch is not in the spool: it was never sealed, or both sinks have settled it and
    /// The thread that read a batch has ended early.
    #[error("spool: reading was interrupted: {0}")]
    Interrupted(String),
    /// its segment was removed, or damaged while it was kept.
    #[error("spool: batch {seq} is not here")]
    Gone {
        /// The batch asked for.
        seq: u64,
    },
    /// The data dir is not this process's own any more, so nothing is written or removed.
    #[error("spool: {0}")]
    Displaced(String),
    /// The batch's bytes are intact, but a later version of Floodmark wrote its delta.
    #[error("spool: batch {seq}: {source}: start the version that wrote it")]
    Undecodable {
        /// The batch asked for.
        seq: u64,
        /// What the delta's decoder did not understand.
        source: DeltaError,
    },
}

/// Turns an I/O error into one that says what was tried on which file.
pub(super) fn failed<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> SpoolError + 'a {
    move |source| SpoolError::Io { what, path: path.to_owned(), source }
}
