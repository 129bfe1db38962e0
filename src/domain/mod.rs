//! Pure logic: what an event, an amount, a moment and a delta are. No I/O, and no
//! import of any other folder of this crate.
//!
//! An event crosses this folder in this order: [`event`] (decode and validate),
//! [`row`] (the bytes that the spool holds and that COPY sends), [`aggregate`] (what a
//! batch adds to the counters), [`delta`] (that sum, as it travels to the ledger, to
//! the live store and to the viewers).

pub mod aggregate;
pub mod alert;
pub mod batch;
pub mod currency;
pub mod delta;
pub mod event;
pub mod ids;
pub mod json;
pub mod metric;
pub mod money;
pub mod plain;
pub mod pool;
pub mod properties;
pub mod row;
pub mod rule;
pub mod sink;
pub mod time;
pub mod top;
pub mod totals;
