//! Sketches that are kept: how many different visitors there were, and how many different values each distinct
//! metric saw. They are folded from the ledger with the rollups ([`super::rollup`]).
//!
//! | span | of what | kept | fineness |
//! | --- | --- | --- | --- |
//! | a minute | visitors | `history.minutes_days` | 1.6 % |
//! | a quarter of an hour | visitors, distinct metrics | for good | 0.8 % |
//! | a day of the business zone | the same | as long as nobody needs the room: it is made of the quarters | 0.8 % |
//!
//! A user who comes without a session is a visitor only where no event of the span has that user with a session.
//! Sketches can't forget anybody, so there are three of them, and what they say is put together:
//!
//! ```text
//!  visitors = |sessions| + |users or linked| - |linked|
//!               │            │                 └─ users who were seen with a session
//!               │            └─ and those who were seen without one
//!               └─ sessions that were seen
//! ```

mod differing;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::{
    domain::{
        delta::{Delta, QUARTER_HOUR},
        sketch::{Estimate, Fineness, Sighted, Sketch, SketchError, SketchSum},
        time::{DAY, HOUR, MINUTE, Millis, SECOND, bucket},
    },
    sink::{SinkError, SinkErrorKind},
};

pub(crate) use self::differing::{Differing, SketchRead};

/// The sessions of visitors. No metric has a slash in its name.
const SESSIONS: &str = "visitors/sessions";
/// Users who were seen without a session.
const USERS: &str = "visitors/users";
/// Users who were seen with a session.
const LINKED: &str = "visitors/linked";
/// The name of a row that says that a day was added up.
pub(crate) const ADDED_UP: &str = "";
/// No day is longer: it has 25 hours where the clock is set back by one.
pub(crate) const LONGEST_DAY: Millis = DAY + 2 * HOUR;
/// Days that are added up in one round at most.
pub const DAYS_AT_ONCE: usize = 10;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distinguished {
    /// Visitors.
    Visitors,
    /// The values of a distinct metric, by its name.
    Metric(String),
}

impl Distinguished {
    /// The names of its sketches.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Distinguished::Visitors => [SESSIONS, USERS, LINKED].map(str::to_owned).to_vec(),
            Distinguished::Metric(name) => vec![name.clone()],
        }
    }
}

/// A question for different values.
#[derive(Clone, Debug)]
pub struct SketchesAsked {
    /// What is counted.
    pub what: Distinguished,
    /// Stretches `[from, to)`, Unix ms, ascending; none reaches into the next.
    pub stretches: Vec<(Millis, Millis)>,
    /// Whether minutes are read, and not quarters of an hour.
    pub by_minute: bool,
}

/// Of which time sketches are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SketchedSince {
    /// From which moment on they are complete, Unix ms; `None` where from the first event on. An installation
    /// that is older than this table lacks what had left its ledger by then.
    pub complete: Option<Millis>,
    /// Stretches of before that were made anew from the events.
    pub rebuilt: Vec<(Millis, Millis)>,
}

impl SketchedSince {
    /// Whether all of `[from, to)` is known.
    pub fn covers(&self, from: Millis, to: Millis) -> bool {
        let Some(complete) = self.complete else { return true };
        let mut at = from;
        for (begin, end) in &self.rebuilt {
            if *begin <= at {
                at = at.max(*end);
            }
        }
        at >= complete.min(to)
    }
}

/// Reads the sketches that are kept.
#[async_trait]
pub trait Sketches: Send + Sync + 'static {
    /// How many different values there are in each stretch.
    ///
    /// # Errors
    /// It takes longer than a chart may, a sketch can't be read, or the store does not answer.
    async fn different(&self, asked: &SketchesAsked) -> Result<Vec<Estimate>, SinkError>;

    /// Of which time they are known.
    async fn sketched_since(&self) -> Result<SketchedSince, SinkError>;

    /// Adds up days (their start and end in Unix ms) that are not added up yet, the newest first, at most
    /// [`DAYS_AT_ONCE`] of them.
    async fn add_up_days(&self, days: &[(Millis, Millis)]) -> Result<(), SinkError>;
}

/// SQL for both stores: the stretches that were made anew.
pub(crate) const REBUILT: &str = "SELECT at, until FROM rebuilt_days ORDER BY at";

/// SQL for both stores: the last second (Unix ms) that sketches lack.
pub(crate) const SKETCHES_SINCE: &str = "SELECT max(second) FROM (
        SELECT CASE WHEN sketches = 0 THEN dropped_to ELSE sketches_lack END AS second
        FROM fold_heads
        UNION ALL SELECT before - 1000 FROM history_forgotten WHERE what = 'rollups') AS lacking";

impl SketchedSince {
    /// Of what [`SKETCHES_SINCE`] and [`REBUILT`] give.
    pub(crate) fn of(lack: Option<Millis>, rebuilt: Vec<(Millis, Millis)>) -> SketchedSince {
        SketchedSince { complete: lack.map(|second| second + SECOND), rebuilt }
    }
}

/// A sketch of one span of time.
#[derive(Clone, Debug)]
pub(crate) struct KeptSketch {
    /// What it is of.
    pub name: String,
    /// The length of the span, ms.
    pub span: Millis,
    /// Its first moment, Unix ms.
    pub at: Millis,
    /// The values.
    pub sketch: Sketch,
}

