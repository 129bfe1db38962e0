//! HTTP.
pub mod wire;
