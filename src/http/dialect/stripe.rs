//! Stripe's webhooks: `POST /v1/webhooks/stripe`, signed with the secret of the endpoint.
//!
//! A webhook is one event, whose name is its type (`charge.succeeded`). What it becomes is said by
//! `[[map]]`. A charge pays for an order that the shop tells as well, so it counts only where the source of
//! the webhook is the revenue source ([`crate::domain::source`]).
//!
//! Stripe sends a webhook again for three days unless it gets a 2xx.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use iso_currency::Currency;
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
        time::{Millis, SECOND, now_ms},
    },
    http::{error::ApiError, signature::Signature},
};

/// How far from now a signature may be made. Stripe makes a new one for each try.
const TOLERANCE: Millis = 300 * SECOND;

/// Currencies whose amounts Stripe gives in other units than ISO 4217 has: code and decimals. Source:
/// docs.stripe.com/currencies, "Zero-decimal currencies" and "Special cases".
const DECIMALS: [(&str, u32); 2] = [("MGA", 0), ("ISK", 2)];

/// One webhook of Stripe.
#[derive(Debug, Default)]
pub struct Stripe {
    /// The header `Stripe-Signature`.
    header: String,
}

impl Dialect for Stripe {
    const NAME: &'static str = "stripe";
    const TRANSLATES: bool = true;
    const WEBHOOK: Option<WebhookVendor> = Some(WebhookVendor::Stripe);

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/v1/webhooks/stripe", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn open(request: &HttpRequest) -> Result<Stripe, ApiError> {
        let header = webhook::header(request, "stripe-signature");
        Ok(Stripe { header })
    }

    fn signature(&self) -> Result<Signature, ApiError> {
        signature(&self.header, now_ms())
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        webhook::events(contents, max_events, read)
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        HttpResponse::Ok().json(json!({"received": true}))
    }
}

/// Reads `t=UNIX SECONDS,v1=HEX,v1=HEX`. What is signed is the time, a point, and the body.
fn signature(header: &str, now: Millis) -> Result<Signature, ApiError> {
    let refused = |message: String| ApiError::new(StatusCode::UNAUTHORIZED, "signature", message);
    let mut signature = Signature::default();
    let mut time = None;
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", at)) => time = at.parse::<i64>().ok(),
            Some(("v1", tag)) => signature.tags.extend(webhook::from_hex(tag)),
            _ => {}
        }
    }
    let Some(time) = time.filter(|_| !signature.tags.is_empty()) else {
        return Err(refused("Stripe-Signature is missing, or has no t and v1".to_owned()));
    };
    let apart = now.saturating_sub(time.saturating_mul(SECOND));
    if apart.abs() > TOLERANCE {
        return Err(refused(format!(
            "the signature was made {} s before now, and up to {} s are taken; if it is new, this \
             server's clock is wrong",
            apart / SECOND,
            TOLERANCE / SECOND
        )));
    }
    signature.before = format!("{time}.").into_bytes();
    Ok(signature)
}

/// What one event of Stripe tells.
fn read(event: &Value) -> WebhookTold {
    let kind = text_of(event, "type");
    let nothing = Value::Null;
    let object = event.pointer("/data/object").unwrap_or(&nothing);
    let (properties, entry) = properties(kind.unwrap_or_default(), event, object);
    let is_money = matches!(kind, Some("charge.succeeded" | "refund.created"));
    let delivery = text_of(event, "id").map(str::to_owned);
    // The id of an order is given by `[[map]]`, and that of a refund is the refund's.
    let id = match (kind, text_of(object, "id")) {
        (Some("refund.created"), Some(refund)) => Some(format!("refund:{refund}")),
        _ => delivery.clone(),
    };
    let event = Incoming {
        kind: field_of(event.get("type")),
        timestamp: field_of(event.get("created")),
        user_id: field(text_of(object, "customer")),
        id: field(id.as_deref()),
        ..Incoming::default()
    };
    WebhookTold { event, properties, entry, is_money, delivery }
}

/// What is kept of an object: what numbers are made of, no name, address or card.
fn properties(kind: &str, event: &Value, object: &Value) -> (BuiltProperties, Option<OrderEntry>) {
    let mut properties = BuiltProperties::default();
    let what = text_of(object, "object").unwrap_or_default();
    properties.text("gateway", Some("stripe"));
    properties.text("object_id", text_of(object, "id"));
    properties.text("status", text_of(object, "status"));
    let currency = text_of(object, "currency").map(str::to_ascii_uppercase);
    properties.text("currency", currency.as_deref());
    let amount = object.get("amount").and_then(Value::as_i64).zip(currency.as_deref());
    let amount = amount.and_then(|(amount, currency)| whole_units(amount, currency));
    properties.text("amount", amount.as_deref());
    let country = object.pointer("/billing_details/address/country").and_then(Value::as_str);
    properties.text("country", country);
    let method = object.pointer("/payment_method_details/type").and_then(Value::as_str);
    properties.text("payment_method", method);
    if kind == "charge.failed" {
        properties.text("code", text_of(object, "failure_code"));
        properties.text("message", text_of(object, "failure_message"));
        properties.text("path", Some("/checkout/stripe"));
    }
    let order = match what {
        "charge" | "payment_intent" | "refund" => order_of(object),
        _ => None,
    };
    properties.text("order_id", order);
    let is_live = event.get("livemode") != Some(&Value::Bool(false));
    properties.value("test", Some(&Value::Bool(true)).filter(|_| !is_live));
    let entry = entry(kind, event, object, (order, amount, currency));
    (properties, entry)
}

