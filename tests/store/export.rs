//! What a store gives for an export: every event once, in slices that follow each other in time.

use std::sync::Arc;

use floodmark::{
    domain::{
        batch::NodeId,
        event_filter::EventFilter,
        row::{self, Row},
        time::{DAY, Millis},
    },
    store::{
        Stores,
        events::export::{ExportAsked, ExportKey, order},
    },
};
use tokio::sync::mpsc;

use crate::{
    backend::Backend,
    support::batches::{Event, START, seal},
};

/// More rows than a slice may have have this time.
const CROWD: Millis = START + DAY;
const CROWDED: u64 = 41_000;

fn asked(filter: EventFilter, after: Option<ExportKey>) -> ExportAsked {
    ExportAsked { filter: Arc::new(filter), from: 0, until: START + 3 * DAY, after }
}

/// The keys of an export. Slices are sorted as whoever takes them does it.
async fn exported(stores: &Stores, asked: &ExportAsked) -> Vec<ExportKey> {
    let (slices, mut taken) = mpsc::channel(1);
    let (events, of) = (stores.events.clone(), asked.clone());
    let reading = tokio::spawn(async move { events.export(&of, slices).await });
    let mut keys = Vec::new();
    while let Some(slice) = taken.recv().await {
        let mut rows: Vec<Row<'_>> = row::rows(&slice).map(|row| row.unwrap()).collect();
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        let rows = rows.iter().filter(|row| asked.filter.shown(row).is_some());
        let behind = |row: &&Row<'_>| asked.after.as_ref().is_none_or(|it| it.is_before(row));
        keys.extend(rows.filter(behind).map(ExportKey::of));
    }
    reading.await.unwrap().unwrap();
    keys
}

#[tokio::test]
async fn every_event_comes_once_and_in_order() {
    for backend in [Backend::sqlite(), Backend::postgres()] {
        let stores = backend.open().await;
        let mut events: Vec<Event> = (0..CROWDED)
            .map(|n| Event::at(CROWD, format!("it's \\ {:05}", n * 7_919 % CROWDED)))
            .collect();
        // One id has two types, and two times.
        let mut twin = events[0].clone();
        twin.kind = "add to cart".to_owned();
        events.push(twin.clone());
        twin.time += 1;
        events.push(twin);
        events.extend((0..900).map(|n| Event::at(START + n * 90_000, format!("e{n}"))));
        for (seq, events) in events.chunks(8_000).enumerate() {
            let batch = seal(NodeId::from_u128(7), seq as u64 + 1, events);
            stores.batches.write(&batch).await.unwrap();
        }
        let mut expected: Vec<ExportKey> =
            events.iter().map(|it| ExportKey::of(&it.row())).collect();
        expected.sort();
        let all = exported(&stores, &asked(EventFilter::default(), None)).await;
        assert_eq!(all.len(), expected.len());
        assert!(all == expected);
        // It goes on behind any event, also in the middle of a crowd.
        let at = expected.len() - 1_500;
        let rest = asked(EventFilter::default(), Some(expected[at].clone()));
        assert!(exported(&stores, &rest).await == expected[at + 1..]);
        let mut filter = EventFilter::default();
        filter.kind = Some("add to cart".to_owned());
        assert_eq!(exported(&stores, &asked(filter, None)).await.len(), 2);
    }
}
