//! Checks that the programs of `examples/` work: each is run as a user runs it, with the real
//! interpreter or browser, against a real server.

mod browser;
mod programs;
mod script;
mod webhook;
