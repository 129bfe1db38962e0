//! The books: orders as the shop or the payment provider has them, compared with the events of the same
//! orders. What an event says of its order is noted when it is stored ([`OrderEvent`]); the comparison
//! ([`BooksMaking`]) takes both in the order of their order ids and holds one order at a time.

use serde::Serialize;

use crate::domain::{
    event::REPORTED,
    metric::currency_sent,
    money::Amount,
    orders::DIALECTS,
    properties::pick,
    row::Row,
    time::{MINUTE, Millis},
};

/// The type of the events that are orders.
const PURCHASE: &str = "purchase";
/// How the id of an event begins that is of an order: `order:1001`.
const ID_OF_ORDER: &str = "order:";
/// The longest order id that is compared, in bytes. An id of an event has at most 128.
pub const MAX_ORDER_ID: usize = 128;
/// The most entries that each list of [`Books`] has.
pub const MAX_LISTED: usize = 100;
/// The most events of one order that are looked at; others are only counted.
const MAX_OF_ORDER: usize = 50;
/// Orders and events of the last so many ms are not compared yet: a webhook and a page need some time each.
pub const ON_THE_WAY: Millis = 2 * MINUTE;
/// The states of orders for which no event has to be here: nothing was paid, or it was taken back.
const NOT_DUE: [&str; 13] = [
    "pending",
    "uncaptured",
    "authorized",
    "unpaid",
    "voided",
    "failed",
    "expired",
    "cancelled",
    "canceled",
    "draft",
    "requires_payment_method",
    "requires_capture",
    "blocked",
];

/// What an event says of its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// The order: `1001` of the event id `order:1001`, else the property `order_id`.
    pub order_id: String,
    /// Whether it counts as an order; the events that are only reported do not.
    pub counts: bool,
    /// Whether the webhook of a shop system or payment provider sent it.
    pub webhook: bool,
    /// The source of the event; empty where it has none.
    pub source: String,
    /// When it happened, Unix ms.
    pub time: Millis,
    /// Its amount; `None` where it has none that can be read.
    pub amount: Option<Amount>,
    /// The code of its currency, in capital letters; empty for the currency of the installation.
    pub currency: String,
    /// Whether it is of an order that is only a trial.
    pub test: bool,
}

impl OrderEvent {
    /// What a row says of its order; `None` where it is no order, or names none.
    pub fn of(row: &Row<'_>) -> Option<OrderEvent> {
        let counts = match row.kind.strip_prefix(PURCHASE)? {
            "" => true,
            REPORTED => false,
            _ => return None,
        };
        let wanted = ["order_id", "amount", "currency", "test"].map(str::to_owned);
        let mut picked = pick(row.properties, &wanted);
        let test = picked.pop().flatten().is_some_and(|test| test == "true");
        let code = picked.pop().flatten();
        let code = currency_sent(code.as_deref(), row.properties).ok().flatten();
        let amount = picked.pop().flatten();
        let amount = amount.and_then(|text| Amount::parse(text.trim()).ok());
        let named = picked.pop().flatten();
        let order_id = row.id.strip_prefix(ID_OF_ORDER).or(named.as_deref())?.trim();
        // PostgreSQL has no text with this character, and such an id is no order of any shop.
        let is_one = !order_id.is_empty() && order_id.len() <= MAX_ORDER_ID;
        let currency = code.unwrap_or_default().trim().to_ascii_uppercase();
        let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        (is_one && !order_id.contains('\0')).then(|| OrderEvent {
            order_id: order_id.to_owned(),
            counts,
            webhook: row.dialect.is_some_and(|dialect| DIALECTS.contains(&dialect)),
            source: row.source.unwrap_or_default().to_owned(),
            time: row.time,
            amount,
            currency: if is_code { currency } else { String::new() },
            test,
        })
    }
}

