//! Floodmark.
pub mod config;
pub mod domain;
pub mod live;
pub mod spool;
pub mod store;
