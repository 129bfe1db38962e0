//! Floodmark.
pub mod broadcast;
pub mod config;
pub mod domain;
pub mod http;
pub mod live;
pub mod store;
