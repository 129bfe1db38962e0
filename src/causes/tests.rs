//! Questions to a real store (SQLite) with the traffic of a simulated shop.

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    config::Config,
    demo::{shop::Shop, traffic::Incidents},
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, RunId},
        delta::DeltaSum,
        row::Row,
        time::{HOUR, MINUTE},
    },
    store::{BatchStore, rollup::FoldLimits, sqlite::SqliteStore},
};

/// Midnight of a Tuesday, UTC.
const START: Millis = 1_795_478_400_000;
/// When something goes wrong.
const BREAKS: Millis = START + HOUR;
const END: Millis = BREAKS + 10 * MINUTE;

/// Payments that worked and such that did not.
const PAYMENTS: &[&str] = &["\"purchase\"", "\"error\""];
const PAGES: &[&str] = &["\"page_view\""];

/// An explainer of 70 minutes of a shop, of the events that have one of these texts. `change` may spoil an
/// event, given its type and properties.
async fn shop(
    texts: &[&str],
    rate: f64,
    change: impl Fn(Millis, &mut String, &mut Map<String, Value>),
) -> (Explainer, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let metric_set = Config::default().rules.metric_set;
    let mut aggregator = Aggregator::new(metric_set.clone(), 100);
    let (mut seq, mut rows, mut events) = (0, Vec::new(), 0);
    let (mut sum, mut line) = (DeltaSum::default(), Vec::new());
    let shop = Shop::new(7, START, rate, "EUR").with_incidents(Incidents::None);
    for event in shop.take_while(|event| event.timestamp < END) {
        line.clear();
        event.write_line(&mut line);
        let text = std::str::from_utf8(&line).unwrap();
        if !texts.iter().any(|it| text.contains(it)) {
            continue;
        }
        let event: Value = serde_json::from_slice(&line).unwrap();
        let (mut kind, time) =
            (event["type"].as_str().unwrap().to_owned(), event["timestamp"].as_i64().unwrap());
        let mut properties = event["properties"].as_object().cloned().unwrap_or_default();
        change(time, &mut kind, &mut properties);
        let properties = Value::from(properties).to_string();
        let id = event["id"].as_str().unwrap();
        let row = Row {
            time,
            received_at: time,
            id,
            kind: &kind,
            properties: &properties,
            ..Row::default()
        };
        row.encode(&mut rows);
        aggregator.add(&mut sum, &row);
        events += 1;
        if events == 5_000 {
            seq += 1;
            write(&store, seq, events, &mut rows, &mut sum).await;
            events = 0;
        }
    }
    write(&store, seq + 1, events, &mut rows, &mut sum).await;
    while !store.fold(FoldLimits::default()).await.unwrap().done {}
    (Explainer::new(store.clone(), store.clone(), store, metric_set), dir)
}

async fn write(store: &SqliteStore, seq: u64, events: u64, rows: &mut Vec<u8>, sum: &mut DeltaSum) {
    let mut batch = Batch::void(BatchId { run: RunId::from_u128(1), seq });
    (batch.events, batch.rows) = (events, vec![std::mem::take(rows).into()]);
    batch.delta = sum.finish().into();
    store.write(&batch).await.unwrap();
}

fn query(metric: &str, sight: Sight) -> CauseQuery {
    CauseQuery { metric: metric.to_owned(), now: (BREAKS, END), was: (START, BREAKS), sight }
}

/// Adyen declines most payments of Germany.
fn adyen(time: Millis, kind: &mut String, properties: &mut Map<String, Value>) {
    let is = |name: &str, value: &str| properties.get(name).is_some_and(|it| it == value);
    let fails = time % 10 < 7;
    if time >= BREAKS
        && kind == "purchase"
        && is("gateway", "adyen")
        && is("country", "DE")
        && fails
    {
        *kind = "error".to_owned();
        properties.insert("path".to_owned(), json!("/checkout/payment"));
        properties.insert("code".to_owned(), json!("psp_timeout"));
    }
}

