//! Holds rows against the chain, slice by slice of event time, so that memory is bounded.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::ChainAsked;
use crate::{
    domain::{
        batch::BatchId,
        chain::{ChainedBatch, RowDigest, RowKey, day_of, digest},
        row::{self, Row},
        time::Millis,
    },
    sink::{SinkError, SinkErrorKind},
    store::retention::{RemovalReason, UtcDay, day_named},
};

/// Rows of the chain that are held at once, about.
const SLICE_ROWS: u64 = 200_000;
/// The most slices of what is asked for at once.
const MAX_SLICES: u64 = 1_440;
/// Rows that are missing, and as many that nothing expects, which are held for being named; beyond, they are counted.
const MAX_HELD: usize = 50_000;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundAs {
    /// It is not what was written.
    Changed,
    /// It is not there.
    Missing,
    /// It is there, and no batch has written it.
    Added,
}

/// A row that is not as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFinding {
    /// What is wrong with it.
    pub found: FoundAs,
    /// Its event time (Unix ms), id and type: as the chain has them, where it has the row.
    pub time: Millis,
    /// See `time`.
    pub id: String,
    /// See `time`.
    pub kind: String,
    /// Its batch, and which row of that it is, from 1 on; `None` where it was added.
    pub place: Option<(BatchId, usize)>,
}

/// How many rows of a day and type are gone for a reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainReceipt {
    /// The day, in UTC.
    pub day: UtcDay,
    /// The type; empty for every one.
    pub kind: String,
    /// Why; by name, since that of the archive is none.
    pub reason: String,
}

/// What a stretch of time has, held against the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainDay {
    /// Rows that were looked at.
    pub rows: u64,
    /// Those of them that are what the chain has.
    pub same: u64,
    /// Those that are not in the chain, and were received while it was off.
    pub outside: u64,
    /// Rows that were changed; the first of them, and how many there are.
    pub changed: Vec<ChainFinding>,
    /// See `changed`.
    pub changed_rows: u64,
    /// Rows that no batch has written; the first of them, and how many there are.
    pub added: Vec<ChainFinding>,
    /// See `added`.
    pub added_rows: u64,
    /// Rows that are not there, by day (UTC) and type.
    pub missing: BTreeMap<(UtcDay, String), u64>,
    /// The first of them.
    pub missing_named: Vec<ChainFinding>,
    /// Rows that were forgotten, by day (UTC) and type, of batches that begin here.
    pub forgotten: BTreeMap<(UtcDay, String), u64>,
    /// Rows of batches that begin here and of which only the digests are left, by the days (UTC) they span.
    pub thinned: BTreeMap<(UtcDay, UtcDay), u64>,
    /// Batches whose keys or places can't be read.
    pub unreadable: Vec<BatchId>,
    /// What the store has noted of rows that are gone.
    pub receipts: BTreeMap<ChainReceipt, u64>,
    /// Whether rows are being removed and are not counted yet, so that what is missing can't be explained.
    pub is_moving: bool,
}

/// A row that the chain expects.
struct ExpectedRow {
    time: Millis,
    kind: String,
    place: (BatchId, usize),
    key: RowKey,
    digest: RowDigest,
}

/// A row that nothing expects as it is.
struct StrangeRow {
    time: Millis,
    kind: String,
    is_outside: bool,
}

/// Puts together what a store reads of rows and the chain.
pub(crate) struct ChainReading {
    asked: ChainAsked,
    slice: (Millis, Millis),
    /// By id.
    expected: HashMap<String, Vec<ExpectedRow>>,
    missing: HashMap<String, Vec<ExpectedRow>>,
    strange: HashMap<String, Vec<StrangeRow>>,
    held_missing: usize,
    held_strange: usize,
    counted: HashSet<BatchId>,
    day: ChainDay,
    scratch: Vec<u8>,
}

impl ChainReading {
    /// Nothing is read yet. `is_moving` says whether rows are being removed meanwhile.
    pub fn new(asked: &ChainAsked, is_moving: bool) -> ChainReading {
        ChainReading {
            asked: asked.clone(),
            slice: (asked.from, asked.to),
            expected: HashMap::new(),
            missing: HashMap::new(),
            strange: HashMap::new(),
            held_missing: 0,
            held_strange: 0,
            counted: HashSet::new(),
            day: ChainDay { is_moving, ..ChainDay::default() },
            scratch: Vec::new(),
        }
    }

    /// The slices, where batches that reach into the stretch have so many rows. Each is begun with
    /// [`ChainReading::begin`]; then come its batches, its rows, and [`ChainReading::end`].
    pub fn slices(&self, rows: u64) -> Vec<(Millis, Millis)> {
        let (from, to) = (self.asked.from, self.asked.to);
        let count = (rows / SLICE_ROWS + 1).min(MAX_SLICES) as i64;
        let width = (to.saturating_sub(from) / count).max(1);
        let mut slices = Vec::new();
        let mut at = from;
        while at < to {
            let end = if slices.len() as i64 + 1 == count {
                to
            } else {
                at.saturating_add(width).min(to)
            };
            slices.push((at, end));
            at = end;
        }
        slices
    }

    /// Begins a slice.
    pub fn begin(&mut self, slice: (Millis, Millis)) {
        self.slice = slice;
    }

