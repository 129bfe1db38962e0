//! Runs of rowids, by which a read over time finds its events in SQLite. `events` has no index on
//! time there; a ledger row says between which rowids the events of its batch lie. When ledger
//! rows are dropped, their runs are merged and kept in `event_runs`.

use crate::domain::time::{MINUTE, Millis};

/// A run of rowids in SQLite's `events`, with the time that their events span. SQLite has no index
/// on time; a read over time looks at the runs that touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first and the last rowid.
    pub rows: (i64, i64),
    /// The first and the last second with events, Unix ms.
    pub seconds: (Millis, Millis),
}

/// The most rows of a merged run. A read of one minute reads a run that touches it whole, so this
/// is how many rows it may read in vain.
const RUN_ROWS: i64 = 20_000;
/// The longest time that a merged run spans, in ms.
const RUN_MS: Millis = 10 * MINUTE;

/// Merges runs that follow each other, as long as the result stays small. Otherwise there would be
/// one run for each batch that ever was.
pub(super) fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable_by_key(|run| run.rows);
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        if let Some(last) = out.last_mut() {
            let seconds = (last.seconds.0.min(run.seconds.0), last.seconds.1.max(run.seconds.1));
            if last.rows.1 + 1 == run.rows.0
                && run.rows.1 - last.rows.0 < RUN_ROWS
                && seconds.1 - seconds.0 < RUN_MS
            {
                *last = Run { rows: (last.rows.0, run.rows.1), seconds };
                continue;
            }
        }
        out.push(run);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_runs_are_merged_within_bounds() {
        let run = |first, last, second| Run { rows: (first, last), seconds: (second, second + 5) };
        let merged_runs = merged(vec![run(11, 20, 3), run(1, 10, 7), run(22, 30, 9)]);
        assert_eq!(merged_runs, [Run { rows: (1, 20), seconds: (3, 12) }, run(22, 30, 9)]);
        let far = vec![run(1, 10, 0), run(11, 20, RUN_MS)];
        assert_eq!(merged(far.clone()), far);
        let large = vec![run(1, RUN_ROWS, 0), run(RUN_ROWS + 1, RUN_ROWS + 2, 0)];
        assert_eq!(merged(large.clone()), large);
    }
}
