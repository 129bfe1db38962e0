//! Breakdowns that are kept, on both stores: each event counts in them once, whatever is killed or folded by
//! somebody else meanwhile, and what an earlier version has folded without them is caught up with.

use std::{collections::BTreeMap, pin::pin};

use floodmark::{
    domain::{
        delta::QUARTER_HOUR,
        time::{DAY, HOUR, MINUTE, Millis, SECOND},
    },
    store::{
        Stores,
        breakdowns::{MINUTE_VALUES, TopsAsked},
        kept_minutes::KeptMinutes,
        rollup::FoldLimits,
    },
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    rollups::{SMALL, fold_all, killed_after},
    support::batches::{Event, START, event, seal},
};

contract!(
    what_is_kept_is_what_the_rows_have,
    folders_that_race_keep_each_event_once,
    a_fold_that_is_killed_keeps_nothing_twice,
    what_was_folded_without_breakdowns_is_caught_up_with,
    minutes_go_and_quarters_of_an_hour_stay,
    minutes_of_an_occasion_stay,
);

const PATHS: &str = "page_view/path";
const TO: Millis = START + 10 * DAY;

/// Batch `seq` of events that are 23 s apart; one in fifty comes two days late.
fn spread(seq: u64, size: u64) -> floodmark::domain::batch::Batch {
    let events: Vec<Event> = ((seq - 1) * size..seq * size)
        .map(|n| {
            let late = if n % 50 == 7 { 2 * DAY } else { 0 };
            Event { time: START + n as Millis * 23_003 - late, ..event(n) }
        })
        .collect();
    seal(node(1), seq, &events)
}

/// The counts of a breakdown in a span, and by how much they may be too low.
async fn kept(store: &Stores, asked: TopsAsked) -> (BTreeMap<String, u64>, u64) {
    let top = store.breakdowns.sum(&asked).await.unwrap().finish();
    (top.iter().map(|(value, n)| (value.to_owned(), n)).collect(), top.error())
}

async fn paths(store: &Stores, from: Millis, to: Millis) -> (BTreeMap<String, u64>, u64) {
    kept(store, TopsAsked::between(PATHS.to_owned(), from, to)).await
}

