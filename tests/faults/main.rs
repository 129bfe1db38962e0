//! The fault matrix: each test runs the real program under load, on servers of its own, and breaks
//! something. Whatever breaks, events that were answered with 202 are stored once and counted once.
//!
//! One test is one row of the table in `docs/RELIABILITY.md`: it runs a [`shop`], sends to it
//! with [`load`], watches it with a [`viewer`], breaks something, and leaves the comparison and
//! the table's line to [`verdict`]. The long forms are ignored here; `./test --soak` runs them.

mod clients;
mod clock;
mod damage;
mod disk;
mod ids;
mod kills;
mod load;
mod node;
mod nodes;
mod outages;
mod past;
mod shop;
#[path = "../support/mod.rs"]
mod support;
mod verdict;
mod viewer;
mod viewers;
