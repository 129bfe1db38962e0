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

mod known;
pub mod remake;
mod span_totals;
mod summed;
pub mod verify;

pub use span_totals::SpanTotals;

use hashbrown::HashMap;

pub(crate) use self::known::KNOWN;
pub(crate) use self::summed::{ROLLUP_ROWS, too_many_minutes};
pub use self::{known::Known, summed::Summed};

use crate::{
    domain::{
        batch::NodeId,
        delta::{Delta, Series},
        shape::{SchemaLimits, Shape, ShapeSums},
        time::{MINUTE, Millis, bucket},
    },
    store::{breakdowns::TopSums, sketches::SketchSums},
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
    /// Bytes of breakdowns, which are held three times while they are added to what is stored.
    pub top_bytes: usize,
    /// Bytes of sketches.
    pub sketch_bytes: usize,
    /// How many types, sources and properties are learnt.
    pub schemas: SchemaLimits,
}

impl Default for FoldLimits {
    /// A fold of this size takes some tens of milliseconds and some MiB of memory.
    fn default() -> FoldLimits {
        let schemas = SchemaLimits::default();
        FoldLimits {
            rows: 1_000,
            bytes: 1024 * 1024,
            cells: 20_000,
            top_bytes: 1024 * 1024,
            sketch_bytes: 1024 * 1024,
            schemas,
        }
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
    /// Events whose shape was not learnt, since there are too many types and sources.
    pub unlearnt: u64,
}

impl Folded {
    /// The outcome of a fold that changed nothing.
    pub(crate) fn nothing(done: bool) -> Folded {
        Folded { rows: 0, done, unreadable: None, unlearnt: 0 }
    }
}

/// SQL for both stores: a sum that stops at the ends of its type, as it does in the mirror. An
/// overflow would be an error, and the same fold would fail again and again.
pub(crate) const ADD_UP: &str = "CASE
    WHEN excluded.value > 0 AND rollups.value > 9223372036854775807 - excluded.value
        THEN 9223372036854775807
    WHEN excluded.value < 0 AND rollups.value < -9223372036854775807 - excluded.value
        THEN -9223372036854775807
    ELSE rollups.value + excluded.value END";

/// SQL for both stores: lanes with batches that are not folded yet. Where an earlier version, which knows
/// nothing of breakdowns or sketches, has folded, these are behind the rollups.
pub(crate) const BEHIND: &str = "SELECT h.node, h.lane, coalesce(f.seq, 0), h.seq,
        coalesce(f.breakdowns, 0), coalesce(f.sketches, 0)
    FROM ledger_heads h LEFT JOIN fold_heads f ON f.node = h.node AND f.lane = h.lane
    WHERE h.seq > coalesce(f.seq, 0) OR h.seq > coalesce(f.breakdowns, 0)
       OR h.seq > coalesce(f.sketches, 0)";

/// A lane with batches that are stored but not folded.
pub(crate) struct FoldLane {
    /// The node that sealed the batches.
    pub node: NodeId,
    /// The lane of that node.
    pub lane: i64,
    /// The last batch that is in the rollups; 0 for none.
    pub folded: i64,
    /// The last batch that is stored.
    pub stored: i64,
    /// The last batch whose breakdowns are kept; 0 for none.
    pub broken_down: i64,
    /// The last batch whose sketches are kept; 0 for none.
    pub sketched: i64,
}

impl FoldLane {
    /// The batch after which rows are read.
    pub fn from(&self) -> i64 {
        self.folded.min(self.broken_down).min(self.sketched)
    }
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
    /// Its visitors, encoded.
    pub visitors: Vec<u8>,
    /// The shape of its events, encoded; `None` in a row of before shapes were learnt.
    pub shape: Option<Vec<u8>>,
}

impl LedgerRow {
    /// How much of it is held in memory while it is folded.
    pub fn bytes(&self) -> u64 {
        let shape = self.shape.as_ref().map_or(0, Vec::len);
        (self.delta.len() + self.visitors.len() + shape) as u64
    }
}

/// How far a fold moves the head of one lane.
pub(crate) struct Head {
    /// The node that sealed the batches.
    pub node: NodeId,
    /// The lane of that node.
    pub lane: i64,
    /// The last batch that was in the rollups before; 0 for none.
    pub from: i64,
    /// The last batch that is in the rollups now.
    pub to: i64,
    /// The last batch whose breakdowns were kept before; 0 for none.
    pub broken_down_from: i64,
    /// The last batch whose breakdowns are kept now.
    pub broken_down_to: i64,
    /// The last batch whose sketches were kept before; 0 for none.
    pub sketched_from: i64,
    /// The last batch whose sketches are kept now.
    pub sketched_to: i64,
    /// When the first batch with events among these was sealed, Unix ms; `None` where none has
    /// any.
    pub since: Option<Millis>,
}

impl Head {
    /// The last batch of which everything is kept now.
    fn last(&self) -> i64 {
        self.to.min(self.broken_down_to).min(self.sketched_to)
    }

