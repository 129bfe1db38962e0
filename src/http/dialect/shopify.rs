//! Shopify's webhooks: `POST /v1/webhooks/shopify`, signed with the secret of the shop's app.
//!
//! A webhook is one event, whose name is its topic (`orders/paid`). What it becomes is said by `[[map]]`.
//! Of the order only what numbers are made of is kept: no name, no address and no e-mail.
//!
//! Shopify sends a webhook again for four hours unless it gets a 2xx, and then removes it. So an event
//! that can't be counted is a dead letter and is answered 200.

use actix_web::{HttpRequest, HttpResponse, http::Method};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, field_of},
    webhook::{self, WebhookTold, text_of},
};
use crate::{
    domain::{
        event::Incoming,
        money::Amount,
        orders::{EntryKind, OrderEntry},
        source::WebhookVendor,
        time::{now_ms, parse_rfc3339},
    },
    http::{error::ApiError, signature::Signature},
};

/// One webhook of Shopify.
#[derive(Debug, Default)]
pub struct Shopify {
    topic: String,
    /// Names the webhook, and stays the same when it is sent again.
    delivery: String,
    /// When the event happened at Shopify.
    triggered_at: String,
    signature: Option<Vec<u8>>,
}

impl Dialect for Shopify {
    const NAME: &'static str = "shopify";
    const TRANSLATES: bool = true;
    const WEBHOOK: Option<WebhookVendor> = Some(WebhookVendor::Shopify);

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/v1/webhooks/shopify", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn open(request: &HttpRequest) -> Result<Shopify, ApiError> {
        let header = |name: &str| webhook::header(request, name);
        // A webhook that Shopify sends for the same event to two addresses has two webhook ids.
        let delivery = match header("x-shopify-event-id") {
            id if id.is_empty() => header("x-shopify-webhook-id"),
            id => id,
        };
        Ok(Shopify {
            topic: header("x-shopify-topic"),
            delivery,
            triggered_at: header("x-shopify-triggered-at"),
            signature: BASE64.decode(header("x-shopify-hmac-sha256")).ok(),
        })
    }

    fn signature(&self) -> Result<Signature, ApiError> {
        Ok(Signature { before: Vec::new(), tags: self.signature.iter().cloned().collect() })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        if self.topic.is_empty() {
            return Err(ApiError::bad_request("malformed", "X-Shopify-Topic is missing"));
        }
        webhook::events(contents, max_events, |object| self.told(object))
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        HttpResponse::Ok().json(json!({}))
    }
}

impl Shopify {
    /// By what this webhook is known again.
    fn delivery(&self) -> Option<String> {
        let Shopify { topic, delivery, .. } = self;
        (!delivery.is_empty()).then(|| format!("shopify:{topic}:{delivery}"))
    }

    /// What one object of Shopify tells.
    fn told(&self, object: &Value) -> WebhookTold {
        let topic = self.topic.as_str();
        let (mut properties, entry) = match topic {
            "refunds/create" => refund(object),
            _ if topic.starts_with("orders/") => order(object),
            _ => (others(object), None),
        };
        properties.text("gateway", gateway(object).as_deref());
        properties.value("source_name", object.get("source_name"));
        // `[[map]]` gives an order that was paid the id of the order.
        let id = match (topic, id_of(object, "id")) {
            ("refunds/create", Some(id)) => Some(format!("refund:{id}")),
            _ => self.delivery(),
        };
        let happened = ["processed_at", "created_at"].iter().find_map(|name| text_of(object, name));
        let triggered = Some(self.triggered_at.as_str()).filter(|at| !at.is_empty());
        // What changes an order comes long after it was made, and its webhook says when.
        let timestamp = match topic {
            "orders/paid" | "orders/create" | "refunds/create" => happened.or(triggered),
            _ => triggered.or(happened),
        };
        let own = || object.get("id").filter(|_| topic.starts_with("customers/"));
        let event = Incoming {
            kind: field(Some(topic)),
            timestamp: field(timestamp),
            user_id: field_of(object.pointer("/customer/id").or_else(own)),
            id: field(id.as_deref()),
            ..Incoming::default()
        };
        let is_money = matches!(topic, "orders/paid" | "refunds/create");
        WebhookTold { event, properties, entry, is_money, delivery: self.delivery() }
    }
}

