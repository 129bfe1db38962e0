//! The shipped metrics, from what events write to what is read.

use std::sync::Arc;

use super::*;
use crate::{
    config::Config,
    domain::{
        aggregate::Aggregator,
        currency::Rates,
        delta::{DeltaSum, Series},
        event::Note,
        money::Amount,
        row::Row,
        totals::Totals,
    },
};

fn shipped() -> Arc<MetricSet> {
    Config::default().rules.metric_set
}

fn totals(counts: &[(&str, i64)]) -> Totals {
    let mut totals = Totals::default();
    for (series, value) in counts {
        totals.add(&Series::parse(series).unwrap(), *value);
    }
    totals
}

fn value(name: &str, totals: &Totals) -> Value {
    let metric_set = shipped();
    metric_set.value(metric_set.metric(name).unwrap(), totals)
}

#[test]
fn the_shipped_metrics_read_what_events_wrote() {
    let totals = totals(&[
        ("c:page_view", 90),
        ("c:purchase", 8),
        ("c:error", 2),
        ("n:checkout_errors", 2),
        ("s:revenue", 8_000_000),
        ("s:refunds", 500_000),
    ]);
    assert_eq!(value("events", &totals), Value::Count(100));
    assert_eq!(value("page_views", &totals), Value::Count(90));
    assert_eq!(value("revenue", &totals), Value::Amount(Amount(8_000_000)));
    assert_eq!(value("net_revenue", &totals), Value::Amount(Amount(7_500_000)));
    assert_eq!(value("average_order_value", &totals), Value::Amount(Amount(1_000_000)));
    assert_eq!(value("error_rate", &totals), Value::Ratio(0.02));
    assert_eq!(value("checkout_error_rate", &totals), Value::Ratio(0.2));
    // Distinct values are known by day, and not from sums.
    assert_eq!(value("sessions", &totals), Value::Unknown);
    assert_eq!(value("conversion", &totals), Value::Unknown);
    assert_eq!(value("error_rate", &Totals::default()), Value::Unknown);
    let metric_set = shipped();
    assert!(metric_set.is_by_day_only(metric_set.metric("conversion").unwrap()));
    assert!(!metric_set.is_by_day_only(metric_set.metric("net_revenue").unwrap()));
    assert_eq!(metric_set.metric("average_order_value").unwrap().unit, Unit::Money);
}

