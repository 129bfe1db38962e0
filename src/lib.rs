//! Floodmark.
pub mod config;
pub mod demo;
pub mod domain;
pub mod http;
pub mod live;
pub mod store;
