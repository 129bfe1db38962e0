//! The programs of `examples/` do what they say: each is run as a user runs it, with the real
//! interpreter or browser, against a real server.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod programs;
mod script;
mod webhook;
