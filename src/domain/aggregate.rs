//! What a row adds to the counters. The ingest actor runs it once over every batch, before
//! the batch is sealed: the delta is then what it is, also after a change of the rules.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::domain::{
    currency::Rates,
    delta::{DeltaSum, QUARTER_HOUR, Visitor},
    metric::{Measures, Plan, Who, all},
    money::Amount,
    row::Row,
    time::{DAY, Millis, bucket},
};

/// Events whose type is one too many are counted under this.
pub const OTHER: &str = "other";

/// Distinct values that this node remembers having noted; beyond, it forgets them all and
/// notes them again, which changes no number. As many as a hash table of 2^19 places takes
/// (seven of eight), 9 MB: one more would double it.
const MAX_NOTED: usize = (1 << 19) / 8 * 7;

/// The visitor that a session id or user id stands for. The same on every node.
pub fn visitor_of(id: &str) -> Visitor {
    xxh3_128(id.as_bytes())
}

/// Adds rows to sums, by the rules. Remembers which event types it knows and what distinct
/// metrics have seen, so that neither grows without bound.
#[derive(Debug)]
pub struct Aggregator {
    measures: Arc<Measures>,
    types: Types,
    noted: Noted,
}

impl Aggregator {
    /// With the rules in force, and how many event types may have counters of their own
    /// beside those that rules name (`metrics.max_types`).
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
        follow(plan.unwrap_or(measures.plan_of_others()), measures.rates(), noted, sum, row);
        if let Some(visitor) = row.visitor() {
            sum.seen(visitor_of(visitor), row.time);
        }
    }

    /// Sums that rows were added to are given up: what they noted is noted again.
    pub fn undo(&mut self) {
        self.noted.0.clear();
    }
}

/// What a plan adds for one row.
fn follow(plan: &Plan, rates: &Rates, noted: &mut Noted, sum: &mut DeltaSum, row: &Row<'_>) {
    let picked = plan.pick(row.properties);
    for step in plan.matching.iter().filter(|step| all(&step.conditions, &picked)) {
        sum.sum(&step.series, row.time, 1);
    }
    for step in plan.sums.iter().filter(|step| all(&step.conditions, &picked)) {
        let Some(text) = &picked[step.property] else { continue };
        let Ok(amount) = Amount::parse(text.trim()) else { continue };
        let base = match step.currency {
            Some(currency) => {
                let code = rates.code(picked[currency].as_deref());
                sum.money(&step.metric, code, row.time, amount.0);
                rates.to_base(amount, code)
            }
            None => Some(amount),
        };
        if let Some(amount) = base {
            sum.sum(&step.series, row.time, amount.0);
        }
    }
    for (name, property) in &plan.tops {
        if let Some(value) = &picked[*property] {
            sum.top(name, row.time, value, 1);
        }
    }
    for step in plan.distinct.iter().filter(|step| all(&step.conditions, &picked)) {
        let who = match step.who {
            Who::Visitor => row.visitor(),
            Who::User => row.user_id,
            Who::Property(property) => picked[property].as_deref(),
        };
        let Some(hash) = who.map(|who| xxh3_64(who.as_bytes())) else { continue };
        if noted.is_new(&step.metric, hash, row.time) {
            sum.distinct(&step.metric, row.time, hash);
        }
    }
}

/// What distinct metrics have seen, so that a visitor is noted once a span, not once a batch:
/// (quarter of an hour, hash of metric and value).
#[derive(Debug, Default)]
struct Noted(HashSet<(Millis, u64)>);

impl Noted {
    fn is_new(&mut self, metric: &str, hash: u64, at: Millis) -> bool {
        if self.0.len() >= MAX_NOTED {
            self.0.clear();
        }
        self.0.insert((bucket(at, QUARTER_HOUR), hash ^ xxh3_64(metric.as_bytes())))
    }
}

/// Event types that have counters of their own.
#[derive(Debug)]
struct Types {
    /// When each was last seen, Unix ms.
    seen: HashMap<String, Millis>,
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
