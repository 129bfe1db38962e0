//! Floodmark.
pub mod config;
pub mod domain;
pub mod live;
pub mod store;
