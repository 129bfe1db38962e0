//! What the webhooks of all vendors have in common: a body with one object, an event made of it, and its
//! entry for the books.

use actix_web::HttpRequest;
use serde_json::Value;

use super::{
    Split,
    built::{Built, BuiltProperties, field, json_body},
};
use crate::{
    domain::{
        event::{Field, Incoming, Rejection},
        orders::{ENTRY, OrderEntry},
    },
    http::error::ApiError,
};

/// What a webhook tells.
#[derive(Debug)]
pub struct WebhookTold {
    /// The event, without properties.
    pub event: Incoming<'static>,
    /// Its properties, without the entry.
    pub properties: BuiltProperties,
    /// What the books keep, where it is about an order or refund.
    pub entry: Option<OrderEntry>,
    /// Whether it becomes an order or refund.
    pub is_money: bool,
    /// By what the webhook is known again; `None` where its vendor does not say.
    pub delivery: Option<String>,
}

/// The events of a webhook, whose body this is; `read` is given the object in it.
///
/// Where a webhook becomes an order or refund, the entry is an event of its own, known by the webhook's
/// delivery: the order itself may be here already, from the shop's server, and the books need to know all
/// the same that the vendor has it.
///
/// # Errors
/// 400 where the body is no JSON, 413 where a request may not have so many events.
pub fn events<'a>(
    body: &'a [u8],
    max_events: usize,
    read: impl FnOnce(&Value) -> WebhookTold,
) -> Result<Split<'a, Built<'a>>, ApiError> {
    let object: Value = json_body(body)?;
    let events = match object.is_object() {
        true => read(&object).events().into_iter().map(Ok).collect(),
        false => vec![Err(Rejection::NotAnObject)],
    };
    let events = events.into_iter().map(|event| Built::new(body, event)).collect();
    Ok(Split::new(events, Field::Absent, max_events)?)
}

impl WebhookTold {
    fn events(self) -> Vec<Incoming<'static>> {
        let WebhookTold { event, properties, entry, is_money, delivery } = self;
        let entry = entry.and_then(|entry| serde_json::to_value(entry).ok());
        let mut with_entry = properties.clone();
        with_entry.value(ENTRY, entry.as_ref());
        if entry.is_none() || !is_money {
            return vec![Incoming { properties: with_entry.finish(), ..event }];
        }
        let topic = match &event.kind {
            Field::Text(topic) => topic.replace(['/', '.'], "_"),
            _ => String::new(),
        };
        let record = Incoming {
            kind: field(Some(&topic)),
            id: field(delivery.as_deref()),
            properties: with_entry.finish(),
            ..event.clone()
        };
        vec![Incoming { properties: properties.finish(), ..event }, record]
    }
}

/// The text of a header; empty where it is absent or no text.
pub fn header(request: &HttpRequest, name: &str) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_owned()
}

/// A member that is a text with something in it.
pub fn text_of<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// The bytes that hex digits stand for; `None` where there is anything else.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
