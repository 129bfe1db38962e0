//! `docs/API.md` is true: its requests are sent to a server in their order, and what comes back is
//! what it says; and it names every route, code, header and metric that there is, and no other.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod named;
mod pattern;
mod run;
