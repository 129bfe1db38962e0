//! Floodmark.
pub mod cli;
pub mod config;
pub mod counter;
pub mod demo;
pub mod domain;
pub mod http;
pub mod ingest;
pub mod live;
pub mod spool;
pub mod store;
pub mod telemetry;
