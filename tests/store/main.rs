//! Tests of the stores, Postgres and SQLite, each against a real database of its own.

mod access;
mod archive;
mod backend;
mod baselines;
mod books;
mod breakdowns;
mod chain;
mod contract;
mod export;
mod forget;
mod imported;
mod ledger;
mod letters;
mod marks;
mod orders;
mod parts;
mod postgres;
mod remake;
mod retention;
mod rollups;
mod schemas;
mod sketches;
#[path = "../support/mod.rs"]
mod support;
mod verify;