impl KeptSketch {
    /// The bytes to store, once what is stored of the same span is added.
    ///
    /// # Errors
    /// What is stored can't be read.
    pub fn onto(&self, stored: Option<&[u8]>) -> Result<Vec<u8>, SinkError> {
        let Some(bytes) = stored else { return Ok(self.sketch.encode()) };
        let mut sum = SketchSum::new(fineness(self.span));
        sum.add(&Sketch::decode(bytes)?);
        sum.add(&self.sketch);
        Ok(sum.finish().encode())
    }
}

/// How fine the sketches of a span are.
fn fineness(span: Millis) -> Fineness {
    if span == MINUTE { Fineness::Coarse } else { Fineness::Fine }
}

/// Bytes of a sketch that has no value yet, with its place.
const SKETCH: usize = 256;
/// Bytes that a value takes in a sketch at most, while that is a list that has just doubled.
const NOTED: usize = 12;

/// Sketches that a fold makes.
#[derive(Debug, Default)]
pub(crate) struct SketchSums {
    /// By name, then by the length and the start of their span.
    sums: BTreeMap<String, BTreeMap<(Millis, Millis), Sketch>>,
    bytes: usize,
}

impl SketchSums {
    /// Adds the different values of a ledger row, which was read with its visitors.
    pub fn add(&mut self, delta: &Delta) {
        for (quarter, metric, hash) in delta.distinct() {
            self.note(metric, QUARTER_HOUR, quarter, Sighted::of(hash));
        }
        for (minute, visitor) in delta.sightings() {
            self.visitor(if delta.is_user(visitor) { USERS } else { SESSIONS }, minute, visitor);
        }
        for link in delta.links() {
            self.visitor(LINKED, bucket(link.at, MINUTE), link.user);
        }
    }

    /// Notes a visitor in the minute and in its quarter of an hour.
    fn visitor(&mut self, name: &str, minute: Millis, visitor: u128) {
        // Visitors are hashes, and their lower half is as good as any.
        let value = Sighted::of(visitor as u64);
        self.note(name, MINUTE, minute, value);
        self.note(name, QUARTER_HOUR, bucket(minute, QUARTER_HOUR), value);
    }

    fn note(&mut self, name: &str, span: Millis, at: Millis, value: Sighted) {
        if !self.sums.contains_key(name) {
            self.sums.insert(name.to_owned(), BTreeMap::new());
        }
        let spans = self.sums.get_mut(name).expect("it was put there where it was missing");
        let sketch = spans.entry((span, at)).or_insert_with(|| {
            self.bytes += SKETCH;
            Sketch::new(fineness(span))
        });
        self.bytes += NOTED;
        sketch.note(value);
    }

    /// The bytes that it holds, at most.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The quarters of an hour that something was noted in.
    pub fn quarters(&self) -> Vec<Millis> {
        let spans = self.sums.values().flat_map(BTreeMap::keys);
        let quarters = spans.filter(|(span, _)| *span == QUARTER_HOUR).map(|(_, at)| *at);
        quarters.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// All sketches, with those of the `days` (length and start) that were added up before.
    pub fn finish(&mut self, days: &[(Millis, Millis)]) -> Vec<KeptSketch> {
        let mut kept = Vec::new();
        for (name, spans) in std::mem::take(&mut self.sums) {
            let mut of_days: BTreeMap<(Millis, Millis), SketchSum> = BTreeMap::new();
            for ((span, at), sketch) in spans {
                let within = |day: &&(Millis, Millis)| (day.1..day.1 + day.0).contains(&at);
                for day in days.iter().filter(within).filter(|_| span == QUARTER_HOUR) {
                    let sum = of_days.entry(*day);
                    sum.or_insert_with(|| SketchSum::new(Fineness::Fine)).add(&sketch);
                }
                kept.push(KeptSketch { name: name.clone(), span, at, sketch });
            }
            for ((span, at), sum) in of_days {
                kept.push(KeptSketch { name: name.clone(), span, at, sketch: sum.finish() });
            }
        }
        self.bytes = 0;
        kept
    }
}

/// The sketches of a day, once its quarters of an hour are added up, with the row that says so.
#[derive(Default)]
pub(crate) struct DaySketches(BTreeMap<String, SketchSum>);

impl DaySketches {
    /// Adds a quarter of an hour.
    pub fn add(&mut self, name: String, sketch: &[u8]) -> Result<(), SinkError> {
        let sum = self.0.entry(name).or_insert_with(|| SketchSum::new(Fineness::Fine));
        sum.add(&Sketch::decode(sketch)?);
        Ok(())
    }

    /// Names and bytes to store.
    pub fn finish(self) -> Vec<(String, Vec<u8>)> {
        let sums = self.0.into_iter().map(|(name, sum)| (name, sum.finish().encode()));
        sums.chain([(ADDED_UP.to_owned(), Vec::new())]).collect()
    }
}

impl From<SketchError> for SinkError {
    fn from(e: SketchError) -> SinkError {
        SinkError::new(SinkErrorKind::Schema, format!("a row of sketch_rollups: {e}"))
    }
}

#[cfg(test)]
mod tests;
