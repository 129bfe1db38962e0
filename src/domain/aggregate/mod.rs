//! What rows add to the counters. The ingest actor runs this once over the rows of a batch,
//! before the batch is sealed. The delta is sealed with the rows, so a later change of the rules
//! doesn't change what was counted.

mod own_types;

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    bot,
    delta::{DeltaSum, UserLink, Visitor},
    metric::{DistinctNoted, MetricSet, Tally},
    row::Row,
    time::Millis,
};

pub use self::own_types::{CountedTypes, LookAround, OVERFLOW, OwnTypes};

/// The visitor that a session id or user id stands for. The same on every node.
pub fn visitor_of(id: &str) -> Visitor {
    xxh3_128(id.as_bytes())
}

/// Notes who has sent a row. A user who comes with a session is that session's visitor.
fn note_visitor(sum: &mut DeltaSum, row: &Row<'_>) {
    // Nobody is seen later than the event was received: the clock of a page may be ahead, and its visitor
    // would be active for longer than others.
    let at = row.time.min(row.received_at);
    match (row.session_id.map(visitor_of), row.user_id.map(visitor_of)) {
        (Some(session), user) => {
            sum.seen(session, at);
            if let Some(user) = user.filter(|user| *user != session) {
                sum.linked(UserLink { user, session, at });
            }
        }
        (None, Some(user)) => sum.seen_user(user, at),
        (None, None) => {}
    }
}

/// Adds rows to sums, by the rules. It remembers which event types it knows and what distinct
/// metrics have seen; both are bounded.
pub struct Aggregator {
    metric_set: Arc<MetricSet>,
    types: OwnTypes,
    /// How many types may be among them.
    max_types: usize,
    /// Where types are looked up that are not among them.
    elsewhere: Option<LookAround>,
    noted: DistinctNoted,
}

impl Aggregator {
    /// Begins with the rules in force. `max_types` (`live.max_event_types`) event types may have
    /// counters of their own, beside those that rules name.
    pub fn new(metric_set: Arc<MetricSet>, max_types: usize) -> Aggregator {
        Aggregator {
            metric_set,
            types: OwnTypes::default(),
            max_types,
            elsewhere: None,
            noted: DistinctNoted::default(),
        }
    }

    /// Goes on with the types that had counters of their own, and asks `elsewhere` before it lets a new one
    /// in.
    pub fn going_on(self, types: OwnTypes, elsewhere: LookAround) -> Aggregator {
        Aggregator { types, elsewhere: Some(elsewhere), ..self }
    }

    /// The types that have counters of their own, to be written.
    pub fn types(&mut self) -> &mut OwnTypes {
        &mut self.types
    }

    /// Looks which types are counted elsewhere, at `now` (Unix ms). Asked now and then, since there a day
    /// begins, too.
    pub fn look_around(&mut self, now: Millis) {
        if let Some(elsewhere) = &self.elsewhere {
            let metric_set = &self.metric_set;
            self.types.learn(elsewhere(), now, |kind| metric_set.own_plan(kind).is_some());
        }
    }

    /// Whether events of a type that no rule names are counted under its name.
    fn has_counter(&mut self, kind: &str, now: Millis) -> bool {
        if self.types.knows(kind, now) {
            return true;
        }
        // Once there is an overflow, nothing has to be looked up, so a client that makes up types without
        // end costs no more than any other.
        if self.types.overflows() {
            return false;
        }
        self.look_around(now);
        self.types.knows(kind, now)
            || (!self.types.overflows() && self.types.admit(kind, self.max_types, now))
    }

    /// Adds one row to a sum. The counters of types, and who is active, are of people; what a bot sent
    /// only adds to the metrics that ask for bots.
    pub fn add(&mut self, sum: &mut DeltaSum, row: &Row<'_>) {
        let is_named = self.metric_set.own_plan(row.kind).is_some();
        let is_bot = bot::is_labelled(row.kind, row.properties);
        let has_counter = is_bot || is_named || self.has_counter(row.kind, row.received_at);
        let Aggregator { metric_set, noted, .. } = self;
        let plan = metric_set.own_plan(row.kind);
        if is_bot {
            sum.pass();
            let mut tally = Tally { sum, rates: metric_set.rates(), noted };
            return plan.unwrap_or(metric_set.plan_of_others()).follow(row, true, &mut tally);
        }
        sum.count(if has_counter { row.kind } else { OVERFLOW }, row.time);
        let mut tally = Tally { sum, rates: metric_set.rates(), noted };
        plan.unwrap_or(metric_set.plan_of_others()).follow(row, false, &mut tally);
        note_visitor(sum, row);
    }

    /// Must be called when a sum that rows were added to is thrown away. What those rows noted
    /// would else count as noted, and never be counted.
    pub fn undo(&mut self) {
        self.noted.clear();
    }
}

#[cfg(test)]
mod tests;
