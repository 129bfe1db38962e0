//! The second matrix: a part comes back with another past. It is an older copy of itself, a clone
//! beside itself, that of another shop, or one that is ahead of the rest. Whichever it is, every
//! event that was answered with 202 is stored once and counted once, or the node says how many
//! batches are missing in the store. None is lost without a word.
//!
//! One test is one row of the second table in `docs/RELIABILITY.md`, and one file has the rows of
//! one part. A test runs an [`installation`], sends to it under the fault, and leaves the comparison
//! and the table's line to [`judge`], which then also empties the live counters and compares again.

mod clock;
mod data_dir;
mod data_dir_clone;
mod installation;
mod judge;
mod postgres;
mod postgres_foreign;
mod redis;
mod settings;
mod sqlite;
