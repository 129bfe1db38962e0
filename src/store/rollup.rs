//! Rollups: what was counted, by minute of event time, kept for good. A fold takes ledger
//! rows that no fold has taken yet, adds up their cells and adds the sums to the rollups, in
//! one transaction with the heads that say how far each lane is folded. So every ledger row
//! is in the rollups once, whenever a fold is killed and however many nodes fold.
//!
//! Batches of a (node, lane) are stored in ascending order, each in a transaction that holds
//! the lane's row of `ledger_heads`. So whoever sees one sees all before it, and a head is
//! the whole truth about a lane.

use hashbrown::HashMap;

use crate::{
    domain::{
        batch::NodeId,
        delta::{Delta, Series},
        time::{MINUTE, Millis, bucket},
    },
    sink::{SinkError, SinkErrorKind},
};

/// How much one fold takes at most. At least one ledger row is taken whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct FoldLimits {
    /// Ledger rows.
    pub rows: u64,
    /// Bytes of encoded deltas.
    pub bytes: u64,
    /// Sums to add to the rollups. Reached by events spread over many minutes.
    pub cells: usize,
}

impl Default for FoldLimits {
    /// Some tens of milliseconds' work, and a few MiB of memory.
    fn default() -> FoldLimits {
        FoldLimits { rows: 1_000, bytes: 4 * 1024 * 1024, cells: 50_000 }
    }
}

/// What one fold did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Ledger rows that are now in the rollups and were not before.
    pub rows: u64,
    /// Nothing is left for this node: all is folded, or another node is at it.
    pub done: bool,
    /// A ledger row that this version can't read, in words. Its lane waits there for a node
    /// that can: during an upgrade, one of the new version.
    pub unreadable: Option<String>,
}

impl Folded {
    pub(crate) fn nothing(done: bool) -> Folded {
        Folded { rows: 0, done, unreadable: None }
    }
}

/// Which stretch of time the rollups tell the whole truth about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When the first batch with events was sealed, Unix ms; `None` before there was one.
    /// Not the oldest minute: one phone with a wrong clock would make that 1970, and a shop
    /// on its first day would have had no sales yesterday instead of no yesterday.
    pub since: Option<Millis>,
    /// When the first batch was sealed that is not folded yet; `None` where all are.
    pub until: Option<Millis>,
}

impl Known {
    /// Whether all of `[from, to)` is known, so that what is not there is zero.
    pub fn covers(&self, from: Millis, to: Millis) -> bool {
        self.since.is_some_and(|since| from >= since) && self.until.is_none_or(|until| to <= until)
    }
}

/// Series that are summed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summed {
    /// One series.
    One(Series),
    /// Events of all types.
    AllCounts,
}

impl Summed {
    /// The key in the rollups, or how all the keys start.
    pub(crate) fn key(&self) -> String {
        match self {
            Summed::One(series) => series.to_string(),
            Summed::AllCounts => Series::Count(String::new()).to_string(),
        }
    }
}

/// Minutes of one read at most, over all series: some tens of MiB.
pub(crate) const ROLLUP_ROWS: usize = 500_000;

/// The error of a read that would give more than [`ROLLUP_ROWS`].
pub(crate) fn too_many_minutes() -> SinkError {
    let message = format!(
        "more than {ROLLUP_ROWS} minutes in one read of the rollups: ask for a shorter span or \
         for fewer series"
    );
    SinkError::new(SinkErrorKind::Other, message)
}

/// SQL for both stores: a sum that stops at the ends of its type, as in the mirror, where
/// overflow would fail the fold for ever.
pub(crate) const ADD_UP: &str = "CASE
    WHEN excluded.value > 0 AND rollups.value > 9223372036854775807 - excluded.value
        THEN 9223372036854775807
    WHEN excluded.value < 0 AND rollups.value < -9223372036854775807 - excluded.value
        THEN -9223372036854775807
    ELSE rollups.value + excluded.value END";

/// SQL for both stores: lanes with batches that are not folded yet.
pub(crate) const BEHIND: &str = "SELECT h.node, h.lane, coalesce(f.seq, 0), h.seq
    FROM ledger_heads h LEFT JOIN fold_heads f ON f.node = h.node AND f.lane = h.lane
    WHERE h.seq > coalesce(f.seq, 0)";

