//! A simulated shop. It shows a newcomer a dashboard with life in it, and it gives tests and load
//! runs traffic whose sums are known.
//!
//! [`shop::Shop`] plays visitors one by one, who land, look around, fill a cart, pay or leave, and
//! yields their events in order of time. [`traffic`] decides how many visitors come when, and
//! [`catalogue`] what there is to buy. Everything follows from a seed and a start time: the same
//! two always give the same events, byte for byte.

pub mod catalogue;
pub mod event;
pub mod file;
pub mod shop;
pub mod traffic;
mod visitor;