/// One order in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedOrder {
    /// The id by which events name it.
    pub order_id: String,
    /// Who told of it.
    pub source: String,
    /// Its id there.
    pub id: String,
    /// Its total.
    pub total: Amount,
    /// The code of its currency.
    pub currency: String,
    /// Its state, in the word of whoever told of it.
    pub status: String,
    /// Whether it is only a trial.
    pub test: bool,
}

/// Which orders are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooksAsked {
    /// The first moment, Unix ms.
    pub from: Millis,
    /// The end, Unix ms; not part of it.
    pub to: Millis,
    /// Only the orders that this source tells of.
    pub source: Option<String>,
    /// The currency of amounts that name none.
    pub currency: String,
}

/// An amount in its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Priced {
    /// The amount; null where an event has none that can be read.
    pub amount: Option<Amount>,
    /// The code of its currency.
    pub currency: String,
}

/// An order whose event says another amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferingOrder {
    /// The order.
    pub order: String,
    /// Who tells of it.
    pub source: String,
    /// What it says there.
    pub there: Priced,
    /// What its event says.
    pub here: Priced,
}

/// How many entries there are, beside the lists, which are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BooksCounts {
    /// Orders without an event that counts.
    pub missing: u64,
    /// Orders with several.
    pub doubled: u64,
    /// Orders whose event has another amount or currency.
    pub differ: u64,
    /// Events that count and whose order the books do not have.
    pub unknown: u64,
}

/// The books of some time, compared with the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// The first moment of what is compared, Unix ms.
    pub from: Millis,
    /// Its end, Unix ms; not part of it.
    pub to: Millis,
    /// Orders that were paid.
    pub orders: u64,
    /// Those of them that an event here counts.
    pub matched: u64,
    /// Those of them of which an event came by another way than their webhook.
    pub tracked: u64,
    /// How many there are of each kind.
    pub counts: BooksCounts,
    /// The ids of orders without an event that counts, ascending; the first [`MAX_LISTED`].
    pub missing: Vec<String>,
    /// The ids of orders with several, ascending.
    pub doubled: Vec<String>,
    /// Orders whose event has another amount or currency, by id.
    pub differ: Vec<DifferingOrder>,
    /// Events whose order is not in the books: the ids of these orders, by time.
    pub unknown: Vec<String>,
    /// The lists that are longer than what is given of them.
    pub cut: Vec<&'static str>,
    /// Orders that nobody has paid yet, or that were cancelled: no event has to be here.
    pub not_due: u64,
    /// Orders that are only trials.
    pub tests: u64,
    /// Refunds in the books. They are not compared.
    pub refunds: u64,
    /// Whether the books have any order at all, of whatever day.
    pub kept: bool,
}

/// One order while its rows are read.
#[derive(Debug, Default)]
struct OrderSeen {
    booked: Vec<BookedOrder>,
    events: Vec<OrderEvent>,
    /// Events that count, those that are not kept included.
    counted: u64,
    tracked: bool,
}

/// Compares orders with events.
#[derive(Debug)]
pub struct BooksMaking {
    books: Books,
    currency: String,
    seen: OrderSeen,
}

impl BooksMaking {
    /// Nothing is compared yet.
    pub fn new(asked: &BooksAsked) -> BooksMaking {
        let books = Books { from: asked.from, to: asked.to, ..Books::default() };
        BooksMaking { books, currency: asked.currency.clone(), seen: OrderSeen::default() }
    }

    /// Adds an order with one of its events. Each pair comes once, and pairs come in the order of order id,
    /// source and id.
    pub fn add(&mut self, order: BookedOrder, event: Option<OrderEvent>) {
        let is_of_it = self.seen.booked.first().is_some_and(|it| it.order_id == order.order_id);
        if !is_of_it {
            self.settle();
        }
        let seen = &mut self.seen;
        let key = |it: &BookedOrder| (it.source.clone(), it.id.clone());
        // Every entry of the order comes with each of its events: those of the first are all.
        let is_first = seen.booked.first().is_none_or(|first| key(first) == key(&order));
        if let Some(event) = event.filter(|_| is_first) {
            seen.counted += u64::from(event.counts);
            seen.tracked |= !event.webhook;
            if seen.events.len() < MAX_OF_ORDER {
                seen.events.push(event);
            }
        }
        if seen.booked.last().is_none_or(|last| key(last) != key(&order)) {
            seen.booked.push(order);
        }
    }

