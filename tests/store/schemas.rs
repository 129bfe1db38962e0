//! What both stores learn of the properties of events: each event counts once, whatever is killed or
//! written again, and names that are made up fill no table.

use floodmark::{
    domain::{
        batch::Batch,
        shape::{JsonType, SchemaLimits, ShapeCell},
        time::{DAY, HOUR, MINUTE, Millis},
    },
    store::{
        Stores, Written,
        rollup::FoldLimits,
        schemas::{KEEP_MINUTES, KEEP_UNSEEN, ShapesAsked},
    },
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{Event, START, batch, seal},
};

contract!(
    what_is_learnt_is_what_the_rows_have,
    a_batch_that_is_written_again_is_learnt_once,
    folders_that_race_learn_each_event_once,
    names_that_are_made_up_get_no_more_than_their_room,
    minutes_last_for_a_day_and_hours_for_good,
);

fn purchases(seq: u64, count: u64, properties: &str) -> Batch {
    let events: Vec<Event> = (0..count)
        .map(|n| Event {
            kind: "purchase".to_owned(),
            properties: properties.to_owned(),
            ..Event::at(START + n as Millis * 1_000, format!("{seq}-{n}"))
        })
        .collect();
    seal(node(1), seq, &events)
}

async fn fold(store: &Stores) -> u64 {
    let mut unlearnt = 0;
    while store.rollups.known().await.unwrap().until.is_some() {
        unlearnt += store.rollups.fold(FoldLimits::default()).await.unwrap().unlearnt;
    }
    unlearnt
}

/// Everything that is known by minutes or by hours.
async fn cells(store: &Stores, step: Millis) -> Vec<ShapeCell> {
    let asked = ShapesAsked { from: 0, to: START + 400 * DAY, step, ..ShapesAsked::default() };
    store.schemas.shapes(&asked).await.unwrap().expect("few cells")
}

/// How many events had this property of purchases, over all time.
async fn seen(store: &Stores, property: &str, step: Millis) -> u64 {
    let cells = cells(store, step).await.into_iter();
    let of = cells.filter(|cell| cell.kind == "purchase" && cell.property == property);
    of.map(|cell| cell.seen).sum()
}

async fn what_is_learnt_is_what_the_rows_have(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=20 {
        store.batches.write(&batch(node(1), seq, 500)).await.unwrap();
    }
    assert_eq!(fold(&store).await, 0);
    // The same from the rows themselves.
    let mut expected = std::collections::BTreeMap::<(String, String, Millis), u64>::new();
    for event in backend.events().await {
        let properties: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&event.properties).unwrap();
        let at = event.time.div_euclid(MINUTE) * MINUTE;
        for property in properties.keys().cloned().chain([String::new()]) {
            *expected.entry((event.kind.clone(), property, at)).or_default() += 1;
        }
    }
    let minutes = cells(&store, MINUTE).await;
    let of = |cell: &ShapeCell| ((cell.kind.clone(), cell.property.clone(), cell.at), cell.seen);
    let found: std::collections::BTreeMap<_, _> = minutes.iter().map(of).collect();
    assert_eq!((found.len(), minutes.len()), (expected.len(), expected.len()), "no cell twice");
    assert_eq!(found, expected);
    assert!(minutes.iter().all(|cell| cell.source == "http" && cell.others == 0));
    let amounts = minutes.iter().filter(|cell| cell.property == "amount");
    assert!(amounts.clone().count() > 5, "several minutes");
    assert!(amounts.into_iter().all(|cell| cell.types.of(JsonType::Number) == cell.seen));
    for property in ["", "amount", "currency"] {
        assert_eq!(seen(&store, property, HOUR).await, seen(&store, property, MINUTE).await);
    }
    // Minutes of one stretch are added up.
    let quarters = cells(&store, 15 * MINUTE).await;
    assert!(quarters.len() < minutes.len() && quarters.iter().all(|it| it.at % (15 * MINUTE) == 0));
    let all = |cells: &[ShapeCell]| cells.iter().map(|cell| cell.seen).sum::<u64>();
    assert_eq!(all(&quarters), all(&minutes));
    let errors = ShapesAsked {
        to: Millis::MAX / 2,
        step: HOUR,
        kind: Some("error".into()),
        source: Some("http".into()),
        ..ShapesAsked::default()
    };
    let errors = store.schemas.shapes(&errors).await.unwrap().expect("few cells");
    assert!(!errors.is_empty() && errors.iter().all(|cell| cell.kind == "error"));
    let known = store.schemas.known_properties(Some("purchase"), None).await.unwrap();
    let names: Vec<&str> = known.iter().map(|it| it.property.as_str()).collect();
    assert_eq!(names, ["", "amount", "currency"]);
    assert!(known.iter().all(|it| it.first == START && it.last > START + 10 * MINUTE));
    let nowhere = store.schemas.known_properties(None, Some("app")).await.unwrap();
    assert_eq!(nowhere, []);
}