/// SQL for both stores: [`Known`].
pub(crate) const KNOWN: &str = "SELECT (SELECT min(since) FROM fold_heads),
    (SELECT min((SELECT l.sealed_at FROM ledger l
                 WHERE l.node = h.node AND l.lane = h.lane AND l.seq > coalesce(f.seq, 0)
                       AND l.events > 0
                 ORDER BY l.seq LIMIT 1))
     FROM ledger_heads h LEFT JOIN fold_heads f ON f.node = h.node AND f.lane = h.lane
     WHERE h.seq > coalesce(f.seq, 0))";

/// A lane that is behind.
pub(crate) struct FoldLane {
    pub node: NodeId,
    pub lane: i64,
    /// The last batch that is folded; 0 for none.
    pub folded: i64,
    /// The last batch that is stored.
    pub stored: i64,
}

/// What a fold needs of a ledger row.
pub(crate) struct LedgerRow {
    pub seq: i64,
    pub sealed_at: Millis,
    pub events: i64,
    pub delta: Vec<u8>,
}

/// A head to move.
pub(crate) struct Head {
    pub node: NodeId,
    pub lane: i64,
    pub from: i64,
    pub to: i64,
    /// When the first batch with events among these was sealed.
    pub since: Option<Millis>,
}

/// Adds up ledger rows, lane by lane.
pub(crate) struct Fold {
    limits: FoldLimits,
    sums: HashMap<Series, HashMap<Millis, i64>>,
    cells: usize,
    rows: u64,
    bytes: u64,
    behind: bool,
    unreadable: Option<String>,
    pub heads: Vec<Head>,
}

impl Fold {
    pub fn new(limits: FoldLimits) -> Fold {
        Fold {
            limits,
            sums: HashMap::new(),
            cells: 0,
            rows: 0,
            bytes: 0,
            behind: false,
            unreadable: None,
            heads: Vec::new(),
        }
    }

    /// Rows and bytes that may still be read; `None` where it is full.
    pub fn room(&self) -> Option<(u64, u64)> {
        let rows = self.limits.rows.saturating_sub(self.rows);
        let bytes = self.limits.bytes.saturating_sub(self.bytes);
        let cells = self.limits.cells.saturating_sub(self.cells);
        let first = self.rows == 0;
        (first || (rows > 0 && bytes > 0 && cells > 0)).then_some((rows.max(1), bytes.max(1)))
    }

    /// A lane that has to wait for the next fold.
    pub fn leave(&mut self) {
        self.behind = true;
    }

    /// Adds a lane's next rows, ascending, at most as many as there was room for. No row
    /// means that there is none up to the lane's last batch, whoever removed them.
    pub fn add(&mut self, lane: &FoldLane, rows: &[LedgerRow]) {
        let mut head = Head {
            node: lane.node,
            lane: lane.lane,
            from: lane.folded,
            to: if rows.is_empty() { lane.stored } else { lane.folded },
            since: None,
        };
        let mut stuck = false;
        for row in rows {
            if self.room().is_none() {
                break;
            }
            match Delta::decode(&row.delta, None) {
                Ok(delta) => self.add_cells(&delta),
                Err(e) => {
                    self.unreadable = Some(format!("batch {} of node {}: {e}", row.seq, lane.node));
                    stuck = true;
                    break;
                }
            }
            self.rows += 1;
            self.bytes += row.delta.len() as u64;
            head.to = row.seq;
            if row.events > 0 && head.since.is_none() {
                head.since = Some(row.sealed_at);
            }
        }
        self.behind |= head.to < lane.stored && !stuck;
        if head.to > head.from {
            self.heads.push(head);
        }
    }

    fn add_cells(&mut self, delta: &Delta) {
        for (second, series, value) in delta.cells() {
            let minutes = match self.sums.get_mut(series) {
                Some(minutes) => minutes,
                None => self.sums.entry(series.clone()).or_default(),
            };
            let sum = minutes.entry(bucket(second, MINUTE)).or_insert_with(|| {
                self.cells += 1;
                0
            });
            *sum = sum.saturating_add(value);
        }
    }

    /// (series, minute, value) to add to the rollups, in the order of their key.
    pub fn sums(&self) -> Vec<(String, Millis, i64)> {
        let mut sums: Vec<_> = self
            .sums
            .iter()
            .flat_map(|(series, minutes)| {
                let key = series.to_string();
                minutes.iter().map(move |(minute, value)| (key.clone(), *minute, *value))
            })
            .filter(|sum| sum.2 != 0)
            .collect();
        sums.sort_unstable();
        sums
    }

