//! Amplitude's HTTP API: `POST /2/httpapi` with `api_key` and `events` in the body.
//!
//! Its clients go by the body: `code` decides whether they send again, and an error that begins with
//! "Invalid API key" stops them.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Dialect, Endpoint, Outcome, Split,
    envelope::Envelope,
    json_event::{EventMembers, JsonEvent},
    member::{object, property},
};
use crate::{
    domain::{
        event::{Field, Incoming},
        money::Amount,
        properties,
        time::now_ms,
    },
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request of an Amplitude SDK.
#[derive(Debug, Default)]
pub struct Amplitude {
    keys: Vec<String>,
    /// Bytes of the body, which the answer repeats.
    bytes: usize,
}

/// The members of an event that are looked at.
#[derive(Deserialize)]
pub struct Logged<'a> {
    #[serde(borrow, default)]
    event_type: Field<'a>,
    #[serde(borrow, default)]
    insert_id: Field<'a>,
    #[serde(borrow, default)]
    time: Field<'a>,
    #[serde(borrow, default)]
    user_id: Field<'a>,
    #[serde(borrow, default)]
    device_id: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    user_agent: Field<'a>,
    revenue: Option<&'a RawValue>,
    price: Option<&'a RawValue>,
    quantity: Option<i64>,
    #[serde(borrow)]
    event_properties: Option<&'a RawValue>,
}

impl Dialect for Amplitude {
    const NAME: &'static str = "amplitude";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/2/httpapi", methods: &[Method::POST] }];

    type Event<'a> = JsonEvent<'a, Logged<'a>>;

    fn offer(request: &HttpRequest) -> Offer {
        Offer::head_or_body(usual_write_keys(request))
    }

    fn open(_: &HttpRequest) -> Result<Amplitude, ApiError> {
        Ok(Amplitude::default())
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Self::Event<'a>>, ApiError> {
        self.bytes = contents.len();
        let envelope = Envelope::read(contents, "events")?;
        self.keys.extend(envelope.text("api_key"));
        let sent_at = envelope.field("client_upload_time");
        let events = envelope.events.into_iter().map(JsonEvent::unread).collect();
        Ok(Split::new(events, sent_at, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        HttpResponse::Ok().json(json!({
            "code": 200,
            "events_ingested": outcome.accepted + outcome.duplicates,
            "payload_size_bytes": self.bytes,
            "server_upload_time": now_ms(),
        }))
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        let code = error.status.as_u16();
        match error.status {
            StatusCode::UNAUTHORIZED => {
                let invalid = ApiError { status: StatusCode::BAD_REQUEST, ..error.clone() };
                invalid
                    .with_body(json!({"code": 400, "error": "Invalid API key: unknown write key"}))
            }
            StatusCode::BAD_REQUEST => error.with_body(json!({
                "code": 400, "error": error.message, "missing_field": "events",
            })),
            _ => error.with_body(json!({"code": code, "error": error.message})),
        }
    }
}

impl<'a> EventMembers<'a> for Logged<'a> {
    fn incoming(self, size: usize) -> Incoming<'a> {
        let own = object(self.event_properties);
        let has_amount = property(own, "revenue") != Field::Absent;
        let properties = match self.money().filter(|_| !has_amount) {
            Some(money) => Cow::Owned(properties::with(own, &[("revenue", money)])),
            None => Cow::Borrowed(own),
        };
        Incoming {
            kind: self.event_type,
            timestamp: self.time,
            user_id: self.user_id,
            // -1 stands for an event outside of any session.
            session_id: match self.session_id {
                Field::Integer(..0) | Field::Absent => self.device_id,
                session => session,
            },
            id: self.insert_id,
            user_agent: self.user_agent,
            properties: Some(properties),
            size,
            ..Incoming::default()
        }
    }
}

impl Logged<'_> {
    /// The amount, as JSON: `revenue`, or `price` times `quantity`.
    fn money(&self) -> Option<Cow<'static, str>> {
        if let Some(revenue) = self.revenue.map(RawValue::get).filter(|text| *text != "null") {
            return Some(Cow::Owned(revenue.to_owned()));
        }
        let price = Amount::parse(self.price?.get()).ok()?;
        let total = price.0.checked_mul(self.quantity.unwrap_or(1))?;
        Some(Cow::Owned(Amount(total).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dialect::DialectEvent;

    #[test]
    fn revenue_is_that_of_the_event_or_price_times_quantity() {
        let body = br#"{"api_key":"k","events":[
            {"event_type":"Order Completed","insert_id":"i","user_id":"u","session_id":-1,
             "device_id":"d","price":19.99,"quantity":3,"event_properties":{"order_id":"o"}},
            {"event_type":"Order Completed","revenue":5.5,"session_id":12}]}"#;
        let mut amplitude = Amplitude::default();
        let mut split = amplitude.split(body, 10).unwrap();
        let first = split.events()[0].read().unwrap().clone();
        assert_eq!(first.properties.as_deref(), Some(r#"{"revenue":59.97,"order_id":"o"}"#));
        assert_eq!(first.session_id, Field::Text("d".into()));
        let second = split.events()[1].read().unwrap();
        assert_eq!(second.properties.as_deref(), Some(r#"{"revenue":5.5}"#));
        assert_eq!(second.session_id, Field::Integer(12));
        assert_eq!(amplitude.keys_in_body(), ["k"]);
    }
}
