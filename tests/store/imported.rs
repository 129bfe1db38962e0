//! What was imported is known for good, on both stores: with its batch or not at all, and apart from what came by itself.

use floodmark::{
    domain::{
        batch::Batch,
        imported::{DIALECT, key},
        row::Row,
        time::DAY,
    },
    store::Written,
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{START, batch},
};

contract!(
    keys_are_there_with_their_batch_and_stay_without_it,
    lanes_that_import_the_same_do_not_wait_for_ever,
    orders_that_came_by_themselves_are_told_from_imported_ones,
);

/// A batch of purchases with these ids, each a second after the one before.
fn told(seq: u64, dialect: &str, ids: &[&str]) -> Batch {
    let mut rows = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let row = Row {
            time: START + n as i64 * 1_000,
            received_at: START + 20,
            id,
            kind: "purchase",
            properties: "{}",
            source: Some("shop"),
            dialect: Some(dialect),
            ..Row::default()
        };
        row.encode(&mut rows);
    }
    let mut whole =
        Batch { events: ids.len() as u64, rows: vec![rows.into()], ..batch(node(1), seq, 0) };
    // The rows of a span are found by what their batch counts.
    let mut sum = floodmark::domain::delta::DeltaSum::default();
    (0..ids.len()).for_each(|n| sum.count("purchase", START + n as i64 * 1_000));
    whole.delta = sum.finish().into();
    whole
}

async fn keys_are_there_with_their_batch_and_stay_without_it(backend: Backend) {
    let store = backend.open().await;
    let keys = ["a", "b", "c"].map(|id| key(id, "purchase"));
    assert!(store.imported.imported(&keys).await.unwrap().is_empty());
    let batch = told(1, DIALECT, &["a", "b"]);
    for expected in [Written::Stored { events: 2, poisoned: 0 }, Written::AlreadyStored] {
        assert_eq!(store.batches.write(&batch).await.unwrap(), expected);
        let known = store.imported.imported(&keys).await.unwrap();
        assert_eq!(known, keys[..2].iter().copied().collect());
    }
    backend.run("DELETE FROM events").await;
    assert_eq!(backend.open().await.imported.imported(&keys).await.unwrap().len(), 2);
}

async fn lanes_that_import_the_same_do_not_wait_for_ever(backend: Backend) {
    let store = backend.open().await;
    let (forth, back) = (["a", "b", "c", "d"], ["d", "c", "b", "a"]);
    for round in 0..5 {
        let writes = (1..=4).map(|lane| {
            let ids = if lane % 2 == 0 { &forth } else { &back };
            let batch = told(round * 4 + lane, DIALECT, ids);
            let batches = store.batches.clone();
            tokio::spawn(async move { batches.write(&batch).await.unwrap() })
        });
        for write in writes.collect::<Vec<_>>() {
            assert_eq!(write.await.unwrap(), Written::Stored { events: 4, poisoned: 0 });
        }
    }
}

async fn orders_that_came_by_themselves_are_told_from_imported_ones(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&told(1, "native", &["live-1", "live-2"])).await.unwrap();
    store.batches.write(&told(2, DIALECT, &["past"])).await.unwrap();
    let orders = |from, to, most| store.imported.live_orders(from, to, most);
    let mut found = orders(START, START + DAY, 9).await.unwrap().unwrap();
    let mut expected = vec![key("live-1", "purchase"), key("live-2", "purchase")];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(orders(START + 1, START + DAY, 9).await.unwrap().unwrap().len(), 1);
    assert_eq!(orders(START, START + DAY, 1).await.unwrap(), None, "more than may be held");
}
