//! Upgrades, with real builds of earlier versions: nodes are exchanged one by one under load and back
//! again, and what the oldest version has left behind is read. `./test --upgrade` makes the builds and runs
//! these tests, which are ignored otherwise.

mod forward;
mod rolling;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use support::shop;

/// The program that a variable names, which is a build of an earlier version.
fn build_of(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| panic!("{variable} names no program: run ./test --upgrade"));
    path.canonicalize().unwrap_or_else(|e| panic!("{variable}={}: {e}", path.display()))
}

/// The version before: this one's nodes give way to it again.
pub fn previous() -> PathBuf {
    build_of("PREVIOUS_BUILD")
}

/// The oldest version whose files are read. It refuses a schema of later versions, so nobody goes back to
/// it.
pub fn oldest() -> PathBuf {
    build_of("OLDEST_BUILD")
}
