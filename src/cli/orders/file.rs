//! Reads a CSV file of orders. Which columns have what is known by the header: Shopify's export of orders
//! (help.shopify.com, "Order CSV file structure"), Stripe's export of payments, or plain columns.

use std::{collections::HashMap, io::Read};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::is_id;
use crate::domain::{
    money::Amount,
    orders::{EntryKind, OrderEntry},
    time::{BusinessZone, Millis, parse_rfc3339},
};

/// What a file has.
#[derive(Debug)]
pub struct OrderFile {
    /// Its orders, each once, in its newest line.
    pub orders: Vec<OrderEntry>,
    /// What it was read as.
    pub format: &'static str,
    /// Lines that say nothing of an order: further items of the order before, and failed payments.
    pub passed_over: u64,
}

/// The columns of a format. Of several names the first that the header has is taken.
struct FileFormat {
    name: &'static str,
    /// Columns that the header has to have for it to be this format.
    known_by: &'static [&'static str],
    id: &'static [&'static str],
    order: &'static [&'static str],
    time: &'static [&'static str],
    amount: &'static [&'static str],
    currency: &'static [&'static str],
    status: &'static [&'static str],
    /// Whether a line without an amount only goes on with the order before.
    has_items: bool,
    /// Whether times without a zone are in UTC; else they are in the business zone.
    is_utc: bool,
}

const FORMATS: [FileFormat; 3] = [
    FileFormat {
        name: "an export of Shopify's orders",
        known_by: &["name", "financial status", "total", "id"],
        id: &["id"],
        order: &["id"],
        time: &["paid at", "created at"],
        amount: &["total"],
        currency: &["currency"],
        status: &["financial status"],
        has_items: true,
        is_utc: false,
    },
    FileFormat {
        name: "an export of Stripe's payments",
        known_by: &["id", "amount refunded", "status", "currency"],
        id: &["id"],
        order: &["order_id (metadata)", "paymentintent id", "id"],
        time: &["created date (utc)", "created (utc)"],
        amount: &["amount"],
        currency: &["currency"],
        status: &["status"],
        has_items: false,
        is_utc: true,
    },
    FileFormat {
        name: "columns id, time, amount, currency",
        known_by: &["id", "time", "amount"],
        id: &["id"],
        order: &["order_id", "id"],
        time: &["time"],
        amount: &["amount"],
        currency: &["currency"],
        status: &["status"],
        has_items: false,
        is_utc: false,
    },
];

/// Reads the orders of a file. `base` is the currency of amounts that name none.
///
/// # Errors
/// In words, with the line: the header is of no format that is known, or a line has no id, time or amount.
pub fn read(file: impl Read, zone: &BusinessZone, base: &str) -> Result<OrderFile, String> {
    let mut csv = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(file);
    let names = csv.headers().map_err(|e| e.to_string())?.clone();
    let columns: HashMap<String, usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.trim_start_matches('\u{feff}').to_lowercase(), at))
        .collect();
    let format =
        FORMATS.iter().find(|it| it.known_by.iter().all(|name| columns.contains_key(*name)));
    let format = format.ok_or(
        "the first line names no columns that are known: id, time, amount and currency, or those of an \
         export of Shopify's orders or of Stripe's payments",
    )?;
    let mut orders: HashMap<String, OrderEntry> = HashMap::new();
    let mut passed_over = 0;
    let mut line = StringRecord::new();
    while csv.read_record(&mut line).map_err(|e| e.to_string())? {
        let at = line.position().map_or(0, csv::Position::line);
        match entry(&line, format, &columns, (zone, base)).map_err(|e| format!("line {at}: {e}"))? {
            None => passed_over += 1,
            Some(entry) => match orders.get(&entry.id) {
                Some(known) if known.changed_at > entry.changed_at => passed_over += 1,
                _ => _ = orders.insert(entry.id.clone(), entry),
            },
        }
    }
    Ok(OrderFile { orders: orders.into_values().collect(), format: format.name, passed_over })
}

/// The order of a line; `None` where it has none of its own.
fn entry(
    line: &StringRecord,
    format: &FileFormat,
    columns: &HashMap<String, usize>,
    (zone, base): (&BusinessZone, &str),
) -> Result<Option<OrderEntry>, String> {
    let cell = |names: &[&str]| -> Option<&str> {
        let found = names.iter().filter_map(|name| line.get(*columns.get(*name)?));
        found.map(|text| text.trim().trim_start_matches('\'')).find(|text| !text.is_empty())
    };
    let Some(amount) = cell(format.amount) else {
        return if format.has_items { Ok(None) } else { Err("it has no amount".to_owned()) };
    };
    let total = Amount::parse(amount).map_err(|e| format!("the amount {amount:?} {e}"))?;
    let id = cell(format.id).ok_or("it has no id")?;
    let order_id = cell(format.order).unwrap_or(id);
    let order_id = order_id.strip_prefix("order:").unwrap_or(order_id);
    if !is_id(id) || !is_id(order_id) {
        return Err(format!("the id {id:?} is too long"));
    }
    let time = cell(format.time).ok_or("it has no time")?;
    let placed_at = moment(time, zone, format.is_utc)
        .ok_or_else(|| format!("the time {time:?} is none such as 2026-11-27 14:00:00"))?;
    let currency = cell(format.currency).unwrap_or(base).to_ascii_uppercase();
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(format!("the currency {currency:?} is no code of three letters"));
    }
    let cancelled = cell(&["cancelled at"]).and_then(|at| moment(at, zone, format.is_utc));
    let status = match cancelled {
        Some(_) => "cancelled",
        None => cell(format.status).unwrap_or("paid"),
    };
    Ok(Some(OrderEntry {
        kind: EntryKind::Order,
        id: id.to_owned(),
        order_id: order_id.to_owned(),
        total: total.to_string(),
        currency,
        status: status.to_lowercase(),
        placed_at,
        changed_at: cancelled.unwrap_or(placed_at).max(placed_at),
        test: cell(&["test"]).is_some_and(|test| test.eq_ignore_ascii_case("true")),
    }))
}

