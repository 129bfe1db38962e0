//! What all test programs share: servers of a test's own, the clients, and what events add up to.
//!
//! Each folder of `tests/` is one program and compiles this as its module `support`.

// Each test program compiles this whole module and uses only a part of it.
#![allow(dead_code)]

pub mod batches;
pub mod browser;
pub mod certificate;
pub mod client;
pub mod ledger;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod program;
pub mod redis;
pub mod server;
pub mod shop;
pub mod sums;
pub mod terminal;
pub mod viewer;

/// The amount of an event's `properties`, in 1/10,000.
pub fn amount_of(properties: &serde_json::Value) -> i64 {
    let amount = properties["amount"].to_string();
    floodmark::domain::money::Amount::parse(amount.trim_matches('"'))
        .expect("the amounts of the shop are exact")
        .0
}
