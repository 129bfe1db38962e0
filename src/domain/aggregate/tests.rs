//! What rows of the shipped types add.

use super::*;
use crate::{config::Config, domain::delta::Delta};

fn shipped() -> Arc<MetricSet> {
    Config::default().rules.metric_set
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
        ..Row::default()
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
    // No rate, so nothing in the base currency, and the ratio leaves the order out.
    assert_eq!(
        cells(&delta),
        expect(&[
            ("c:purchase", 1),
            ("n:average_order_value/c:purchase", 1),
            ("n:average_order_value/left_out", 1),
            ("n:orders_tracked", 1),
            ("n:revenue/left_out", 1),
            ("m:EUR:revenue", 50_000)
        ])
    );
    let delta = added(&[row("purchase", r#"{"amount":"5"}"#)], 9);
    assert_eq!(
        cells(&delta),
        expect(&[
            ("c:purchase", 1),
            ("s:revenue", 50_000),
            ("n:orders_tracked", 1),
            ("m:USD:revenue", 50_000)
        ])
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
    assert!(tops.contains(&(60_000, "error/gateway/none", vec![("", 1)])), "{tops:?}");
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
    assert_eq!(cells(&delta), expect(&[("c:(other)", 1), ("c:a", 1), ("c:b", 1), ("c:error", 1)]));
}

#[test]
fn a_type_that_is_called_other_is_not_the_overflow() {
    let rows = [row("a", "{}"), row("other", "{}"), row("b", "{}"), row("other", "{}")];
    assert_eq!(cells(&added(&rows, 2)), expect(&[("c:(other)", 1), ("c:a", 1), ("c:other", 2)]));
}

#[test]
fn a_type_that_others_count_has_its_counter_before_one_that_is_new() {
    let counted = CountedTypes { day: 0, today: vec!["a".into(), "b".into()], yesterday: vec![] };
    let elsewhere: LookAround = Arc::new(move || counted.clone());
    let mut aggregator =
        Aggregator::new(shipped(), 2).going_on(OwnTypes::default(), elsewhere.clone());
    let mut sum = DeltaSum::default();
    for kind in ["c", "a", "b"] {
        aggregator.add(&mut sum, &row(kind, "{}"));
    }
    let expected = expect(&[("c:(other)", 1), ("c:a", 1), ("c:b", 1)]);
    assert_eq!(cells(&sum.finish()), expected);
    // The next start is told nothing by others, and has what was written.
    let written = aggregator.types().to_write(0).unwrap();
    let types = OwnTypes::read(&written).unwrap();
    let nobody: LookAround = Arc::new(CountedTypes::default);
    let mut aggregator = Aggregator::new(shipped(), 2).going_on(types, nobody);
    for kind in ["c", "b", "a"] {
        aggregator.add(&mut sum, &row(kind, "{}"));
    }
    assert_eq!(cells(&sum.finish()), expected);
}

#[test]
fn a_visitor_is_seen_no_later_than_the_event_was_received() {
    let ahead = Row { time: 300_000, ..row("page_view", "{}") };
    assert_eq!(added(&[ahead], 9).visitors(), [(visitor_of("s"), 62_000)]);
    let late = Row { time: 1_000, ..row("page_view", "{}") };
    assert_eq!(added(&[late], 9).visitors(), [(visitor_of("s"), 1_000)]);
}

#[test]
fn what_a_bot_has_sent_is_counted_apart() {
    let delta = added(
        &[
            row("page_view", r#"{"$bot":true,"path":"/a"}"#),
            row("error", r#"{"$bot":true,"path":"/checkout","code":"x"}"#),
            row("never_named", r#"{"$bot":true}"#),
            row("purchase", r#"{"$bot":true,"amount":5}"#),
        ],
        9,
    );
    assert_eq!(delta.events, 4);
    assert_eq!(
        cells(&delta),
        expect(&[
            ("c:purchase", 1),
            ("s:revenue", 50_000),
            ("n:bots", 3),
            ("n:orders_tracked", 1),
            ("m:USD:revenue", 50_000)
        ])
    );
    // The purchase counts as one of somebody, and has none of the properties that purchases are counted by.
    assert!(
        delta.tops().all(|(_, name, _)| name.starts_with("purchase/") && name.contains("/none"))
    );
    assert_eq!(delta.distinct().count(), 0);
    assert_eq!(delta.visitors().len(), 1, "who has bought is somebody");
    assert_eq!(
        cells(&added(&[row("page_view", r#"{"$bot":false}"#)], 9)),
        [("c:page_view".to_owned(), 1)]
    );
}