#[tokio::test]
async fn a_gateway_of_a_country_is_named_and_every_question_gets_the_same_answer() {
    let (explainer, _dir) = shop(PAYMENTS, 50.0, adyen).await;
    let query = query("checkout_error_rate", Sight::Everything);
    let answer = explainer.explain(&query).await.unwrap();
    let wheres: Vec<_> =
        answer.causes.iter().map(|it| Value::from(it.conditions.clone())).collect();
    assert_eq!(wheres, [json!({"gateway": "adyen", "country": "DE"})], "{answer:?}");
    let cause = &answer.causes[0];
    assert!(cause.was < 0.15 && cause.value > 0.5 && cause.share > 0.6, "{cause:?}");
    assert!(answer.value > answer.was && !answer.general);
    assert_eq!(explainer.explain(&query).await.unwrap(), answer);
}

#[tokio::test]
async fn a_quiet_span_has_no_cause_and_a_general_outage_is_called_one() {
    let (explainer, _dir) = shop(PAYMENTS, 50.0, |_, _, _| {}).await;
    let answer = explainer.explain(&query("checkout_error_rate", Sight::Everything)).await.unwrap();
    assert!(answer.causes.is_empty() && !answer.general, "{answer:?}");
    let (explainer, _dir) = shop(PAYMENTS, 50.0, |time, kind, properties| {
        if time >= BREAKS && kind == "purchase" && time % 10 < 5 {
            *kind = "error".to_owned();
            properties.insert("path".to_owned(), json!("/checkout/payment"));
        }
    })
    .await;
    let answer = explainer.explain(&query("checkout_error_rate", Sight::Everything)).await.unwrap();
    assert!(answer.causes.is_empty() && answer.general, "{answer:?}");
}

#[tokio::test]
async fn counts_are_those_of_the_store_while_all_events_are_read() {
    let (explainer, _dir) = shop(PAGES, 10.0, |time, kind, properties| {
        let is_french = properties.get("country").is_some_and(|it| it == "FR");
        if time >= BREAKS && is_french && kind == "page_view" {
            *kind = "page_viewed".to_owned();
        }
    })
    .await;
    let answer = explainer.explain(&query("page_views", Sight::Everything)).await.unwrap();
    assert_eq!(Value::from(answer.causes[0].conditions.clone()), json!({"country": "FR"}));
    assert_eq!(answer.causes[0].value, 0.0);
    let spans = [(BREAKS, END)];
    let series =
        crate::store::rollup::Summed::One(crate::domain::delta::Series::Count("page_view".into()));
    let stored = explainer.rollups.sums(&spans, &series).await.unwrap()[0].unwrap();
    assert_eq!(answer.value, Some(stored as f64));
}

#[tokio::test]
async fn who_may_not_see_money_gets_no_amount_as_a_cause() {
    let (explainer, _dir) = shop(PAYMENTS, 30.0, |time, kind, properties| {
        let amount = properties.get("amount").and_then(Value::as_f64).unwrap_or(0.0);
        if time >= BREAKS && kind == "purchase" && amount > 60.0 {
            *kind = "lost".to_owned();
        }
    })
    .await;
    let named = async |sight| {
        let answer = explainer.explain(&query("purchases", sight)).await.unwrap();
        answer.causes.iter().flat_map(|it| it.conditions.keys().cloned()).collect::<Vec<_>>()
    };
    assert!(named(Sight::Everything).await.contains(&"amount".to_owned()));
    assert!(!named(Sight::NoMoney).await.contains(&"amount".to_owned()));
}

#[tokio::test]
async fn what_has_no_sum_is_refused() {
    let (explainer, _dir) = shop(PAYMENTS, 1.0, |_, _, _| {}).await;
    for (metric, says) in [("no_such", "there is no metric"), ("conversion", "different values")] {
        let fault = explainer.explain(&query(metric, Sight::Everything)).await.unwrap_err();
        assert!(fault.to_string().contains(says), "{fault}");
    }
}
