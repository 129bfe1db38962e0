//! The stores, each against a real database of its own.

mod backend;
mod contract;
#[path = "../support/mod.rs"]
mod support;
