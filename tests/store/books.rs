//! The books, on both stores: orders of webhooks and of files against the events of the same orders, with
//! planted faults found to the id, in whatever order they come.

use floodmark::{
    domain::{
        batch::Batch,
        books::{Books, BooksAsked, Priced},
        money::Amount,
        orders::{EntryKind, OrderEntry},
        time::{HOUR, Millis},
    },
    store::{Stores, orders::StoredOrder},
};
use serde_json::json;

use crate::{
    backend::{Backend, node},
    contract::contract,
    orders::{entry, told},
    support::batches::{Event, START, seal},
};

contract!(
    planted_faults_are_found_to_the_id,
    an_order_and_its_event_meet_whichever_comes_first,
    a_file_of_orders_is_compared_like_webhooks,
    what_was_stored_before_events_were_noted_is_not_compared,
);

/// An order of the shop of 59.97 EUR.
fn order(id: &str) -> OrderEntry {
    OrderEntry { order_id: id.to_owned(), ..entry(EntryKind::Order, id, ("paid", 1_000)) }
}

/// A purchase that the shop's server sends.
fn purchase(id: &str, amount: &str) -> Event {
    Event {
        kind: "purchase".to_owned(),
        properties: json!({"amount": amount, "currency": "EUR"}).to_string(),
        ..Event::at(START + 500, format!("order:{id}"))
    }
}

fn purchases(seq: u64, events: &[Event]) -> Batch {
    seal(node(2), seq, events)
}

async fn compared(store: &Stores, from: Millis, source: Option<&str>) -> Books {
    let source = source.map(str::to_owned);
    let asked = BooksAsked { from, to: from + HOUR, source, currency: "EUR".to_owned() };
    store.books.books(&asked).await.unwrap()
}

async fn planted_faults_are_found_to_the_id(backend: Backend) {
    let store = backend.open().await;
    let id = |n: u64| format!("{n:04}");
    let mut entries: Vec<OrderEntry> = (0..1_000).map(|n| order(&id(n))).collect();
    entries.push(OrderEntry { test: true, ..order("trial") });
    entries.push(OrderEntry { status: "pending".to_owned(), ..order("unpaid") });
    entries.push(entry(EntryKind::Refund, "r1", ("refunded", 2_000)));
    for (seq, some) in (1..).zip(entries.chunks(300)) {
        store.batches.write(&told(seq, some)).await.unwrap();
    }
    let mut events: Vec<Event> = (0..1_000).map(|n| purchase(&id(n), "59.97")).collect();
    // The same order, known by a property and not by the event's id.
    events[5].id = "of-the-app".to_owned();
    events[5].properties = json!({"amount": 59.97, "currency": "eur", "order_id": 5}).to_string();
    events[5].properties = events[5].properties.replace(":5}", ":\"0005\"}");
    events[700] = purchase("0700", "59.96");
    events[800].properties = events[800].properties.replace("EUR", "USD");
    events.push(purchase("0900", "59.97"));
    events.push(purchase("nobody-knows", "1"));
    events.remove(333);
    for (seq, some) in (1..).zip(events.chunks(300)) {
        store.batches.write(&purchases(seq, some)).await.unwrap();
    }
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.matched, found.tracked), (1_000, 999, 999));
    assert_eq!((found.missing, found.doubled), (vec![id(333)], vec![id(900)]));
    assert_eq!(found.unknown, ["nobody-knows"]);
    let there = Priced { amount: Some(Amount(599_700)), currency: "EUR".to_owned() };
    let differ: Vec<(String, String, i64)> = found
        .differ
        .iter()
        .map(|it| (it.order.clone(), it.here.currency.clone(), it.here.amount.unwrap().0))
        .collect();
    let expected = [("0700", "EUR", 599_600), ("0800", "USD", 599_700)];
    assert_eq!(differ, expected.map(|(id, code, units)| (id.to_owned(), code.to_owned(), units)));
    assert!(found.differ.iter().all(|it| it.there == there && it.source == "shop"));
    assert_eq!((found.tests, found.not_due, found.refunds, found.kept), (1, 1, 1, true));
    // Nobody's orders are another source's, and the hour before had none.
    let nobodys = compared(&store, START, Some("nobody")).await;
    assert_eq!((nobodys.orders, nobodys.kept, nobodys.counts.unknown), (0, false, 0));
    assert_eq!(compared(&store, START - HOUR, None).await.orders, 0);
}

async fn an_order_and_its_event_meet_whichever_comes_first(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&purchases(1, &[purchase("1", "59.97")])).await.unwrap();
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.kept, found.counts.unknown), (0, false, 0), "no books yet");
    store.batches.write(&told(1, &[order("2"), order("1")])).await.unwrap();
    assert_eq!(compared(&store, START, None).await.missing, ["2"]);
    store.batches.write(&purchases(2, &[purchase("2", "59.97")])).await.unwrap();
    // What is written again is there once.
    store.batches.write(&purchases(2, &[purchase("2", "59.97")])).await.unwrap();
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.matched, found.counts), (2, 2, Default::default()));
    let cancelled =
        OrderEntry { status: "cancelled".to_owned(), changed_at: START + HOUR, ..order("2") };
    store.batches.write(&told(2, &[cancelled])).await.unwrap();
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.not_due, found.counts), (1, 1, Default::default()));
}

async fn a_file_of_orders_is_compared_like_webhooks(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&purchases(1, &[purchase("1", "59.97")])).await.unwrap();
    let of = |source: &str, entry: OrderEntry| StoredOrder {
        source: source.to_owned(),
        entry,
        received_at: START,
    };
    let orders = [of("file", order("1")), of("file", order("2"))];
    for _ in 0..2 {
        store.books.keep_orders(&orders).await.unwrap();
    }
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.matched, found.missing), (2, 1, vec!["2".to_owned()]));
    // A payment of the same order in another book is no second order.
    let payment = OrderEntry { id: "ch_1".to_owned(), ..order("1") };
    store.books.keep_orders(&[of("payments", payment)]).await.unwrap();
    let found = compared(&store, START, None).await;
    assert_eq!((found.orders, found.matched, found.counts.doubled), (2, 1, 0));
    assert_eq!(compared(&store, START, Some("payments")).await.orders, 1);
}

async fn what_was_stored_before_events_were_noted_is_not_compared(backend: Backend) {
    let store = backend.open().await;
    let early = OrderEntry { placed_at: START + 1, ..order("1") };
    let late = OrderEntry { placed_at: START + 10_000, ..order("2") };
    store.batches.write(&told(1, &[early, late])).await.unwrap();
    let since = START + 5_000;
    let sql =
        format!("INSERT INTO history_forgotten (what, before) VALUES ('order_events', {since})");
    backend.run(&sql).await;
    let found = compared(&store, START, None).await;
    assert_eq!((found.from, found.orders, found.missing), (since, 1, vec!["2".to_owned()]));
}
