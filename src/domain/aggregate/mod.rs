//! What rows add to the counters. The ingest actor runs this once over the rows of a batch,
//! before the batch is sealed. The delta is sealed with the rows, so a later change of the rules
//! doesn't change what was counted.

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    bot,
    delta::{DeltaSum, Visitor},
    metric::{DistinctNoted, MetricSet, Tally},
    row::Row,
    time::{DAY, Millis},
};

/// The event type under which events are counted whose own type is one too many.
pub const OTHER: &str = "other";

/// The visitor that a session id or user id stands for. The same on every node.
pub fn visitor_of(id: &str) -> Visitor {
    xxh3_128(id.as_bytes())
}

/// Adds rows to sums, by the rules. It remembers which event types it knows and what distinct
/// metrics have seen; both are bounded.
#[derive(Debug)]
pub struct Aggregator {
    metric_set: Arc<MetricSet>,
    types: Types,
    noted: DistinctNoted,
}

impl Aggregator {
    /// Begins with the rules in force. `max_types` (`live.max_event_types`) event types may have
    /// counters of their own, beside those that rules name.
    pub fn new(metric_set: Arc<MetricSet>, max_types: usize) -> Aggregator {
        let types = Types { seen: HashMap::new(), max: max_types };
        Aggregator { metric_set, types, noted: DistinctNoted::default() }
    }

    /// Adds one row to a sum. The counters of types, and who is active, are of people; what a bot sent
    /// only adds to the metrics that ask for bots.
    pub fn add(&mut self, sum: &mut DeltaSum, row: &Row<'_>) {
        let Aggregator { metric_set, types, noted } = self;
        let plan = metric_set.own_plan(row.kind);
        if bot::is_labelled(row.kind, row.properties) {
            sum.pass();
            let mut tally = Tally { sum, rates: metric_set.rates(), noted };
            return plan.unwrap_or(metric_set.plan_of_others()).follow(row, true, &mut tally);
        }
        let known = plan.is_some() || types.admit(row.kind, row.received_at);
        sum.count(if known { row.kind } else { OTHER }, row.time);
        let mut tally = Tally { sum, rates: metric_set.rates(), noted };
        plan.unwrap_or(metric_set.plan_of_others()).follow(row, false, &mut tally);
        if let Some(visitor) = row.visitor() {
            sum.seen(visitor_of(visitor), row.time);
        }
    }

    /// Must be called when a sum that rows were added to is thrown away. What those rows noted
    /// would else count as noted, and never be counted.
    pub fn undo(&mut self) {
        self.noted.clear();
    }
}

/// Event types that have counters of their own. A client that makes types up can't make
/// counters without end.
#[derive(Debug)]
struct Types {
    /// When each was last seen, Unix ms.
    seen: HashMap<String, Millis>,
    /// How many there may be.
    max: usize,
}

impl Types {
    /// Whether events of this type are counted under their own name. Once there are too
    /// many, one that nobody has sent for a day makes room.
    fn admit(&mut self, kind: &str, now: Millis) -> bool {
        if let Some(last) = self.seen.get_mut(kind) {
            *last = now;
            return true;
        }
        if self.seen.len() >= self.max {
            self.seen.retain(|_, last| *last > now - DAY);
        }
        if self.seen.len() >= self.max {
            return false;
        }
        self.seen.insert(kind.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests;