/// The same from the rows themselves.
async fn of_rows(backend: &Backend, from: Millis, to: Millis) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in backend.events().await {
        let properties: serde_json::Value = serde_json::from_str(&event.properties).unwrap();
        if event.kind == "page_view" && (from..to).contains(&event.time) {
            *counts.entry(properties["path"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counts
}

async fn assert_kept(store: &Stores, backend: &Backend) {
    let third = 7 * MINUTE;
    for (from, to) in [
        (START - 3 * DAY, TO),
        (START, START + 6 * HOUR),
        (START + third, START + third + 5 * HOUR),
        (START + third, START + third + 4 * MINUTE),
    ] {
        let exact = of_rows(backend, from, to).await;
        assert!(!exact.is_empty());
        assert_eq!(paths(store, from, to).await, (exact, 0), "{from} to {to}");
    }
}

async fn what_is_kept_is_what_the_rows_have(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=20 {
        store.batches.write(&spread(seq, 300)).await.unwrap();
        if seq % 6 == 0 {
            fold_all(&store, SMALL).await;
        }
    }
    fold_all(&store, SMALL).await;
    assert_kept(&store, &backend).await;
    // Two of eight events are errors, which have their code, and none has a gateway.
    let whole = |name: &str| TopsAsked::between(name.to_owned(), START - 3 * DAY, TO);
    let errors = 20 * 300 * 2 / 8;
    let expected = BTreeMap::from([("E42".to_owned(), errors)]);
    assert_eq!(kept(&store, whole("error/code")).await, (expected, 0));
    assert_eq!(store.breakdowns.since().await.unwrap().complete, None);
    // A minute in which each of a hundred pages came more often than the one before it.
    let crowd: Vec<Event> = (1..=100u64)
        .flat_map(|page| (0..page).map(move |n| (page, n)))
        .map(|(page, n)| Event {
            properties: format!(r#"{{"path":"/crowd/{page}"}}"#),
            ..Event::at(TO - DAY, format!("{page}-{n}"))
        })
        .collect();
    store.batches.write(&seal(node(2), 1, &crowd)).await.unwrap();
    fold_all(&store, SMALL).await;
    let stretch = vec![(TO - DAY, TO - DAY + QUARTER_HOUR)];
    let asked = TopsAsked { breakdown: PATHS.to_owned(), ..TopsAsked::default() };
    let quarter = TopsAsked { quarters: stretch.clone(), ..asked.clone() };
    let (quarter, error) = kept(&store, quarter).await;
    assert_eq!((quarter.len(), error, quarter["/crowd/7"]), (100, 0, 7));
    let (minute, error) = kept(&store, TopsAsked { minutes: stretch, ..asked }).await;
    assert_eq!((minute.len(), error), (MINUTE_VALUES, 80));
    assert_eq!(minute["/crowd/100"], 100 - 80);
}

async fn folders_that_race_keep_each_event_once(backend: Backend) {
    let stores = [backend.open().await, backend.open().await];
    for seq in 1..=30 {
        stores[0].batches.write(&spread(seq, 40)).await.unwrap();
    }
    let folders = stores.iter().chain(&stores).map(|store| {
        let store = store.clone();
        tokio::spawn(async move {
            while store.rollups.known().await.unwrap().until.is_some() {
                store.rollups.fold(SMALL).await.unwrap();
            }
        })
    });
    for folder in futures_util::future::join_all(folders).await {
        folder.unwrap();
    }
    assert_kept(&stores[0], &backend).await;
}

async fn a_fold_that_is_killed_keeps_nothing_twice(backend: Backend) {
    let store = backend.open().await;
    for polls in 0..40 {
        store.batches.write(&spread(polls as u64 + 1, 40)).await.unwrap();
        killed_after(polls, pin!(store.rollups.fold(SMALL))).await;
    }
    fold_all(&store, SMALL).await;
    assert_kept(&store, &backend).await;
}

async fn what_was_folded_without_breakdowns_is_caught_up_with(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=20 {
        store.batches.write(&spread(seq, 60)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    let minutes = store.rollups.minutes(0, TO, None).await.unwrap();
    // So an earlier version leaves it, which folds the rollups only.
    let without = "DELETE FROM breakdown_rollups; UPDATE fold_heads SET breakdowns = 0";
    backend.run(without).await;
    assert_eq!(paths(&store, START, TO).await.0, BTreeMap::new());
    assert_eq!(store.rollups.drop_folded(TO, 0, 100).await.unwrap(), 0, "they are needed still");
    let folded = store.rollups.fold(FoldLimits::default()).await.unwrap();
    assert_eq!(folded.rows, 0, "all were in the rollups before");
    fold_all(&store, SMALL).await;
    assert_kept(&store, &backend).await;
    assert_eq!(store.rollups.minutes(0, TO, None).await.unwrap(), minutes);
    // Rows that it has dropped can't be caught up with, and it is said since when nothing lacks.
    let last = spread(8, 60).delta.span().unwrap().1;
    assert_eq!(store.rollups.drop_folded(last + SECOND, 0, 100).await.unwrap(), 8);
    assert_eq!(store.breakdowns.since().await.unwrap().complete, None);
    backend.run(without).await;
    assert_eq!(store.breakdowns.since().await.unwrap().complete, Some(last + SECOND));
    fold_all(&store, SMALL).await;
    assert_eq!(store.breakdowns.since().await.unwrap().complete, Some(last + SECOND));
    let from = last - last % MINUTE + MINUTE;
    assert_eq!(paths(&store, from, TO).await, (of_rows(&backend, from, TO).await, 0));
}

async fn minutes_of_an_occasion_stay(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=4 {
        store.batches.write(&spread(seq, 300)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    let minutes_of = async |from, to| {
        let asked = TopsAsked { minutes: vec![(from, to)], ..TopsAsked::default() };
        kept(&store, TopsAsked { breakdown: PATHS.to_owned(), ..asked }).await.0
    };
    let (occasion, before) = ((START + HOUR, START + 2 * HOUR), START + 3 * HOUR);
    // Half of it is forgotten by age at first, then all of it; a restart says the same again.
    for before in [START + HOUR + HOUR / 2, before, before] {
        store.breakdowns.forget_minutes(before, &[occasion]).await.unwrap();
        let there = minutes_of(occasion.0, occasion.1).await;
        assert_eq!(there, of_rows(&backend, occasion.0, occasion.1).await);
        assert!(!there.is_empty());
        assert_eq!(minutes_of(START, occasion.0).await, BTreeMap::new());
    }
    assert_eq!(minutes_of(occasion.1, before).await, BTreeMap::new());
    let since = store.breakdowns.since().await.unwrap();
    assert_eq!(since.minutes.spared, [occasion]);
    assert!(since.minutes.has(occasion.0, occasion.1) && !since.minutes.has(START, occasion.1));
    // A node that knows nothing of the occasion forgets none of them.
    store.breakdowns.forget_minutes(before, &[]).await.unwrap();
    let there = of_rows(&backend, occasion.0, occasion.1).await;
    assert_eq!(minutes_of(START, before).await, there);
    assert_eq!(store.breakdowns.since().await.unwrap().minutes.spared, [occasion]);
}

async fn minutes_go_and_quarters_of_an_hour_stay(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=4 {
        store.batches.write(&spread(seq, 300)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    let before = START + 2 * HOUR;
    assert_eq!(store.breakdowns.since().await.unwrap().minutes, KeptMinutes::default());
    store.breakdowns.forget_minutes(before, &[]).await.unwrap();
    // A configuration that keeps them for longer brings none of them back.
    store.breakdowns.forget_minutes(before - HOUR, &[]).await.unwrap();
    assert_eq!(store.breakdowns.since().await.unwrap().minutes.since, Some(before));
    let span = (before - 5 * MINUTE, before + 5 * MINUTE);
    let asked = TopsAsked { minutes: vec![span], ..TopsAsked::default() };
    let (minutes, _) = kept(&store, TopsAsked { breakdown: PATHS.to_owned(), ..asked }).await;
    assert_eq!(minutes, of_rows(&backend, before, span.1).await);
    let whole = (START, before);
    assert_eq!(paths(&store, whole.0, whole.1).await.0, of_rows(&backend, whole.0, whole.1).await);
}
