//! Fixtures that several test binaries share.
#![allow(dead_code)] // each binary uses its part

pub mod batches;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
