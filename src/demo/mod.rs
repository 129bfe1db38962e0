//! A simulated shop, so that a newcomer sees a dashboard with life in it, and so that
//! tests and load runs have traffic whose sums are known.
//!
//! [`shop::Shop`] plays visitors one by one (they land, look around, fill a cart, pay, or
//! leave) and gives their events in order of time. [`traffic`] says how many come when,
//! [`catalogue`] what there is to buy. Everything follows from a seed and a start time:
//! the same two give the same events, byte for byte.

pub mod catalogue;
pub mod event;
pub mod file;
pub mod shop;
pub mod traffic;