/// What is kept of an order, and its entry for the books.
fn order(object: &Value) -> (BuiltProperties, Option<OrderEntry>) {
    let mut properties = BuiltProperties::default();
    let id = id_of(object, "id");
    properties.text("order_id", id.as_deref());
    properties.text("order_name", text_of(object, "name"));
    let total = id_of(object, "total_price");
    properties.text("amount", total.as_deref());
    properties.text("currency", text_of(object, "currency"));
    let country = ["/shipping_address/country_code", "/billing_address/country_code"];
    let country = country.iter().find_map(|at| object.pointer(at)?.as_str());
    properties.text("country", country);
    properties.value("discounts", object.get("total_discounts"));
    properties.text("landing_site", text_of(object, "landing_site"));
    if let Some(items) = object.get("line_items").and_then(Value::as_array) {
        let count = |item: &Value| item.get("quantity").and_then(Value::as_i64).unwrap_or(1);
        properties.value("items", Some(&Value::from(items.iter().map(count).sum::<i64>())));
    }
    properties.value("test", object.get("test").filter(|test| **test == Value::Bool(true)));
    let status = match text_of(object, "cancelled_at") {
        Some(_) => Some("cancelled"),
        None => text_of(object, "financial_status"),
    };
    properties.text("status", status);
    let entry = entry(EntryKind::Order, (id.clone(), id), total, object, status);
    (properties, entry)
}

/// What is kept of a refund: the sum of what was paid back.
fn refund(object: &Value) -> (BuiltProperties, Option<OrderEntry>) {
    let mut properties = BuiltProperties::default();
    let (id, order_id) = (id_of(object, "id"), id_of(object, "order_id"));
    properties.text("refund_id", id.as_deref());
    properties.text("order_id", order_id.as_deref());
    let transactions = object.get("transactions").and_then(Value::as_array);
    // A transaction that failed has paid nothing back.
    let paid = |transaction: &&Value| {
        text_of(transaction, "status").is_none_or(|status| status == "success")
            && text_of(transaction, "kind").is_none_or(|kind| kind == "refund")
    };
    let paid: Vec<&Value> = transactions.into_iter().flatten().filter(paid).collect();
    let amount = |transaction: &&Value| Some(Amount::parse(&id_of(transaction, "amount")?).ok()?.0);
    let sum: Option<i64> = paid.iter().map(amount).sum();
    let total = sum.map(|sum| Amount(sum).to_string());
    properties.text("amount", total.as_deref());
    let currency = paid.first().and_then(|transaction| text_of(transaction, "currency"));
    properties.text("currency", currency);
    let mut with_currency = object.clone();
    if let (Some(members), Some(currency)) = (with_currency.as_object_mut(), currency) {
        members.insert("currency".to_owned(), Value::from(currency));
    }
    let entry = entry(EntryKind::Refund, (id, order_id), total, &with_currency, Some("refunded"));
    (properties, entry)
}

/// What is kept of anything else.
fn others(object: &Value) -> BuiltProperties {
    let mut properties = BuiltProperties::default();
    properties.text("object_id", id_of(object, "id").as_deref());
    for name in ["currency", "total_price", "orders_count", "currency_code"] {
        properties.value(name, object.get(name));
    }
    properties
}

/// The entry for the books, where the object has all of it.
fn entry(
    kind: EntryKind,
    (id, order_id): (Option<String>, Option<String>),
    total: Option<String>,
    object: &Value,
    status: Option<&str>,
) -> Option<OrderEntry> {
    let moment = |names: &[&str]| {
        let found = names.iter().find_map(|name| parse_rfc3339(text_of(object, name)?));
        found.unwrap_or_else(now_ms)
    };
    Some(OrderEntry {
        kind,
        id: id?,
        order_id: order_id?,
        total: Amount::parse(&total?).ok()?.to_string(),
        currency: text_of(object, "currency")?.to_ascii_uppercase(),
        status: status.unwrap_or_default().to_owned(),
        placed_at: moment(&["processed_at", "created_at"]),
        changed_at: moment(&["updated_at", "processed_at", "created_at"]),
        test: object.get("test") == Some(&Value::Bool(true)),
    })
}