    /// Adds an event that counts and whose order the books do not have.
    pub fn add_unknown(&mut self, order_id: String) {
        self.books.counts.unknown += 1;
        list(&mut self.books.unknown, order_id);
    }

    /// All that was compared. `refunds` and `kept` are those of [`Books`].
    pub fn finish(mut self, refunds: u64, kept: bool) -> Books {
        self.settle();
        let mut books = self.books;
        (books.refunds, books.kept) = (refunds, kept);
        let counts = books.counts;
        for (name, count, listed) in [
            ("missing", counts.missing, books.missing.len()),
            ("doubled", counts.doubled, books.doubled.len()),
            ("differ", counts.differ, books.differ.len()),
            ("unknown", counts.unknown, books.unknown.len()),
        ] {
            if count > listed as u64 {
                books.cut.push(name);
            }
        }
        books
    }

    fn settle(&mut self) {
        let OrderSeen { booked, events, counted, tracked } = std::mem::take(&mut self.seen);
        let Some(first) = booked.first() else { return };
        let (order, books) = (first.order_id.clone(), &mut self.books);
        if booked.iter().any(|it| it.test) {
            books.tests += 1;
            return;
        }
        let due: Vec<&BookedOrder> = booked.iter().filter(|it| is_due(&it.status)).collect();
        if due.is_empty() {
            books.not_due += 1;
            return;
        }
        books.orders += 1;
        books.tracked += u64::from(tracked);
        if counted == 0 {
            books.counts.missing += 1;
            list(&mut books.missing, order);
            return;
        }
        books.matched += 1;
        if counted > 1 {
            books.counts.doubled += 1;
            list(&mut books.doubled, order.clone());
        }
        let there = totals(&due);
        let here: Vec<Priced> =
            events.iter().filter(|it| it.counts).map(|it| priced(it, &self.currency)).collect();
        let agree = there.iter().any(|(_, there)| here.contains(there));
        if let (false, Some((source, there)), Some(here)) = (agree, there.first(), here.first()) {
            books.counts.differ += 1;
            let (source, there, here) = (source.clone(), there.clone(), here.clone());
            list(&mut books.differ, DifferingOrder { order, source, there, here });
        }
    }
}

fn is_due(status: &str) -> bool {
    !NOT_DUE.contains(&status.trim().to_ascii_lowercase().as_str())
}

/// What an order costs, by each source that tells of it. What one source has in several entries, as a
/// provider where an order is paid in parts, is added up.
fn totals(due: &[&BookedOrder]) -> Vec<(String, Priced)> {
    let mut totals: Vec<(String, Priced)> = Vec::new();
    for it in due {
        let known = totals
            .iter_mut()
            .find(|(source, there)| *source == it.source && there.currency == it.currency);
        match known {
            Some((_, Priced { amount: Some(sum), .. })) => sum.0 = sum.0.saturating_add(it.total.0),
            _ => {
                let there = Priced { amount: Some(it.total), currency: it.currency.clone() };
                totals.push((it.source.clone(), there));
            }
        }
    }
    totals
}

fn priced(event: &OrderEvent, base: &str) -> Priced {
    let currency = if event.currency.is_empty() { base } else { &event.currency };
    Priced { amount: event.amount, currency: currency.to_owned() }
}

fn list<T>(listed: &mut Vec<T>, entry: T) {
    if listed.len() < MAX_LISTED {
        listed.push(entry);
    }
}

#[cfg(test)]
mod tests;