/// The entry for the books, where the object is an order or refund and has all of it.
fn entry(
    kind: &str,
    event: &Value,
    object: &Value,
    (order, total, currency): (Option<&str>, Option<String>, Option<String>),
) -> Option<OrderEntry> {
    let entry_kind = match text_of(object, "object")? {
        "charge" if kind != "charge.failed" => EntryKind::Order,
        "refund" => EntryKind::Refund,
        _ => return None,
    };
    let seconds = |object: &Value| object.get("created").and_then(Value::as_i64);
    let moment =
        |object: &Value| seconds(object).map_or_else(now_ms, |at| at.saturating_mul(SECOND));
    Some(OrderEntry {
        kind: entry_kind,
        id: text_of(object, "id")?.to_owned(),
        order_id: order?.to_owned(),
        total: total?,
        currency: currency?,
        status: text_of(object, "status").unwrap_or_default().to_owned(),
        placed_at: moment(object),
        changed_at: moment(event),
        test: event.get("livemode") == Some(&Value::Bool(false)),
    })
}

/// The order that a charge or refund belongs to: what the shop has noted with it, else its payment.
fn order_of(object: &Value) -> Option<&str> {
    let noted = object.pointer("/metadata/order_id").and_then(Value::as_str);
    let noted = noted.filter(|order| !order.trim().is_empty());
    noted.or_else(|| text_of(object, "payment_intent")).or_else(|| {
        // A charge without a payment intent is its own order.
        text_of(object, "charge").or_else(|| text_of(object, "id"))
    })
}

/// An amount in the smallest unit of its currency as a decimal number of whole units.
fn whole_units(amount: i64, currency: &str) -> Option<String> {
    let special =
        DECIMALS.iter().find(|(code, _)| *code == currency).map(|(_, decimals)| *decimals);
    let by_iso = || Currency::from_code(currency)?.exponent().map(u32::from);
    // Stripe has a few codes that are no currencies of countries, with two decimals.
    let decimals = special.or_else(by_iso).unwrap_or(2);
    let units = i128::from(amount) * i128::from(10_000 / 10_i64.checked_pow(decimals)?);
    Some(Amount(i64::try_from(units).ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Field;

    #[test]
    fn amounts_are_in_whole_units_whatever_the_currency_has_as_its_smallest() {
        let zero = [
            "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND",
            "VUV", "XAF", "XOF", "XPF",
        ];
        for currency in zero {
            assert_eq!(whole_units(500, currency).as_deref(), Some("500"), "{currency}");
        }
        for currency in ["USD", "EUR", "ISK", "HUF", "TWD"] {
            assert_eq!(whole_units(500, currency).as_deref(), Some("5"), "{currency}");
        }
        for currency in ["BHD", "JOD", "KWD", "OMR", "TND"] {
            assert_eq!(whole_units(5_120, currency).as_deref(), Some("5.12"), "{currency}");
        }
    }

    #[test]
    fn a_charge_is_an_order_and_a_refund_belongs_to_one() {
        let event = json!({"id": "evt_1", "type": "charge.succeeded", "created": 1_795_420_800,
            "data": {"object": {"object": "charge", "id": "ch_1", "amount": 1999, "currency": "eur",
                "created": 1_795_420_790, "status": "succeeded", "customer": "cus_1",
                "payment_intent": "pi_1", "metadata": {"order_id": "1001"},
                "billing_details": {"email": "a@b.example", "address": {"country": "DE"}}}}});
        let WebhookTold { event: first, properties, entry, .. } = read(&event);
        let text = properties.finish().unwrap();
        assert!(!text.contains("a@b"), "{text}");
        let entry = entry.unwrap();
        assert_eq!((entry.order_id.as_str(), entry.total.as_str()), ("1001", "19.99"));
        assert_eq!((entry.placed_at, entry.changed_at), (1_795_420_790_000, 1_795_420_800_000));
        assert_eq!(first.id, Field::Text("evt_1".into()));

        let refund = json!({"id": "evt_2", "type": "refund.created", "created": 1_795_420_800,
            "data": {"object": {"object": "refund", "id": "re_1", "amount": 500, "currency": "jpy",
                "payment_intent": "pi_1", "charge": "ch_1", "status": "succeeded"}}});
        let WebhookTold { event: second, entry, .. } = read(&refund);
        assert_eq!(second.id, Field::Text("refund:re_1".into()));
        let entry = entry.unwrap();
        assert_eq!((entry.kind, entry.order_id.as_str()), (EntryKind::Refund, "pi_1"));
        assert_eq!(entry.total, "500");
    }

    #[test]
    fn a_signature_is_not_old_and_has_all_of_its_parts() {
        let now = 1_795_420_800_000;
        let read = signature("t=1795420800,v1=00ff,v0=11,v1=ab", now).unwrap();
        assert_eq!(read.before, b"1795420800.");
        assert_eq!(read.tags, [vec![0, 255], vec![0xab]]);
        for wrong in ["", "t=1795420800", "v1=00ff", "t=x,v1=00ff", "t=1795420800,v1=zz"] {
            assert!(signature(wrong, now).is_err(), "{wrong}");
        }
        assert!(signature("t=1795420499,v1=00", now).unwrap_err().message.contains("301 s"));
        assert!(signature("t=1795421101,v1=00", now).is_err());
    }
}