/// The first way by which an order was paid.
fn gateway(object: &Value) -> Option<String> {
    let names = object.get("payment_gateway_names").and_then(Value::as_array);
    let first = names.and_then(|names| names.first()?.as_str());
    let transaction = || object.pointer("/transactions/0/gateway")?.as_str();
    first.or_else(transaction).or_else(|| text_of(object, "gateway")).map(str::to_owned)
}

/// A member that is a text or a number, as text. Ids of Shopify are beyond 2^53.
fn id_of(object: &Value, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Field;

    fn read(topic: &str, object: Value) -> (Incoming<'static>, Value, Option<OrderEntry>) {
        let shopify = Shopify {
            topic: topic.to_owned(),
            delivery: "d-1".to_owned(),
            triggered_at: "2026-11-27T20:00:00Z".to_owned(),
            signature: None,
        };
        let WebhookTold { event, properties, entry, .. } = shopify.told(&object);
        (event, Value::Object(properties.0), entry)
    }

    #[test]
    fn an_order_keeps_what_numbers_are_made_of_and_nobody_s_address() {
        let (event, properties, entry) = read(
            "orders/paid",
            json!({"id": 820_982_911_946_154_508_u64, "name": "#1001", "total_price": "199.50",
                   "currency": "EUR", "created_at": "2026-11-27T14:00:00+01:00",
                   "updated_at": "2026-11-27T14:00:05+01:00", "financial_status": "paid",
                   "email": "jon@example.com", "customer": {"id": 7, "email": "jon@example.com"},
                   "shipping_address": {"country_code": "DE", "address1": "Street 1"},
                   "payment_gateway_names": ["adyen"],
                   "line_items": [{"quantity": 2, "title": "Socks"}, {"quantity": 1}]}),
        );
        let text = properties.to_string();
        assert!(!text.contains("jon@") && !text.contains("Street"), "{text}");
        assert_eq!(properties["order_id"], "820982911946154508");
        assert_eq!((&properties["amount"], &properties["items"]), (&json!("199.50"), &json!(3)));
        assert_eq!(event.user_id, Field::Integer(7));
        assert_eq!(event.timestamp, Field::Text("2026-11-27T14:00:00+01:00".into()));
        let entry = entry.unwrap();
        assert_eq!((entry.kind, entry.total.as_str()), (EntryKind::Order, "199.5"));
        assert_eq!(entry.changed_at - entry.placed_at, 5_000);
    }

    #[test]
    fn a_refund_is_what_was_paid_back() {
        let (event, properties, entry) = read(
            "refunds/create",
            json!({"id": 9, "order_id": 17, "created_at": "2026-11-27T14:00:00Z", "transactions": [
                {"amount": "5.25", "currency": "USD", "kind": "refund", "status": "success"},
                {"amount": "1.00", "currency": "USD", "kind": "refund", "status": "failure"},
                {"amount": "4.75", "currency": "USD", "kind": "refund", "status": "success"}]}),
        );
        assert_eq!(event.id, Field::Text("refund:9".into()));
        assert_eq!((&properties["amount"], &properties["currency"]), (&json!("10"), &json!("USD")));
        let entry = entry.unwrap();
        assert_eq!((entry.kind, entry.order_id.as_str()), (EntryKind::Refund, "17"));
    }

    #[test]
    fn what_is_no_order_is_known_by_its_delivery() {
        let (event, properties, _) =
            read("customers/create", json!({"id": 7, "email": "a@b.example"}));
        assert_eq!(event.id, Field::Text("shopify:customers/create:d-1".into()));
        assert_eq!(event.user_id, Field::Integer(7));
        assert_eq!(properties, json!({"object_id": "7"}));
        let (event, ..) =
            read("orders/cancelled", json!({"id": 7, "created_at": "2026-11-01T00:00:00Z"}));
        assert_eq!(event.timestamp, Field::Text("2026-11-27T20:00:00Z".into()));
    }
}
