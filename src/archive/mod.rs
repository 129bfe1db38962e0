//! The archive: days that are too old for the store are Parquet files in a folder or a bucket, partitioned as
//! `date=2026-11-27/type=purchase/`, which other programs read as they are; and they are answered from still.
//!
//! ```text
//!  Mover ── unit ─> files, each read back ─> one transaction: rows leave the store, files are kept
//!  ArchivedEvents ── a question ─> the store, and the files of its days ─> one answer
//! ```
//!
//! | file | what it is about |
//! | --- | --- |
//! | [`objects`] | where files are |
//! | [`write`] | how rows become files that were checked |
//! | [`file`] | how a file is read |
//! | [`mover`] | when what moves |
//! | `erase` | how a person is forgotten in files |
//! | [`scan`] | rows of some files within a span |
//! | [`answers`] | how questions are answered from store and files together; `exported`: and exports |

pub mod answers;
mod erase;
mod exported;
pub mod file;
pub mod mover;
pub mod objects;
pub mod scan;
pub mod write;

use std::sync::Arc;

use self::{answers::ArchivedEvents, objects::ArchiveObjects};
use crate::{config::ArchiveConfig, store::Stores};

/// Lets all that reads events read those in the archive, too.
///
/// # Errors
/// The archive of the configuration can't be opened; in words.
pub fn attach(mut stores: Stores, config: &ArchiveConfig) -> Result<Stores, String> {
    let objects = ArchiveObjects::open(config)?.map(Arc::new);
    let events = ArchivedEvents::new(&stores, objects);
    let events = Arc::new(events);
    stores.archived = Some(events.clone());
    stores.events = events;
    Ok(stores)
}
