//! The stores, each against a real database of its own.

mod backend;
mod contract;
mod postgres;
#[path = "../support/mod.rs"]
mod support;