#[test]
fn an_amount_that_money_needs_is_asked_for_at_the_door() {
    let metric_set = shipped();
    let check = |kind: &str, properties: &str| {
        metric_set.plan(kind).check(kind, properties, &mut Vec::new())
    };
    let fault = |kind: &str, properties: &str| check(kind, properties).unwrap_err().to_string();
    assert_eq!(fault("purchase", "{}"), "a purchase needs properties.amount");
    assert_eq!(fault("refund", r#"{"amount":null}"#), "a refund needs properties.amount");
    let negative = fault("purchase", r#"{"amount":-1}"#);
    assert!(negative.contains("negative") && negative.contains("\"revenue\""), "{negative}");
    assert!(fault("purchase", r#"{"amount":[]}"#).contains("is not a decimal number"));
    assert!(fault("purchase", r#"{"amount":"12 €"}"#).contains("is not a decimal number"));
    assert!(fault("purchase", r#"{"amount":1e15}"#).contains("is beyond"));
    assert_eq!(check("purchase", r#"{"amount":"19.99"}"#), Ok(()));
    assert_eq!(check("refund", r#"{"amount":-5}"#), Ok(()));
    assert_eq!(check("page_view", "{}"), Ok(()));
    for currency in [r#"{"code":"JPY"}"#, "null", "\"jpy\"", "392"] {
        let properties = format!(r#"{{"amount":5000,"currency":{currency}}}"#);
        assert_eq!(check("purchase", &properties), Ok(()), "{currency}");
    }
    for currency in ["[]", "[\"JPY\"]", "{}", r#"{"code":7}"#, r#"{"code":"yen!"}"#] {
        let properties = format!(r#"{{"amount":5000,"currency":{currency}}}"#);
        assert!(fault("purchase", &properties).contains("code of three letters"), "{currency}");
    }
}

#[test]
fn a_number_that_is_not_added_up_is_noted() {
    let spec = r#"{"name":"weight","kind":"sum","event":"parcel","property":"kg"}"#;
    let spec = serde_json::from_str(spec).unwrap();
    let metric_set = MetricSet::compile(&[spec], &[], Rates::new("USD")).unwrap();
    let notes = |properties| {
        let mut notes = Vec::new();
        metric_set.plan("parcel").check("parcel", properties, &mut notes).unwrap();
        notes.iter().map(Note::code).collect::<Vec<_>>()
    };
    assert_eq!(notes(r#"{"kg":2.5}"#), [""; 0]);
    assert_eq!(notes("{}"), [""; 0]);
    assert_eq!(notes(r#"{"kg":"two"}"#), ["not_summed"]);
    assert_eq!(notes(r#"{"kg":1e15}"#), ["not_summed"]);
}

#[test]
fn a_currency_in_an_object_is_its_code_and_a_negative_refund_a_refund() {
    let mut rates = Rates::new("USD");
    rates.add("JPY", "0.01").unwrap();
    let specs = r#"[
        {"name":"revenue","kind":"sum","event":"purchase","property":"amount","money":true},
        {"name":"refunds","kind":"sum","event":"refund","property":"amount","money":true,
         "absolute":true}]"#;
    let specs: Vec<MetricSpec> = serde_json::from_str(specs).unwrap();
    let metric_set = Arc::new(MetricSet::compile(&specs, &[], rates).unwrap());
    let mut sum = DeltaSum::default();
    let mut aggregator = Aggregator::new(metric_set.clone(), 10);
    for (kind, properties) in [
        ("purchase", r#"{"amount":5000,"currency":{"code":"JPY"}}"#),
        ("refund", r#"{"amount":-7}"#),
        ("refund", r#"{"amount":3}"#),
    ] {
        let row = Row {
            time: 0,
            received_at: 0,
            id: "1",
            kind,
            user_id: None,
            session_id: None,
            properties,
            ..Row::default()
        };
        aggregator.add(&mut sum, &row);
    }
    let mut totals = Totals::default();
    sum.finish().cells().for_each(|(_, series, value)| totals.add(series, value));
    let value = |name| metric_set.value(metric_set.metric(name).unwrap(), &totals);
    assert_eq!(value("revenue"), Value::Amount(Amount(500_000)));
    assert_eq!(value("refunds"), Value::Amount(Amount(100_000)));
}

/// What these metrics say of these events.
fn said(specs: &str, events: &[(&str, &str)]) -> impl Fn(&str) -> (Value, u64) {
    let specs: Vec<MetricSpec> = serde_json::from_str(specs).unwrap();
    let mut rates = Rates::new("USD");
    rates.add("JPY", "0.01").unwrap();
    let metric_set = Arc::new(MetricSet::compile(&specs, &[], rates).unwrap());
    let (mut sum, mut totals) = (DeltaSum::default(), Totals::default());
    let mut aggregator = Aggregator::new(metric_set.clone(), 10);
    for (kind, properties) in events {
        aggregator.add(&mut sum, &Row { id: "1", kind, properties, ..Row::default() });
    }
    sum.finish().cells().for_each(|(_, series, value)| totals.add(series, value));
    let parts = metric_set.metrics().iter().flat_map(|it| metric_set.parts(&it.name).series);
    let parts: Vec<Series> = parts.collect();
    let is_made = |series: &Series| matches!(series, Series::Matching(_) | Series::Sum(_));
    for (series, _) in totals.iter().filter(|(series, _)| is_made(series)) {
        assert!(parts.contains(series), "{series} is not asked of the rollups");
    }
    move |name: &str| {
        let metric = metric_set.metric(name).unwrap();
        (metric_set.value(metric, &totals), metric_set.left_out(metric, &totals))
    }
}

#[test]
fn both_sides_of_a_ratio_count_the_same_orders() {
    let specs = r#"[
        {"name":"events","kind":"count","event":"*"},
        {"name":"orders","kind":"count","event":"order"},
        {"name":"again","kind":"count","event":["order","reorder"]},
        {"name":"app_orders","kind":"count","event":"order","where":{"app":"true"}},
        {"name":"taken","kind":"sum","event":"order","property":"amount","money":true},
        {"name":"given","kind":"sum","event":"back","property":"amount","money":true},
        {"name":"net","kind":"difference","of":"taken","minus":"given"},
        {"name":"items","kind":"sum","event":"order","property":"items"},
        {"name":"average","kind":"ratio","of":"taken","per":"orders"},
        {"name":"average_net","kind":"ratio","of":"net","per":["orders","app_orders"]},
        {"name":"by_event","kind":"ratio","of":"taken","per":"events"},
        {"name":"orders_a_dollar","kind":"ratio","of":"orders","per":"taken"},
        {"name":"dollars_an_item","kind":"ratio","of":"taken","per":"items"},
        {"name":"items_an_order","kind":"ratio","of":"items","per":["orders"]},
        {"name":"twice","kind":"ratio","of":"taken","per":["orders","again"]},
        {"name":"share","kind":"ratio","of":"app_orders","per":"orders"}]"#;
    let say = said(
        specs,
        &[
            ("order", r#"{"amount":10,"currency":"USD","items":2}"#),
            ("order", r#"{"amount":1000,"currency":"JPY","items":"some"}"#),
            ("order", r#"{"amount":10,"currency":"GBP","items":3,"app":true}"#),
            ("back", r#"{"amount":4,"currency":"USD"}"#),
            ("back", r#"{"amount":4,"currency":"GBP"}"#),
        ],
    );
    let money = |dollars: i64| Value::Amount(Amount(dollars * 10_000));
    assert_eq!(say("taken"), (money(20), 1));
    assert_eq!(say("net"), (money(16), 2));
    assert_eq!(say("average"), (money(10), 1));
    // 16 dollars by two orders, of which none is of the app.
    assert_eq!(say("average_net"), (money(8), 2));
    // Of five events one is left out; what came back is in no sum of this ratio.
    assert_eq!(say("by_event"), (money(5), 1));
    assert_eq!(say("orders_a_dollar"), (Value::Ratio(0.1), 1));
    // Only the first order has both: 10 dollars for 2 items.
    assert_eq!(say("dollars_an_item"), (money(5), 2));
    assert_eq!(say("items_an_order"), (Value::Ratio(2.5), 1));
    // Two metrics count the same orders, so each of them counts twice.
    assert_eq!(say("twice"), (money(5), 1));
    assert_eq!(say("share"), (Value::Ratio(1.0 / 3.0), 0));
}

#[test]
fn a_plain_number_that_is_not_there_is_zero() {
    let specs = r#"[
        {"name":"orders","kind":"count","event":"order"},
        {"name":"off","kind":"sum","event":"order","property":"discount"},
        {"name":"off_an_order","kind":"ratio","of":"off","per":"orders"}]"#;
    let say = said(specs, &[("order", r#"{"discount":3}"#), ("order", "{}")]);
    assert_eq!(say("off_an_order"), (Value::Ratio(1.5), 0));
}

#[test]
fn a_difference_of_sums_is_the_sum_of_differences() {
    // Every additive metric of two spans together is the sum of the two.
    let metric_set = shipped();
    let (mut a, mut b) = (DeltaSum::default(), DeltaSum::default());
    a.sum(&Series::revenue(), 0, 70_000);
    b.sum(&Series::Sum("refunds".into()), 0, 30_000);
    let as_totals = |sum: &mut DeltaSum| {
        let mut totals = Totals::default();
        sum.finish().cells().for_each(|(_, series, value)| totals.add(series, value));
        totals
    };
    let (a, b) = (as_totals(&mut a), as_totals(&mut b));
    let mut both = a.clone();
    both.merge(&b);
    let net = metric_set.metric("net_revenue").unwrap();
    assert_eq!(metric_set.value(net, &a), Value::Amount(Amount(70_000)));
    assert_eq!(metric_set.value(net, &b), Value::Amount(Amount(-30_000)));
    assert_eq!(metric_set.value(net, &both), Value::Amount(Amount(40_000)));
}

#[test]
fn a_test_of_the_label_says_whose_events_a_metric_counts() {
    let counted = |filter: &str| {
        let spec = format!(
            r#"{{"name":"n","kind":"count","event":"a","where":{{"kind":"x",{filter}"z":"!*"}}}}"#
        );
        let spec = serde_json::from_str(&spec).unwrap();
        let metric_set = Arc::new(MetricSet::compile(&[spec], &[], Rates::new("USD")).unwrap());
        let mut sum = DeltaSum::default();
        let mut aggregator = Aggregator::new(metric_set, 10);
        for properties in [r#"{"kind":"x"}"#, r#"{"$bot":true,"kind":"x"}"#, r#"{"$bot":true}"#] {
            aggregator.add(&mut sum, &Row { id: "1", kind: "a", properties, ..Row::default() });
        }
        let delta = sum.finish();
        delta.cells().filter(|cell| cell.1.to_string() == "n:n").map(|cell| cell.2).sum::<i64>()
    };
    for (filter, expected) in [
        ("", 1),
        (r#""$bot":"true","#, 1),
        (r#""$bot":"!true","#, 1),
        (r#""$bot":["*","!*"],"#, 2),
        (r#""$bot":"false","#, 0),
    ] {
        assert_eq!(counted(filter), expected, "{filter}");
    }
    let wrong = r#"{"name":"n","kind":"count","event":"a","where":{"$bot":">=x"}}"#;
    let wrong = serde_json::from_str(wrong).unwrap();
    assert!(MetricSet::compile(&[wrong], &[], Rates::new("USD")).is_err());
}
