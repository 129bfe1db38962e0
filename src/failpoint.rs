//! Named places in the code at which a test can make the process die as by `kill -9`
//! (`kill_point!`) or make the code panic (`panic_point!`).
//!
//! Cargo turns the feature behind them on when it builds for tests, by a dev-dependency. In what
//! `cargo build` and `cargo install` make, a point is no code at all. A test names the point, and
//! at which pass it acts, in the variable `FAILPOINTS`. Here the process dies at the 17th pass; for
//! a `panic_point!`, the test writes `panic` in place of `return`:
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
//! | `spool-run-stored` | a run is noted, nothing is written under it |
//! | `spool-cursors-stored` | the cursors are on disk, the segments that they have passed are too |
//! | `spool-unlinked` | a segment has left the log, the folders are not synced |
//! | `store-copied` | rows and ledger row are sent, not committed |
//! | `store-committed` | they are committed, the spool does not know it |
//! | `ids-claimed` | the ids of a request are claimed for this node (`dedupe.shared`), nothing is written |
//! | `ids-appended` | its events are on disk, Redis has not been told |
//! | `import-appended` | the events of an import are on disk, the store may not have them |
//! | `letters-marked` | dead letters are marked as being sent, nothing has left |
//! | `letters-sent` | the server has answered, they are not marked as sent |
//! | `retention-step` | rows of SQLite are removed and noted, not committed |
//! | `retention-detached` | a day of Postgres is detached and noted, not counted |
//! | `retention-copying` | the table for the copy of a day is there, with its trigger, and is empty |
//! | `retention-copied` | the rows that stay are copied, the copy is not attached |
//! | `forget-step` | rows of a person are deleted and noted, not committed |
//! | `archive-writing` | a file of the archive is on the list, and not begun |
//! | `archive-lose-row` | a row does not get into its file (nothing dies) |
//! | `archive-written` | it is there whole, and was not read back |
//! | `archive-checked` | all files of a unit were checked, its rows are in the store |
//! | `archive-dropping` | the rows are gone and the files kept, not committed |
//! | `archive-moved` | that is committed; there are more units |
//! | `archive-erasing` | a file was written anew without a person, and has not taken the place of the old one |
//! | `export-noted` | a slice of an export is in its file, and noted; there is more |
//! | `backup-spool` | the spool is copied, the SQLite file is not |
//! | `restore-copied` | a backup is copied beside the data dir, not in its place |
//! | `alert-changed` | an alert has fired or cleared, nobody knows of it (panics) |
//! | `held-PART` | the work of a part begins that a panic must not end, such as `held-rollups` (panics) |
//! | `live-counted` | a batch is counted, the spool does not know it |

/// Ends the process here, without any cleaning up, if a test has asked for that.
macro_rules! kill_point {
    ($name:literal) => {
        fail::fail_point!($name, |_| std::process::abort())
    };
}
pub(crate) use kill_point;

/// Panics here if a test has asked for that.
macro_rules! panic_point {
    ($name:expr) => {
        fail::fail_point!($name)
    };
}
pub(crate) use panic_point;

/// Reads `FAILPOINTS`. Only a debug build with the feature does so: not even a release build that
/// was made for benchmarks can be told to die by a variable.
pub fn arm() {
    if cfg!(debug_assertions) && fail::has_failpoints() {
        // Forgotten on purpose: dropping the scenario would disarm the points.
        std::mem::forget(fail::FailScenario::setup());
    }
}
