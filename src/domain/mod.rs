//! Pure logic: what an event, an amount, a moment and a delta are. Nothing here does I/O, and
//! nothing imports another folder of this crate or a web library. (Tests alone reach up, for
//! the shipped configuration.)
//!
//! An event crosses this folder in this order: [`event`] checks it and encodes it as a [`row`],
//! the bytes that the spool holds and that COPY sends. [`aggregate`] computes what the rows of a
//! batch add to the counters, by the rules of [`metric`]. That sum is a [`delta`], which travels
//! to the ledger, to the live store and to the viewers. [`alert`] judges the numbers that come
//! of it.

pub mod access;
pub mod aggregate;
pub mod alert;
pub mod batch;
pub mod books;
pub mod bot;
pub mod cause;
pub mod chain;
pub mod consent;
pub mod csv;
pub mod currency;
pub mod dead_letter;
pub mod delta;
pub mod event;
pub mod event_filter;
pub mod event_names;
pub mod ids;
pub mod imported;
pub mod json;
pub mod mark;
pub mod metric;
pub mod money;
pub mod number;
pub mod occasion;
pub mod orders;
pub mod pace;
pub mod packed;
pub mod plain;
pub mod pool;
pub mod privacy;
pub mod properties;
pub mod row;
pub mod rule;
pub mod runs;
pub mod shape;
pub mod sink;
pub mod sketch;
pub mod source;
pub mod student;
pub mod time;
pub mod top;
pub mod totals;
pub mod veil;
