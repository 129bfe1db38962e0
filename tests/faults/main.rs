//! The fault matrix: the real program, under load, on real servers of its own, while something
//! breaks. Whatever breaks, what was answered 202 is stored once and counted once.
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
mod shop;
#[path = "../support/mod.rs"]
mod support;
mod verdict;
mod viewer;
mod viewers;
