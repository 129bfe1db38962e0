//! Floodmark.
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod live;
pub mod store;
