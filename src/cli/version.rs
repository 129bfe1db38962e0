//! Which program this is, for people and for reports of bugs.

/// The commit and the day of the build's sources, or that this is a build for trying things out.
/// `build.rs` finds them out.
pub const BUILD: &str = env!("BUILT_FROM");

/// The version with that.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILT_FROM"), ")");
