//! Rollups: what was counted, by minute of event time, kept for good. A fold takes ledger rows
//! that no fold has taken yet, adds up their cells, and adds the sums to the rollups. In the same
//! transaction it moves the heads that say how far each lane is folded. So every ledger row is in
//! the rollups once, at whatever point a fold is killed and however many nodes fold.
//!
//! Each lane of each node has two heads, and the ledger rows between them are what a fold takes:
//!
//! ```text
//!  batches of one lane    1    5    9   13   17   21
//!                         └─dropped─┘    ^         ^
//!                                        │         └─ ledger_heads.seq: the last that is stored
//!                                        └─ fold_heads.seq: the last that is folded, so that
//!                                           17 and 21 are next
//! ```
//!
//! Batches of a lane are stored in ascending order, each in a transaction that holds the lane's
//! row of `ledger_heads`. So whoever sees one batch sees all before it, and a single number says
//! how far a lane has come. A row may be dropped only once it lies at or before the fold's head.

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
    /// Bytes of encoded deltas, which are held in memory.
    pub bytes: u64,
    /// Sums to add to the rollups. Events that are spread over many minutes reach this limit first.
    pub cells: usize,
}

impl Default for FoldLimits {
    /// A fold of this size takes some tens of milliseconds and a few MiB of memory.
    fn default() -> FoldLimits {
        FoldLimits { rows: 1_000, bytes: 4 * 1024 * 1024, cells: 50_000 }
    }
}

/// What one fold did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Ledger rows that are now in the rollups and were not before.
    pub rows: u64,
    /// Whether nothing is left to do for this node: all is folded, or another node is folding.
    pub done: bool,
    /// Names a ledger row that this version can't read. Its lane waits there for a node that can:
    /// during an upgrade, one of the new version.
    pub unreadable: Option<String>,
}

impl Folded {
    /// The outcome of a fold that changed nothing.
    pub(crate) fn nothing(done: bool) -> Folded {
        Folded { rows: 0, done, unreadable: None }
    }
}

/// The stretch of time of which the rollups are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When the first batch with events was sealed, Unix ms; `None` before there was one.
    /// It is not the oldest minute, since one phone with a wrong clock would make that 1970. A
    /// shop on its first day would then appear to have sold nothing yesterday, while in truth
    /// nothing is known of yesterday.
    pub since: Option<Millis>,
    /// When the first batch was sealed that is not folded yet; `None` where all are folded.
    pub until: Option<Millis>,
}

impl Known {
    /// Whether all of `[from, to)` is known, so that a minute without a value means zero.
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
    /// The key in the rollups, or what all the keys begin with.
    pub(crate) fn key(&self) -> String {
        match self {
            Summed::One(series) => series.to_string(),
            Summed::AllCounts => Series::Count(String::new()).to_string(),
        }
    }
}

/// The most values that one read may return, over all series: some tens of MiB.
pub(crate) const ROLLUP_ROWS: usize = 500_000;

/// The error of a read that would give more than [`ROLLUP_ROWS`].
pub(crate) fn too_many_minutes() -> SinkError {
    let message = format!(
        "more than {ROLLUP_ROWS} minutes in one read of the rollups: ask for a shorter span or \
         for fewer series"
    );
    SinkError::new(SinkErrorKind::Other, message)
}

/// SQL for both stores: a sum that stops at the ends of its type, as it does in the mirror. An
/// overflow would be an error, and the same fold would fail again and again.
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

/// A lane with batches that are stored but not folded.
pub(crate) struct FoldLane {
    /// The node that sealed the batches.
    pub node: NodeId,
    /// The lane of that node.
    pub lane: i64,
    /// The last batch that is folded; 0 for none.
    pub folded: i64,
    /// The last batch that is stored.
    pub stored: i64,
}

/// What a fold needs of a ledger row.
pub(crate) struct LedgerRow {
    /// The batch's number.
    pub seq: i64,
    /// When the batch was sealed, Unix ms.
    pub sealed_at: Millis,
    /// How many events it had then.
    pub events: i64,
    /// Its increments, encoded.
    pub delta: Vec<u8>,
}

/// How far a fold moves the head of one lane.
pub(crate) struct Head {
    /// The node that sealed the batches.
    pub node: NodeId,
    /// The lane of that node.
    pub lane: i64,
    /// The last batch that was folded before; 0 for none.
    pub from: i64,
    /// The last batch that is folded now.
    pub to: i64,
    /// When the first batch with events among these was sealed, Unix ms; `None` where none has
    /// any.
    pub since: Option<Millis>,
}

/// Adds up ledger rows, lane by lane.
pub(crate) struct Fold {
    limits: FoldLimits,
    /// By series and minute.
    sums: HashMap<Series, HashMap<Millis, i64>>,
    /// Entries of `sums`.
    cells: usize,
    /// Ledger rows that were added.
    rows: u64,
    /// Bytes of these rows' deltas.
    bytes: u64,
    /// Whether some lane has rows that this fold had no room for.
    behind: bool,
    /// Names a row that can't be read.
    unreadable: Option<String>,
    /// The heads to move, one for each lane from which rows were taken.
    pub heads: Vec<Head>,
}

impl Fold {
    /// Nothing is added up yet.
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

    /// How many rows and bytes may still be read; `None` where the fold is full.
    pub fn room(&self) -> Option<(u64, u64)> {
        let rows = self.limits.rows.saturating_sub(self.rows);
        let bytes = self.limits.bytes.saturating_sub(self.bytes);
        let cells = self.limits.cells.saturating_sub(self.cells);
        // The first row is taken whatever its size, or a large one would never be folded.
        let first = self.rows == 0;
        (first || (rows > 0 && bytes > 0 && cells > 0)).then_some((rows.max(1), bytes.max(1)))
    }

    /// Notes that a lane has to wait for the next fold.
    pub fn leave(&mut self) {
        self.behind = true;
    }

    /// Adds the next rows of a lane, ascending, at most as many as there was room for. An empty
    /// list means that the ledger has no row between the lane's two heads. Somebody has removed
    /// them, so there is nothing to wait for, and the head moves on to the last stored batch.
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
        // A lane that is stuck at an unreadable row does not count as behind: the caller would
        // fold again and again without getting on.
        self.behind |= head.to < lane.stored && !stuck;
        if head.to > head.from {
            self.heads.push(head);
        }
    }

    /// Adds the increments of one row to the sums of their minutes.
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

    /// What to add to the rollups: (series, minute, value), in the order of the rollups' key.
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

    /// What this fold has done once its transaction is committed.
    pub fn outcome(&self) -> Folded {
        Folded { rows: self.rows, done: !self.behind, unreadable: self.unreadable.clone() }
    }
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
}
