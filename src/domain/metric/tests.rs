//! The shipped metrics, from what events write to what is read.

use super::*;
use crate::{
    config::Config,
    domain::{
        delta::{DeltaSum, Series},
        money::Amount,
        totals::Totals,
    },
};

fn shipped() -> std::sync::Arc<MetricSet> {
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
    let fault = |kind: &str, properties| {
        metric_set.plan(kind).check(kind, properties).unwrap_err().to_string()
    };
    assert_eq!(fault("purchase", "{}"), "a purchase needs properties.amount");
    assert_eq!(fault("refund", r#"{"amount":null}"#), "a refund needs properties.amount");
    assert!(fault("purchase", r#"{"amount":-1}"#).contains("negative"));
    assert!(fault("purchase", r#"{"amount":[]}"#).contains("is not a decimal number"));
    assert!(fault("purchase", r#"{"amount":"12 €"}"#).contains("is not a decimal number"));
    assert!(fault("purchase", r#"{"amount":1e12}"#).contains("is beyond"));
    assert_eq!(metric_set.plan("purchase").check("purchase", r#"{"amount":"19.99"}"#), Ok(()));
    assert_eq!(metric_set.plan("page_view").check("page_view", "{}"), Ok(()));
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