async fn a_batch_that_is_written_again_is_learnt_once(backend: Backend) {
    let store = backend.open().await;
    let first = purchases(1, 100, r#"{"amount":1}"#);
    store.batches.write(&first).await.unwrap();
    assert_eq!(store.batches.write(&first).await.unwrap(), Written::AlreadyStored);
    fold(&store).await;
    assert_eq!(store.batches.write(&first).await.unwrap(), Written::AlreadyStored);
    fold(&store).await;
    // A restart folds nothing twice either.
    let store = backend.open().await;
    store.rollups.fold(FoldLimits::default()).await.unwrap();
    assert_eq!((seen(&store, "amount", MINUTE).await, seen(&store, "", HOUR).await), (100, 100));
}

async fn folders_that_race_learn_each_event_once(backend: Backend) {
    let (a, b) = (backend.open().await, backend.open().await);
    for seq in 1..=40 {
        a.batches.write(&purchases(seq, 25, r#"{"amount":1}"#)).await.unwrap();
    }
    let small = FoldLimits { rows: 3, ..FoldLimits::default() };
    while a.rollups.known().await.unwrap().until.is_some() {
        // One of them may find that the other was faster, and has then done nothing.
        let _ = tokio::join!(a.rollups.fold(small), b.rollups.fold(small));
    }
    assert_eq!((seen(&a, "amount", MINUTE).await, seen(&b, "", HOUR).await), (1_000, 1_000));
}

async fn names_that_are_made_up_get_no_more_than_their_room(backend: Backend) {
    let store = backend.open().await;
    let limits = SchemaLimits { schemas: 1, properties: 3 };
    let limits = FoldLimits { schemas: limits, ..FoldLimits::default() };
    // They are folded one by one, as a server does it that is not behind.
    let mut unlearnt = 0;
    for batch in [
        purchases(1, 1, r#"{"amount":1,"currency":"EUR"}"#),
        purchases(2, 3, r#"{"b":1,"a":1,"amount":2}"#),
        seal(node(1), 3, &[Event::at(START, "view")]),
    ] {
        store.batches.write(&batch).await.unwrap();
        unlearnt += store.rollups.fold(limits).await.unwrap().unlearnt;
    }
    let known = store.schemas.known_properties(None, None).await.unwrap();
    let names: Vec<&str> = known.iter().map(|it| it.property.as_str()).collect();
    assert_eq!((names, unlearnt), (vec!["", "a", "amount", "currency"], 1));
    let cells = cells(&store, HOUR).await;
    assert!(cells.iter().all(|cell| cell.kind == "purchase"), "{cells:?}");
    assert_eq!(cells.iter().map(|cell| cell.others).sum::<u64>(), 3, "those of b");
    // What nobody has sent for a month makes room.
    store.schemas.forget(0, START + KEEP_UNSEEN).await.unwrap();
    assert_eq!(store.schemas.known_properties(None, None).await.unwrap(), []);
    store.batches.write(&purchases(5, 7, r#"{"new":1}"#)).await.unwrap();
    assert_eq!(store.rollups.fold(limits).await.unwrap().unlearnt, 0);
    assert_eq!(store.schemas.known_properties(None, None).await.unwrap().len(), 2);
}

async fn minutes_last_for_a_day_and_hours_for_good(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&purchases(1, 120, r#"{"amount":1}"#)).await.unwrap();
    fold(&store).await;
    let now = START + MINUTE + KEEP_MINUTES;
    store.schemas.forget(now - KEEP_MINUTES, now - KEEP_UNSEEN).await.unwrap();
    assert_eq!(seen(&store, "amount", MINUTE).await, 60, "the first minute is over");
    assert_eq!(seen(&store, "amount", HOUR).await, 120);
    assert_eq!(store.schemas.known_properties(None, None).await.unwrap().len(), 2);
}
