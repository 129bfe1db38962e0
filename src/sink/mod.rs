//! The way of a sealed batch from the spool to a sink. It is the same for both sinks, the store and
//! the live side; each of them is a [`Target`].
//!
//! ```text
//!  ingest ──WriteBatch──> LaneWriter ──write──> Target (the store, or the live side)
//!    ^   by lane (seq % 4)    │ │
//!    └────────Settled─────────┘ └─ BatchReader ── reads from the spool what has left the memory
//! ```
//!
//! [`Dispatch`] gives each lane its next batch. [`LaneWriter`] tries to write it until the target
//! has it. What writing means is up to the target: `store/store_target/mod.rs` commits a batch,
//! and `live/target.rs` counts it. This folder knows neither of them, so a third sink would be a third
//! target.

mod dispatch;
mod error;
mod heads;
mod installation;
mod lane_writer;
mod lease;
mod looked;
mod read;
mod recent;
mod target;
#[cfg(test)]
mod tests;

pub use crate::domain::sink::Sink;
pub use dispatch::{Dispatch, LaneOrder, Settled, WriteBatch};
pub use error::{SinkError, SinkErrorKind};
pub use heads::{HasHeads, Heads, last_of_lane, newest_of_lane, next_of_lane};
pub use installation::{INSTALLATION_FILE, Installation, Terms};
pub use lane_writer::LaneWriter;
pub use lease::Lease;
pub use looked::Looked;
pub use read::BatchReader;
pub use recent::RecentBatches;
pub use target::Target;
