//! Compares a breakdown of a million events with exact counts, to measure how far off it is.

use std::collections::HashMap;

use floodmark::{
    config::Config,
    domain::{
        aggregate::Aggregator,
        batch::LANES,
        delta::DeltaSum,
        row::Row,
        time::{BusinessZone, MINUTE, Millis},
        top::CAPACITY,
    },
    live::counters::Counters,
    numbers::breakdown,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const EVENTS: u64 = 1_000_000;
const BATCH: u64 = 5_000;
/// Pages of the shop; a few are read by many, most by hardly anyone.
const PAGES: f64 = 20_000.0;
const START: Millis = 1_795_766_400_000;
/// The span of time over which the events are spread, in ms.
const SPAN: Millis = 10 * MINUTE;

#[test]
fn a_million_events_are_off_by_no_more_than_is_said() {
    let mut aggregator = Aggregator::new(Config::default().rules.metric_set, 200);
    let mut counters = Counters::new(BusinessZone::named("UTC").expect("it is built in"));
    let mut random = SmallRng::seed_from_u64(7);
    let mut exact: HashMap<String, u64> = HashMap::new();
    let mut sum = DeltaSum::default();
    for n in 0..EVENTS {
        // The pages follow Zipf's law, nearly: the page of rank r is read about 1/r times as often
        // as the first.
        let page = PAGES.powf(random.random::<f64>()) as u64;
        let path = format!("/p/{page}");
        let properties = format!(r#"{{"path":"{path}"}}"#);
        let time = START + (n as Millis * SPAN) / EVENTS as Millis;
        let row = Row {
            time,
            received_at: time,
            id: "",
            kind: "page_view",
            user_id: None,
            session_id: None,
            properties: &properties,
            ..Row::default()
        };
        aggregator.add(&mut sum, &row);
        *exact.entry(path).or_default() += 1;
        if (n + 1) % BATCH == 0 {
            let batch = (n + 1) / BATCH;
            counters.apply(batch % LANES, &sum.finish(), START + SPAN);
        }
    }
    let top = breakdown::top_of(&counters, "page_view/path", START, START + SPAN);
    let mut largest: Vec<_> = exact.iter().collect();
    largest.sort_by(|a, b| b.1.cmp(a.1));
    let off: Vec<u64> = largest[..10].iter().map(|(page, n)| *n - top.count(page)).collect();
    println!(
        "{} values; the ten largest are too low by {off:?} of {:?}; it says at most {}",
        exact.len(),
        largest[..10].iter().map(|(_, n)| **n).collect::<Vec<_>>(),
        top.error(),
    );
    assert!(top.error() <= EVENTS / (CAPACITY as u64 + 1));
    for (page, n) in &exact {
        let kept = top.count(page);
        assert!(kept <= *n && *n - kept <= top.error(), "{page}: {kept} of {n}");
    }
    // The first three differ by far more than the error, so their order must be right.
    let shown: Vec<&str> = top.largest(3).into_iter().map(|(page, _)| page).collect();
    assert_eq!(shown, ["/p/1", "/p/2", "/p/3"]);
}