/// A moment as such files write it: RFC 3339, `2026-11-27 14:00:00 +0100`, without a zone, or Unix ms.
fn moment(text: &str, zone: &BusinessZone, is_utc: bool) -> Option<Millis> {
    if let Some(at) = parse_rfc3339(text) {
        return Some(at);
    }
    if let Ok(at) = text.parse::<Millis>() {
        return (at > 0).then_some(at);
    }
    for pattern in ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M %z"] {
        if let Ok(at) = jiff::Timestamp::strptime(pattern, text) {
            return Some(at.as_millisecond());
        }
    }
    let read = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|pattern| jiff::civil::DateTime::strptime(pattern, text).ok())?;
    let zone = if is_utc { "UTC" } else { zone.name() };
    Some(read.in_tz(zone).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(text: &str) -> Result<OrderFile, String> {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        read(text.as_bytes(), &zone, "EUR").map(|mut file| {
            file.orders.sort_by(|a, b| a.id.cmp(&b.id));
            file
        })
    }

    fn at(text: &str) -> Millis {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn plain_columns_are_read_in_any_order_with_times_of_the_business_zone() {
        let file = orders(
            "\u{feff}Time,ID,Currency,Amount,Status\n\
             2026-11-27 14:00:00,1001,usd,19.9,\n2026-11-27T13:00:00Z,order:1002,,5,pending\n",
        )
        .unwrap();
        let [first, second] = &file.orders[..] else { panic!("{file:?}") };
        assert_eq!((first.placed_at, first.status.as_str()), (at("2026-11-27T13:00:00Z"), "paid"));
        assert_eq!((first.total.as_str(), first.currency.as_str()), ("19.9", "USD"));
        assert_eq!((second.order_id.as_str(), second.currency.as_str()), ("1002", "EUR"));
        assert_eq!(second.status, "pending");
    }

    #[test]
    fn shopify_has_a_line_for_each_item_of_an_order() {
        let file = orders(
            "Name,Email,Financial Status,Paid at,Currency,Total,Created at,Lineitem name,Cancelled at,Id\n\
             #1001,a@b.example,paid,2026-11-27 14:00:05 +0100,EUR,59.97,2026-11-27 14:00:00 +0100,Mug,,5001\n\
             #1001,,,,,,2026-11-27 14:00:00 +0100,Socks,,\n\
             #1002,,refunded,2026-11-27 15:00:00 +0100,EUR,5.00,2026-11-27 15:00:00 +0100,Mug,\
             2026-11-27 16:00:00 +0100,5002\n",
        )
        .unwrap();
        assert_eq!((file.orders.len(), file.passed_over), (2, 1));
        let [first, second] = &file.orders[..] else { panic!("{file:?}") };
        assert_eq!((first.id.as_str(), first.total.as_str()), ("5001", "59.97"));
        assert_eq!(first.placed_at, at("2026-11-27T13:00:05Z"));
        assert_eq!(
            (second.status.as_str(), second.changed_at),
            ("cancelled", at("2026-11-27T15:00:00Z"))
        );
    }

    #[test]
    fn stripe_names_the_order_in_its_metadata_or_else_the_payment() {
        let file = orders(
            "id,Created date (UTC),Amount,Amount Refunded,Currency,Status,PaymentIntent ID,order_id (metadata)\n\
             ch_1,2026-11-27 13:00:00,59.97,0.00,eur,Paid,pi_1,1001\n\
             ch_2,2026-11-27 13:01,5.00,0.00,usd,Failed,pi_2,\n",
        )
        .unwrap();
        let [first, second] = &file.orders[..] else { panic!("{file:?}") };
        assert_eq!((first.order_id.as_str(), first.status.as_str()), ("1001", "paid"));
        assert_eq!(first.placed_at, at("2026-11-27T13:00:00Z"));
        assert_eq!((second.order_id.as_str(), second.status.as_str()), ("pi_2", "failed"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let refused = |text: &str| orders(text).unwrap_err();
        assert!(refused("a,b\n1,2\n").contains("names no columns"));
        for (line, what) in [
            ("7,noon,5,EUR", "line 2: the time \"noon\""),
            ("7,2026-11-27 14:00:00,\"5,00\",EUR", "line 2: the amount \"5,00\""),
            ("7,2026-11-27 14:00:00,,EUR", "line 2: it has no amount"),
            (",2026-11-27 14:00:00,5,EUR", "line 2: it has no id"),
            ("7,2026-11-27 14:00:00,5,euros", "line 2: the currency"),
        ] {
            let words = refused(&format!("id,time,amount,currency\n{line}\n"));
            assert!(words.starts_with(what), "{words}");
        }
    }
}
