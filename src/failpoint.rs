//! Named places at which a test makes the process die, as `kill -9` would: `kill_point!`; or
//! makes the code panic: `panic_point!`, for which the test writes `panic` in place of `return`.
//!
//! Cargo turns the feature behind them on where it builds for tests (a dev-dependency); in
//! what `cargo build` and `cargo install` make, a point is no code at all. A test names the
//! point and when in the variable `FAILPOINTS`, here the 17th time that it is passed:
//!
//! ```text
//! FAILPOINTS=spool-synced=16*off->return
//! ```
//!
//! | point | where |
//! | --- | --- |
//! | `spool-written` | a group is written, not synced |
//! | `spool-synced` | it is synced, nobody has been answered |
//! | `spool-rolled` | a new segment is there, the cursor file does not know it |
//! | `spool-cursors-stored` | the cursors are on disk, the segments that they have passed are too |
//! | `spool-unlinked` | a segment is gone, the folder is not synced |
//! | `store-copied` | rows and ledger row are sent, not committed |
//! | `store-committed` | they are committed, the spool does not know it |
//! | `ids-claimed` | the ids of a request are claimed for this node (`dedupe.shared`), nothing is written |
//! | `ids-appended` | its events are on disk, Redis has not been told |
//! | `alert-changed` | an alert has fired or cleared, nobody knows of it (panics) |
//! | `live-counted` | a batch is counted, the spool does not know it |

/// Dies here if a test has asked for it.
macro_rules! kill_point {
    ($name:literal) => {
        fail::fail_point!($name, |_| std::process::abort())
    };
}
pub(crate) use kill_point;

/// Panics here if a test has asked for it.
macro_rules! panic_point {
    ($name:literal) => {
        fail::fail_point!($name)
    };
}
pub(crate) use panic_point;

/// Reads `FAILPOINTS`, in a debug build with the feature only: not even a release build made
/// for benchmarks can be told to die.
pub fn arm() {
    if cfg!(debug_assertions) && fail::has_failpoints() {
        // Dropping it would disarm the points.
        std::mem::forget(fail::FailScenario::setup());
    }
}
