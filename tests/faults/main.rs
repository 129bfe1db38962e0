//! The fault matrix: each test runs the real program under load, on servers of its own, and breaks
//! something. Whatever breaks, events that were answered with 202 are stored once and counted once.
//!
//! One test is one row of the table in `docs/RELIABILITY.md`: it runs a [`shop`], sends to it
//! with [`load`], watches it with a [`viewer`], breaks something, and leaves the comparison and
//! the table's line to [`verdict`]. [`past`] has the second table: parts that come back with another
//! past. [`history`] judges what was seen from outside while faults came as a seed decides. The long forms are ignored here; `./test --soak` runs them.

mod clients;
mod clock;
mod damage;
mod disk;
mod history;
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
mod wait;