    fn has_moved(&self) -> bool {
        self.to > self.from
            || self.broken_down_to > self.broken_down_from
            || self.sketched_to > self.sketched_from
    }
}

/// Adds up ledger rows, lane by lane.
pub(crate) struct Fold {
    limits: FoldLimits,
    /// By series and minute.
    sums: HashMap<Series, HashMap<Millis, i64>>,
    /// Entries of `sums`.
    cells: usize,
    /// The shapes of the events.
    pub shapes: ShapeSums,
    /// The breakdowns.
    pub tops: TopSums,
    /// The different values.
    pub sketches: SketchSums,
    /// Ledger rows that were added.
    rows: u64,
    /// Those of them that were not in the rollups before.
    new: u64,
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
            shapes: ShapeSums::default(),
            tops: TopSums::default(),
            sketches: SketchSums::default(),
            rows: 0,
            new: 0,
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
        let cells = self.limits.cells.saturating_sub(self.cells + self.shapes.cells());
        let tops = self.limits.top_bytes.saturating_sub(self.tops.bytes());
        let sketches = self.limits.sketch_bytes.saturating_sub(self.sketches.bytes());
        // The first row is taken whatever its size, or a large one would never be folded.
        let first = self.rows == 0;
        (first || (rows > 0 && bytes > 0 && cells > 0 && tops > 0 && sketches > 0))
            .then_some((rows.max(1), bytes.max(1)))
    }

    /// Notes that a lane has to wait for the next fold.
    pub fn leave(&mut self) {
        self.behind = true;
    }

    /// Adds the next rows of a lane, ascending, at most as many as there was room for. An empty
    /// list means that the ledger has no row between the lane's two heads. Somebody has removed
    /// them, so there is nothing to wait for, and the head moves on to the last stored batch.
    pub fn add(&mut self, lane: &FoldLane, rows: &[LedgerRow]) {
        let end = |head: i64| if rows.is_empty() { lane.stored } else { head };
        let mut head = Head {
            node: lane.node,
            lane: lane.lane,
            from: lane.folded,
            to: end(lane.folded),
            broken_down_from: lane.broken_down,
            broken_down_to: end(lane.broken_down),
            sketched_from: lane.sketched,
            sketched_to: end(lane.sketched),
            since: None,
        };
        let mut stuck = false;
        for row in rows {
            if self.room().is_none() {
                break;
            }
            let delta = match Delta::decode(&row.delta, Some(&row.visitors)) {
                Ok(delta) => delta,
                Err(e) => {
                    self.unreadable = Some(format!("batch {} of node {}: {e}", row.seq, lane.node));
                    stuck = true;
                    break;
                }
            };
            if row.seq > lane.folded {
                self.add_cells(&delta);
                self.add_shape(row);
                self.new += 1;
                head.to = row.seq;
            }
            if row.seq > lane.broken_down {
                self.tops.add(&delta);
                head.broken_down_to = row.seq;
            }
            if row.seq > lane.sketched {
                self.sketches.add(&delta);
                head.sketched_to = row.seq;
            }
            self.rows += 1;
            self.bytes += row.bytes();
            if row.events > 0 && head.since.is_none() {
                head.since = Some(row.sealed_at);
            }
        }
        // A lane that is stuck at an unreadable row does not count as behind: the caller would
        // fold again and again without getting on.
        self.behind |= head.last() < lane.stored && !stuck;
        if head.has_moved() {
            self.heads.push(head);
        }
    }

    /// Adds the shape of one row. One that this version can't read is passed over: the numbers of a lane
    /// must not wait for what is only looked at now and then.
    fn add_shape(&mut self, row: &LedgerRow) {
        match row.shape.as_deref().map(Shape::decode) {
            Some(Ok(shape)) => self.shapes.add(shape),
            Some(Err(e)) => {
                tracing::warn!(batch = row.seq, "the shape of a batch is left out: {e}")
            }
            None => {}
        }
    }

    /// How much there may be to learn.
    pub fn schema_limits(&self) -> SchemaLimits {
        self.limits.schemas
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

    /// What this fold has done once its transaction is committed. `unlearnt` events had no room among the
    /// schemas.
    pub fn outcome(&self, unlearnt: u64) -> Folded {
        let unreadable = self.unreadable.clone();
        Folded { rows: self.new, done: !self.behind, unreadable, unlearnt }
    }
}

#[cfg(test)]
mod tests;
