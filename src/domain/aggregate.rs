//! What rows add to the counters. The ingest actor runs this once over the rows of a batch,
//! before the batch is sealed. The delta is sealed with the rows, so a later change of the rules
//! doesn't change what was counted.

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    delta::{DeltaSum, Visitor},
    metric::{Measures, Noted, Tally},
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
    measures: Arc<Measures>,
    types: Types,
    noted: Noted,
}

impl Aggregator {
    /// Begins with the rules in force. `max_types` (`live.max_event_types`) event types may have
    /// counters of their own, beside those that rules name.
    pub fn new(measures: Arc<Measures>, max_types: usize) -> Aggregator {
        let types = Types { seen: HashMap::new(), max: max_types };
        Aggregator { measures, types, noted: Noted::default() }
    }

    /// Adds one row to a sum.
    pub fn add(&mut self, sum: &mut DeltaSum, row: &Row<'_>) {
        let Aggregator { measures, types, noted } = self;
        let plan = measures.own_plan(row.kind);
        let known = plan.is_some() || types.admit(row.kind, row.received_at);
        sum.count(if known { row.kind } else { OTHER }, row.time);
        let mut tally = Tally { sum, rates: measures.rates(), noted };
        plan.unwrap_or(measures.plan_of_others()).follow(row, &mut tally);
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
mod tests {
    use super::*;
    use crate::{config::Config, domain::delta::Delta};

    fn shipped() -> Arc<Measures> {
        Config::default().rules.measures
    }

    fn row<'a>(kind: &'a str, properties: &'a str) -> Row<'a> {
        Row {
            time: 61_500,
            received_at: 62_000,
            id: "1",
            kind,
            user_id: Some("u"),
            session_id: Some("s"),
            properties,
        }
    }

    fn added(rows: &[Row<'_>], max_types: usize) -> Delta {
        let mut aggregator = Aggregator::new(shipped(), max_types);
        let mut sum = DeltaSum::default();
        rows.iter().for_each(|row| aggregator.add(&mut sum, row));
        sum.finish()
    }

    fn cells(delta: &Delta) -> Vec<(String, i64)> {
        delta.cells().map(|(_, series, value)| (series.to_string(), value)).collect()
    }

    fn expect(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
        pairs.iter().map(|(series, value)| ((*series).to_owned(), *value)).collect()
    }

    #[test]
    fn a_purchase_adds_its_count_its_revenue_and_its_visitor() {
        let delta = added(&[row("purchase", r#"{"amount":5,"currency":"EUR"}"#)], 9);
        // No rate, so nothing in the base currency.
        assert_eq!(cells(&delta), expect(&[("c:purchase", 1), ("m:EUR:revenue", 50_000)]));
        let delta = added(&[row("purchase", r#"{"amount":"5"}"#)], 9);
        assert_eq!(
            cells(&delta),
            expect(&[("c:purchase", 1), ("s:revenue", 50_000), ("m:USD:revenue", 50_000)])
        );
        assert_eq!(delta.visitors(), [(visitor_of("s"), 61_500)]);
    }

    #[test]
    fn filters_and_breakdowns_look_at_properties() {
        let delta = added(
            &[
                row("error", r#"{"path":"/checkout/payment","code":"502","gateway":"adyen"}"#),
                row("error", r#"{"path":"/home","code":502}"#),
            ],
            9,
        );
        assert_eq!(cells(&delta), expect(&[("c:error", 2), ("n:checkout_errors", 1)]));
        let tops: Vec<_> = delta.tops().map(|(at, name, top)| (at, name, top.largest(9))).collect();
        assert!(tops.contains(&(60_000, "error/code", vec![("502", 2)])), "{tops:?}");
        assert!(tops.contains(&(60_000, "error/gateway", vec![("adyen", 1)])), "{tops:?}");
    }

    #[test]
    fn a_visitor_is_noted_once_a_quarter_of_an_hour() {
        let mut aggregator = Aggregator::new(shipped(), 9);
        let mut sum = DeltaSum::default();
        let view = row("page_view", "{}");
        aggregator.add(&mut sum, &view);
        aggregator.add(&mut sum, &view);
        assert_eq!(sum.finish().distinct().count(), 1);
        aggregator.add(&mut sum, &view);
        assert_eq!(sum.finish().distinct().count(), 0);
        aggregator.undo();
        aggregator.add(&mut sum, &view);
        assert_eq!(sum.finish().distinct().count(), 1);
    }

    #[test]
    fn one_type_too_many_is_other() {
        let delta = added(&[row("a", "{}"), row("b", "{}"), row("c", "{}"), row("error", "{}")], 2);
        assert_eq!(
            cells(&delta),
            expect(&[("c:a", 1), ("c:b", 1), ("c:error", 1), ("c:other", 1)])
        );
    }
}
