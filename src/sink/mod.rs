//! What both sinks have in common: how a sealed batch gets from the spool to a [`Target`].
//!
//! ```text
//!  ingest ──WriteBatch──> LaneWriter ──write──> Target (the store, or the live side)
//!    ^   by lane (seq % 4)    │ │
//!    └────────Settled─────────┘ └─ BatchReader ── what is not in memory any more, from the spool
//! ```
//!
//! [`Dispatch`] gives each lane its next batch, [`LaneWriter`] writes it until it is there, and
//! the target says what "there" means: `store/target.rs` and `live/target.rs`. This folder knows
//! neither of them, so a third sink would be a third target.

mod dispatch;
mod error;
mod lane_writer;
mod lease;
mod read;
mod recent;
mod target;
#[cfg(test)]
mod tests;

pub use crate::domain::sink::Sink;
pub use dispatch::{Dispatch, Settled, WriteBatch};
pub use error::{SinkError, SinkErrorKind};
pub use lane_writer::LaneWriter;
pub use lease::Lease;
pub use read::BatchReader;
pub use recent::RecentBatches;
pub use target::Target;
