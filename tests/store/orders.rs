//! The table of orders: both stores keep each order of a webhook in its newest state.

use floodmark::domain::{
    batch::Batch,
    orders::{EntryKind, OrderEntry},
    row::Row,
};
use serde_json::json;

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{START, batch},
};

contract!(
    an_order_is_kept_in_its_newest_state,
    lanes_that_tell_the_same_orders_do_not_wait_for_ever
);

pub fn entry(kind: EntryKind, id: &str, (status, changed): (&str, i64)) -> OrderEntry {
    OrderEntry {
        kind,
        id: id.to_owned(),
        order_id: "1001".to_owned(),
        total: "59.97".to_owned(),
        currency: "EUR".to_owned(),
        status: status.to_owned(),
        placed_at: START,
        changed_at: START + changed,
        test: false,
    }
}

/// A batch whose rows are webhooks of Shopify with these entries.
pub fn told(seq: u64, entries: &[OrderEntry]) -> Batch {
    let mut rows = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let (id, properties) = (format!("{seq}-{n}"), json!({"order_entry": entry}).to_string());
        let row = Row {
            time: START,
            received_at: START + 20,
            id: &id,
            kind: "orders_paid",
            properties: &properties,
            source: Some("shop"),
            dialect: Some("shopify"),
            ..Row::default()
        };
        row.encode(&mut rows);
    }
    Batch { events: entries.len() as u64, rows: vec![rows.into()], ..batch(node(1), seq, 0) }
}

async fn an_order_is_kept_in_its_newest_state(backend: Backend) {
    let store = backend.open().await;
    let order = |status, changed| entry(EntryKind::Order, "1001", (status, changed));
    let refund = entry(EntryKind::Refund, "9", ("refunded", 5));
    for (seq, entries) in [
        (1, &[order("paid", 2_000)][..]),
        (2, &[order("pending", 1_000), refund.clone()]),
        (3, &[refund]),
    ] {
        store.batches.write(&told(seq, entries)).await.unwrap();
    }
    let kept = |kind: &str, id: &str, status: &str, changed: i64| {
        let parts = ["shop", kind, id, "1001", "59.97", "EUR", status];
        format!("{} {} {}", parts.join(" "), START, START + changed)
    };
    let expected = [kept("order", "1001", "paid", 2_000), kept("refund", "9", "refunded", 5)];
    assert_eq!(backend.orders().await, expected);
    store.batches.write(&told(4, &[order("refunded", 3_000)])).await.unwrap();
    assert_eq!(backend.orders().await[0], kept("order", "1001", "refunded", 3_000));
}

async fn lanes_that_tell_the_same_orders_do_not_wait_for_ever(backend: Backend) {
    let store = backend.open().await;
    let orders = |at: i64| -> Vec<OrderEntry> {
        let one = |n: u64| entry(EntryKind::Order, &format!("{n:03}"), ("paid", at));
        (0..200).map(one).collect()
    };
    for round in 0..5 {
        let batches: Vec<Batch> = (1..=4)
            .map(|lane| {
                let seq = round * 4 + lane;
                let mut orders = orders(seq as i64);
                if lane % 2 == 0 {
                    orders.reverse();
                }
                told(seq, &orders)
            })
            .collect();
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| store.batches.write(&batches[at]));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        [a, b, c, d].into_iter().for_each(|written| assert!(written.is_ok(), "{written:?}"));
    }
    let newest = format!("{} {}", START, START + 20);
    let kept = backend.orders().await;
    assert_eq!(kept.len(), 200);
    assert!(kept.iter().all(|order| order.ends_with(&newest)), "{}", kept[0]);
}
