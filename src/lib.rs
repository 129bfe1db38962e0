//! Floodmark: live numbers for a shop. Every event kept, every second shown.
//!
//! An event's way through the folders of this crate: [`http`] reads, checks and encodes it
//! ([`domain`]); [`ingest`] gathers it into a batch; [`spool`] has it on disk, and the client
//! its 202; [`store`] keeps it for good and [`live`] counts it, each at its own pace;
//! [`broadcast`] sends what was counted to everyone who watches, and [`alert`] watches for them. [`app`] wires these up.

pub mod alert;
pub mod app;
pub mod broadcast;
pub mod cli;
pub mod config;
pub mod counter;
pub mod demo;
pub mod domain;
pub mod failpoint;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod ingest;
pub mod live;
pub mod open_files;
pub mod panics;
pub mod retry;
pub mod spool;
pub mod store;
pub mod telemetry;
