//! A checker of histories. A history has what everybody outside saw of a shop while parts of it
//! failed: what was sent and how each request ended, what `/current` showed, the frames of the
//! viewers, and in the end the rows of the store. [`check`] judges it by rules that hold whatever
//! has failed, and [`run`] records histories of two real nodes under faults.
//!
//! ```text
//!  sends      |--a--|   |--b--|        |--c- - - (no answer)
//!  readings      |-1-|      |-2-|  |-3-|      |-4-|
//!                   ^ at most a     ^ at least what 2 showed, unless it says behindMs
//! ```
//!
//! All times are ms since the history began, by one steady clock. A request or reading has two: when
//! it began and when its answer was there. What happened between the two is not known, so a rule
//! takes the one that accuses less.

mod check;
mod recorder;
mod rules;
mod run;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{load::Outcome, support::sums::Sums};

/// Ms since the history began.
pub type Moment = u64;

/// What is known of an event when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub kind: String,
    /// The amount of a purchase, in 1/10,000; 0 for anything else.
    pub amount: i64,
}

/// One request, and how it ended.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who sent it.
    pub sender: String,
    pub begun: Moment,
    /// When the answer was there, or nobody waited for it any more.
    pub ended: Moment,
    /// The ids of its events. The same id may be sent several times.
    pub events: Vec<u64>,
    pub outcome: Outcome,
}

/// One answer of `/current`.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which node was asked.
    pub node: String,
    pub begun: Moment,
    pub ended: Moment,
    /// The business day that it tells of.
    pub day: String,
    pub shows: Sums,
    /// Whether it says how old it is (`behindMs`).
    pub behind: bool,
}

/// One frame of the stream.
#[derive(Clone, Debug)]
pub struct Framed {
    pub viewer: String,
    /// When it was there.
    pub at: Moment,
    pub seq: u64,
    /// For a snapshot, its day and totals; a delta has none.
    pub snapshot: Option<(String, Sums)>,
    /// What it adds to the totals.
    pub adds: Sums,
    pub behind: bool,
}

/// A moment at which both sinks of all nodes had everything that was answered before another one.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Whatever was answered before this moment
    pub before: Moment,
    /// was stored and counted at this one.
    pub at: Moment,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every event that was ever sent, by its id.
    pub events: BTreeMap<u64, Event>,
    pub sent: Vec<Sent>,
    /// In the order in which each node answered.
    pub readings: Vec<Reading>,
    /// In the order in which each viewer got them.
    pub frames: Vec<Framed>,
    pub settled: Vec<Settled>,
    /// The ids of the rows, in the end.
    pub rows: Vec<u64>,
    /// What each node shows when everything rests, and what each viewer has added up then.
    pub last: BTreeMap<String, Sums>,
}

impl History {
    /// The events of which a request ended like this.
    fn with(&self, outcome: Outcome) -> BTreeSet<u64> {
        let sent = self.sent.iter().filter(|sent| sent.outcome == outcome);
        sent.flat_map(|sent| sent.events.iter().copied()).collect()
    }

    /// What these events add up to.
    fn sums(&self, events: impl IntoIterator<Item = u64>) -> Sums {
        let mut sums = Sums::default();
        for event in events.into_iter().filter_map(|event| self.events.get(&event)) {
            add(&mut sums, event);
        }
        sums
    }
}

/// Adds an event to sums.
fn add(sums: &mut Sums, event: &Event) {
    *sums.counts.entry(event.kind.clone()).or_default() += 1;
    sums.revenue += event.amount;
}

/// Whether the first sums have everything that the second have: of each type as many, and as much
/// revenue.
fn covers(more: &Sums, less: &Sums) -> bool {
    let count = |sums: &Sums, kind: &str| sums.counts.get(kind).copied().unwrap_or(0);
    less.counts.keys().all(|kind| count(more, kind) >= count(less, kind))
        && more.revenue >= less.revenue
}