    /// Adds a batch that has rows of the slice.
    pub fn batch(&mut self, batch: &ChainedBatch) {
        let Some((first, last)) = batch.times else { return };
        let begins_here = (self.asked.from..self.asked.to).contains(&first);
        let is_new = self.counted.insert(batch.id);
        let Some(places) = batch.places() else {
            if is_new && batch.places.is_some() {
                self.day.unreadable.push(batch.id);
            } else if is_new && begins_here {
                let days = (day_of(first), day_of(last));
                *self.day.thinned.entry(days).or_default() += batch.rows() as u64;
            }
            return;
        };
        for (n, ((place, key), digest)) in places.into_iter().zip(batch.row_digests()).enumerate() {
            let (Some(id), Some(key)) = (place.id, key) else {
                if is_new && begins_here {
                    let key = (day_of(place.time), place.kind);
                    *self.day.forgotten.entry(key).or_default() += 1;
                }
                continue;
            };
            if (self.slice.0..self.slice.1).contains(&place.time) {
                let (time, kind, place) = (place.time, place.kind, (batch.id, n + 1));
                let row = ExpectedRow { time, kind, place, key, digest };
                self.expected.entry(id).or_default().push(row);
            }
        }
    }

    /// Adds a row of the slice. `is_whole` is `false` where it has something that no row has which a batch has
    /// written, such as a part of a millisecond.
    pub fn row(&mut self, row: &Row<'_>, is_whole: bool) {
        self.day.rows += 1;
        let mut is_known = false;
        if let Some(expected) = self.expected.get_mut(row.id) {
            is_known = true;
            let same = |it: &ExpectedRow, scratch: &mut Vec<u8>| {
                digest(&it.key, row, scratch) == it.digest
            };
            let at = expected.iter().position(|it| is_whole && same(it, &mut self.scratch));
            if let Some(at) = at {
                expected.swap_remove(at);
                if expected.is_empty() {
                    self.expected.remove(row.id);
                }
                self.day.same += 1;
                return;
            }
        }
        let received = row.received_at;
        let is_outside =
            self.asked.outside.iter().any(|(from, to)| (*from..*to).contains(&received));
        if is_outside && !is_known {
            self.day.outside += 1;
        } else if self.held_strange < MAX_HELD {
            self.held_strange += 1;
            let row_of = StrangeRow { time: row.time, kind: row.kind.to_owned(), is_outside };
            self.strange.entry(row.id.to_owned()).or_default().push(row_of);
        } else {
            self.day.added_rows += 1;
        }
    }

    /// Adds encoded rows, as the archive gives them.
    ///
    /// # Errors
    /// They are none.
    pub fn encoded(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        for row in row::rows(bytes) {
            let row = row.map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?;
            if (self.slice.0..self.slice.1).contains(&row.time) {
                self.row(&row, true);
            }
        }
        Ok(())
    }

    /// Ends a slice: what is still expected is missing, but for what was changed in its place.
    pub fn end(&mut self) {
        for (id, mut rows) in std::mem::take(&mut self.expected) {
            // A pair is known here, so that rows of which all others are held don't take its name.
            self.held_strange -= pair(&id, &mut rows, &mut self.strange, &mut self.day);
            for row in rows {
                if self.held_missing < MAX_HELD {
                    self.held_missing += 1;
                    self.missing.entry(id.clone()).or_default().push(row);
                } else {
                    *self.day.missing.entry((day_of(row.time), row.kind)).or_default() += 1;
                }
            }
        }
    }

    /// Adds what the store has noted of rows that are gone.
    pub fn receipt(&mut self, date: &str, kind: String, reason: &str, rows: u64) {
        if let Some(day) = day_named(date).filter(|_| reason != RemovalReason::Archive.name()) {
            let receipt = ChainReceipt { day, kind, reason: reason.to_owned() };
            *self.day.receipts.entry(receipt).or_default() += rows;
        }
    }

    /// What came of it. A row that is missing and one that nobody expects are one that was changed, where they
    /// have the same id.
    pub fn finish(mut self) -> ChainDay {
        let mut day = self.day;
        // A row whose time was changed may have gone to another slice.
        for (id, rows) in &mut self.missing {
            pair(id, rows, &mut self.strange, &mut day);
        }
        for (id, rows) in self.strange {
            for row in rows {
                if row.is_outside {
                    day.outside += 1;
                    continue;
                }
                day.added_rows += 1;
                let (time, kind, id) = (row.time, row.kind, id.clone());
                let place = None;
                day.added.push(ChainFinding { found: FoundAs::Added, time, id, kind, place });
            }
        }
        for (id, rows) in self.missing {
            for row in rows {
                *day.missing.entry((day_of(row.time), row.kind.clone())).or_default() += 1;
                day.missing_named.push(row.named(FoundAs::Missing, &id));
            }
        }
        for list in [&mut day.changed, &mut day.added, &mut day.missing_named] {
            list.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        }
        day.unreadable.sort_unstable();
        day
    }
}

/// Takes rows of an id that are expected, and as many that are there in their place, for changed ones. Returns how
/// many.
fn pair(
    id: &str,
    expected: &mut Vec<ExpectedRow>,
    strange: &mut HashMap<String, Vec<StrangeRow>>,
    day: &mut ChainDay,
) -> usize {
    let Some(rows) = strange.get_mut(id) else { return 0 };
    let changed = expected.len().min(rows.len());
    rows.truncate(rows.len() - changed);
    if rows.is_empty() {
        strange.remove(id);
    }
    day.changed_rows += changed as u64;
    let room = MAX_HELD.saturating_sub(day.changed.len());
    let named = expected.drain(..changed).take(room).map(|row| row.named(FoundAs::Changed, id));
    day.changed.extend(named);
    changed
}

impl ExpectedRow {
    fn named(self, found: FoundAs, id: &str) -> ChainFinding {
        let (time, kind, place) = (self.time, self.kind, Some(self.place));
        ChainFinding { found, time, id: id.to_owned(), kind, place }
    }
}
