//! Checks that `docs/API.md` is true. Its requests are sent to a server in their order, and the
//! answers must be those of the document. It must name every route, code, header and metric that
//! there is, and no other.

pub mod blocks;
mod named;
pub mod pattern;
mod run;

pub use named::{NOT_SHOWN, table};
