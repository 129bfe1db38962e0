//! What rows add to the counters. The ingest actor runs this once over the rows of a batch,
//! before the batch is sealed. The delta is sealed with the rows, so a later change of the rules
//! doesn't change what was counted.

mod own_types;

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    bot,
    delta::{Delta, DeltaSum, UserLink, Visitor},
    metric::{DistinctNoted, MetricSet, Tally},
    row::Row,
    time::Millis,
};

use self::own_types::TypeAdmission;
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
    types: TypeAdmission,
    noted: DistinctNoted,
}

impl Aggregator {
    /// Begins with the rules in force. `max_types` (`live.max_event_types`) event types may have
    /// counters of their own, beside those that rules name.
    pub fn new(metric_set: Arc<MetricSet>, max_types: usize) -> Aggregator {
        Aggregator {
            metric_set,
            types: TypeAdmission::within(max_types),
            noted: DistinctNoted::default(),
        }
    }

    /// Counts rows of a batch that was sealed before as they were counted then: the same types have counters
    /// of their own as in its delta, whatever has come since.
    pub fn of_sealed(metric_set: Arc<MetricSet>, sealed: &Delta) -> Aggregator {
        let types = TypeAdmission::of_sealed(sealed);
        Aggregator { metric_set, types, noted: DistinctNoted::default() }
    }

    /// Goes on with the types that had counters of their own, and asks `elsewhere` before it lets a new one
    /// in.
    pub fn going_on(self, types: OwnTypes, elsewhere: LookAround) -> Aggregator {
        Aggregator { types: self.types.going_on(types, elsewhere), ..self }
    }

    /// The types that have counters of their own, to be written.
    pub fn types(&mut self) -> &mut OwnTypes {
        self.types.known()
    }

    /// Looks which types are counted elsewhere, at `now` (Unix ms). Asked now and then, since there a day
    /// begins, too.
    pub fn look_around(&mut self, now: Millis) {
        self.types.look_around(&self.metric_set, now);
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
        let has_counter =
            plan.is_some() || types.has_counter(row.kind, metric_set, row.received_at);
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
