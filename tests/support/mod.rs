//! Fixtures that several test binaries share.
#![allow(dead_code)] // each binary uses its part

pub mod server;
