//! What the webhooks of all vendors have in common: an event, and its entry for the books.

use std::borrow::Cow;

use super::{
    Split, TooManyEvents,
    built::{Built, BuiltProperties},
};
use crate::domain::{
    event::{Field, Incoming},
    orders::{ENTRY, OrderEntry},
};

/// The events of a webhook, whose body this is.
///
/// Where `is_money` says that the webhook becomes an order or refund, the entry is an event of its own,
/// known by the webhook's `delivery`: the order itself may be here already, from the shop's server, and the
/// books need to know all the same that the vendor has it.
///
/// # Errors
/// A request may not have so many events.
pub fn events<'a>(
    body: &'a [u8],
    event: Incoming<'static>,
    (properties, entry): (BuiltProperties, Option<OrderEntry>),
    (is_money, delivery): (bool, Option<&str>),
    max_events: usize,
) -> Result<Split<'a, Built<'a>>, TooManyEvents> {
    let Some(entry) = entry.and_then(|entry| serde_json::to_value(entry).ok()) else {
        let event = Incoming { properties: properties.finish(), ..event };
        return Split::new(vec![Built::new(body, Ok(event))], Field::Absent, max_events);
    };
    let mut with_entry = properties.clone();
    with_entry.value(ENTRY, Some(&entry));
    if !is_money {
        let event = Incoming { properties: with_entry.finish(), ..event };
        return Split::new(vec![Built::new(body, Ok(event))], Field::Absent, max_events);
    }
    let topic = match &event.kind {
        Field::Text(topic) => topic.replace(['/', '.'], "_"),
        _ => String::new(),
    };
    let record = Incoming {
        kind: Field::Text(Cow::Owned(topic)),
        id: delivery.map_or(Field::Absent, |id| Field::Text(Cow::Owned(id.to_owned()))),
        properties: with_entry.finish(),
        ..event.clone()
    };
    let event = Incoming { properties: properties.finish(), ..event };
    let events = vec![Built::new(body, Ok(event)), Built::new(body, Ok(record))];
    Split::new(events, Field::Absent, max_events)
}