    pub fn outcome(&self) -> Folded {
        Folded { rows: self.rows, done: !self.behind, unreadable: self.unreadable.clone() }
    }
}

/// A run of rowids in SQLite's `events` with the seconds that it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub rows: (i64, i64),
    pub seconds: (Millis, Millis),
}

/// Rows and milliseconds of a merged run at most: what a read of one minute may read in vain.
const RUN_ROWS: i64 = 20_000;
const RUN_MS: Millis = 10 * MINUTE;

/// Merges runs that follow each other.
pub(crate) fn merged(mut runs: Vec<Run>) -> Vec<Run> {
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
    use crate::domain::delta::DeltaSum;

    fn row(seq: i64, minutes: std::ops::Range<i64>) -> LedgerRow {
        let mut sum = DeltaSum::default();
        minutes.for_each(|minute| sum.count("page_view", minute * MINUTE + 59_000));
        let delta = sum.finish().encode_cells();
        LedgerRow { seq, sealed_at: seq * 10, events: 1, delta }
    }

    fn lane(folded: i64, stored: i64) -> FoldLane {
        FoldLane { node: NodeId::nil(), lane: 1, folded, stored }
    }

    #[test]
    fn a_fold_stops_at_each_limit_and_moves_on_by_one_row_at_least() {
        let all = FoldLimits::default();
        for (limits, taken) in [
            (all, 3),
            (FoldLimits { rows: 2, ..all }, 2),
            (FoldLimits { bytes: 1, ..all }, 1),
            (FoldLimits { cells: 10, ..all }, 2),
            (FoldLimits { rows: 0, bytes: 0, cells: 0 }, 1),
        ] {
            let mut fold = Fold::new(limits);
            let rows = [row(5, 0..6), row(9, 4..10), row(13, 0..1)];
            fold.add(&lane(1, 13), &rows);
            let outcome = fold.outcome();
            assert_eq!((outcome.rows, outcome.done), (taken, taken == 3), "{limits:?}");
            assert_eq!(fold.heads[0].to, 1 + 4 * taken as i64);
            assert_eq!((fold.heads[0].from, fold.heads[0].since), (1, Some(50)));
            assert_eq!(fold.room().is_some(), taken == 3);
        }
    }

    #[test]
    fn sums_are_by_minute_and_in_order() {
        let mut fold = Fold::new(FoldLimits::default());
        fold.add(&lane(0, 5), &[row(1, 8..11), row(5, 9..10)]);
        let key = "c:page_view".to_owned();
        let at = |minute, value| (key.clone(), minute * MINUTE, value);
        assert_eq!(fold.sums(), [at(8, 1), at(9, 2), at(10, 1)]);
    }

    #[test]
    fn a_lane_without_rows_is_folded_to_its_end() {
        let mut fold = Fold::new(FoldLimits::default());
        fold.add(&lane(1, 9), &[]);
        assert_eq!((fold.heads[0].to, fold.heads[0].since), (9, None));
        assert_eq!(fold.outcome(), Folded::nothing(true));
    }

    #[test]
    fn a_row_of_another_version_stops_its_lane_only() {
        let mut fold = Fold::new(FoldLimits::default());
        let mut foreign = row(5, 0..1);
        foreign.delta[0] = 99;
        fold.add(&lane(0, 9), &[row(1, 0..1), foreign, row(9, 0..1)]);
        fold.add(&FoldLane { lane: 2, ..lane(0, 6) }, &[row(2, 0..1), row(6, 0..1)]);
        let outcome = fold.outcome();
        assert_eq!((outcome.rows, outcome.done), (3, true), "no reason to try at once again");
        assert!(outcome.unreadable.unwrap().contains("batch 5 of node"));
        assert_eq!(fold.heads.iter().map(|head| head.to).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(fold.sums()[0].2, 3);
    }

    #[test]
    fn nothing_is_known_before_the_first_batch_or_past_what_is_folded() {
        assert!(!Known::default().covers(0, 1));
        let known = Known { since: Some(100), until: None };
        assert!(known.covers(100, 1_000) && !known.covers(99, 1_000));
        let known = Known { until: Some(500), ..known };
        assert!(known.covers(100, 500) && !known.covers(100, 501));
    }

    #[test]
    fn all_counts_and_nothing_else_start_alike() {
        let start = Summed::AllCounts.key();
        assert!(Series::Count("a".into()).to_string().starts_with(&start));
        assert!(!Series::revenue().to_string().starts_with(&start));
    }

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
