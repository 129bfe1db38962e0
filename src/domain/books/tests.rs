//! What is missing, doubled, different or unknown, and what need not be there.

use super::*;

fn booked(order: &str, source: &str, total: &str, status: &str) -> BookedOrder {
    BookedOrder {
        order_id: order.to_owned(),
        source: source.to_owned(),
        id: format!("{source}-{order}"),
        total: Amount::parse(total).unwrap(),
        currency: "EUR".to_owned(),
        status: status.to_owned(),
        test: false,
    }
}

fn event(order: &str, amount: &str) -> OrderEvent {
    OrderEvent {
        order_id: order.to_owned(),
        counts: true,
        webhook: false,
        source: "web".to_owned(),
        time: 0,
        amount: Amount::parse(amount).ok(),
        currency: String::new(),
        test: false,
    }
}

fn made(pairs: Vec<(BookedOrder, Option<OrderEvent>)>) -> Books {
    let asked = BooksAsked { from: 0, to: 1, source: None, currency: "EUR".to_owned() };
    let mut making = BooksMaking::new(&asked);
    pairs.into_iter().for_each(|(order, event)| making.add(order, event));
    making.finish(0, true)
}

#[test]
fn each_order_is_here_once_with_its_amount_or_is_named() {
    let order = |id: &str| booked(id, "shop", "5.00", "paid");
    let webhook = OrderEvent { webhook: true, ..event("5", "5") };
    let dollars = OrderEvent { currency: "USD".to_owned(), ..event("6", "5") };
    let told = OrderEvent { counts: false, ..event("7", "5") };
    let found = made(vec![
        (order("1"), Some(event("1", "5.0"))),
        (order("2"), None),
        (order("3"), Some(event("3", "5"))),
        (order("3"), Some(event("3", "5"))),
        (order("4"), Some(event("4", "4.99"))),
        (order("5"), Some(webhook)),
        (order("6"), Some(dollars)),
        (order("7"), Some(told)),
    ]);
    assert_eq!((found.orders, found.matched, found.tracked), (7, 5, 5));
    assert_eq!((found.missing, found.doubled), (vec!["2".into(), "7".into()], vec!["3".into()]));
    let differ: Vec<&str> = found.differ.iter().map(|it| it.order.as_str()).collect();
    assert_eq!((differ, found.cut), (vec!["4", "6"], vec![]));
}

#[test]
fn trials_and_what_nobody_paid_need_no_event() {
    let trial = BookedOrder { test: true, ..booked("1", "shop", "5", "paid") };
    let found = made(vec![
        (trial, None),
        (booked("2", "shop", "5", "pending"), None),
        (booked("3", "shop", "5", "Cancelled"), Some(event("3", "5"))),
        (booked("4", "shop", "5", "partially_refunded"), Some(event("4", "5"))),
    ]);
    assert_eq!((found.tests, found.not_due, found.orders, found.matched), (1, 2, 1, 1));
    assert_eq!(found.counts, BooksCounts::default());
}

#[test]
fn an_order_that_several_tell_of_is_one_and_payments_in_parts_are_added_up() {
    let part = |id: &str, total: &str| BookedOrder {
        id: id.to_owned(),
        ..booked("1", "payments", total, "succeeded")
    };
    let shop = || booked("1", "shop", "5", "paid");
    let both = |amount: &str| {
        let event = event("1", amount);
        let pairs = [part("a", "3"), part("b", "2"), shop()];
        pairs.into_iter().map(|it| (it, Some(event.clone()))).collect::<Vec<_>>()
    };
    let found = made(both("5"));
    assert_eq!((found.orders, found.matched, found.counts), (1, 1, BooksCounts::default()));
    let found = made(both("4"));
    assert_eq!((found.counts.differ, found.counts.doubled), (1, 0));
    assert_eq!(found.differ[0].there.amount, Some(Amount(50_000)));
}

#[test]
fn lists_say_that_they_are_cut() {
    let orders = (0..150).map(|n| (booked(&format!("{n:03}"), "shop", "1", "paid"), None));
    let found = made(orders.collect());
    assert_eq!((found.missing.len(), found.counts.missing), (MAX_LISTED, 150));
    assert_eq!(found.cut, ["missing"]);
}

#[test]
fn an_event_names_its_order_by_its_id_or_a_property() {
    let of = |id, kind, properties| OrderEvent::of(&Row { id, kind, properties, ..Row::default() });
    let named = of("order:1001", "purchase", r#"{"amount":"5.5","currency":"eur","order_id":"7"}"#);
    let named = named.unwrap();
    assert_eq!((named.order_id.as_str(), named.currency.as_str()), ("1001", "EUR"));
    assert_eq!((named.amount, named.counts), (Some(Amount(55_000)), true));
    let other = of("x", "purchase.reported", r#"{"amount":5,"order_id":7,"test":true}"#).unwrap();
    assert_eq!((other.order_id.as_str(), other.counts, other.test), ("7", false, true));
    for (id, kind) in [("order:1", "refund"), ("x", "purchase"), ("order: ", "purchase")] {
        assert_eq!(of(id, kind, "{}"), None, "{id} {kind}");
    }
    assert_eq!(of("order:1", "purchased", "{}"), None);
    assert_eq!(of("x", "purchase", r#"{"order_id":"a\u0000b"}"#), None);
}
