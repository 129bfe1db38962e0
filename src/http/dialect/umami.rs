//! Umami: `POST /api/send` with `{type,payload}`, answered `200 {"cache","sessionId","visitId"}`.
//!
//! It sends no key: `payload.website` is an id of a `[[source]]`. The session is the visit that the
//! page names, else the visitor of today ([`crate::http::visitor`]). What stands in `cache` comes back
//! as `x-umami-cache`; it is not read, since nothing in it is needed and it could outlive the day.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{Method, StatusCode},
};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, field_of, one_or_many},
};
use crate::{
    domain::event::{Field, Incoming, Rejection},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
        visitor,
    },
};

/// One request of Umami's script or SDK.
#[derive(Debug)]
pub struct Umami {
    session: String,
    websites: Vec<String>,
}

impl Dialect for Umami {
    const NAME: &'static str = "umami";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/api/send", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        Offer::head_or_body(usual_write_keys(request))
    }

    fn open(request: &HttpRequest) -> Result<Umami, ApiError> {
        Ok(Umami { session: visitor::of_today(request, Self::NAME), websites: Vec::new() })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        let mut events = Vec::new();
        for raw in one_or_many(contents)? {
            let raw: &'a RawValue = raw;
            let sent: Value = serde_json::from_str(raw.get()).unwrap_or_default();
            let website = sent.pointer("/payload/website").and_then(Value::as_str);
            self.websites.extend(website.map(str::to_owned));
            let read = match sent.get("payload") {
                Some(Value::Object(_)) => Ok(self.incoming(&sent)),
                _ => Err(Rejection::Malformed("payload must be an object".to_owned())),
            };
            events.push(Built::new(raw.get().as_bytes(), read));
        }
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn ids_in_body(&self) -> Vec<String> {
        self.websites.clone()
    }

    fn is_of_page(&self) -> bool {
        true
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        if let Some(rejected) = outcome.rejected.first().filter(|_| outcome.all_rejected()) {
            let message = rejected.reason.to_string();
            let error = ApiError::all_rejected(StatusCode::BAD_REQUEST);
            return ApiError { message, ..error }.error_response();
        }
        let visitor = Uuid::parse_str(&self.session).unwrap_or_default();
        HttpResponse::Ok()
            .json(json!({"cache": self.session, "sessionId": visitor, "visitId": visitor}))
    }
}

impl Umami {
    fn incoming(&self, sent: &Value) -> Incoming<'static> {
        let payload = &sent["payload"];
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let mut properties = BuiltProperties::of(payload.get("data").cloned());
        properties.path(text("url"));
        for name in ["title", "referrer", "hostname", "language", "screen", "tag"] {
            properties.text(name, text(name));
        }
        let kind = match sent.get("type").and_then(Value::as_str) {
            None | Some("event") => field(Some(text("name").unwrap_or("page_view"))),
            Some(other) => field(Some(other)),
        };
        Incoming {
            kind,
            timestamp: field_of(payload.get("timestamp")),
            user_id: field_of(payload.get("id")),
            user_agent: field_of(payload.get("userAgent")),
            session_id: field_of(payload.get("vid")).or(field(Some(&self.session))),
            properties: properties.finish(),
            ..Incoming::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dialect::DialectEvent;

    #[test]
    fn pages_events_and_people() {
        let body = br#"[{"type":"event","payload":{"website":"w","url":"/a?b","title":"A"}},
            {"type":"event","payload":{"website":"w","name":"purchase","id":"u1","vid":"v",
             "timestamp":1795420800,"data":{"revenue":59.97,"currency":"EUR"}}},
            {"type":"identify","payload":{"website":"w","data":{"email":"a@b.c"}}},{"type":"event"}]"#;
        let mut umami = Umami { session: "s".to_owned(), websites: Vec::new() };
        let mut split = umami.split(body, 9).unwrap();
        let mut kinds = Vec::new();
        for event in split.events() {
            kinds.push(event.read().map(|event| event.kind.clone()).ok());
        }
        let named = |name: &str| Some(Field::Text(name.to_owned().into()));
        assert_eq!(kinds, [named("page_view"), named("purchase"), named("identify"), None]);
        let order = split.events()[1].read().unwrap();
        assert_eq!(order.session_id, Field::Text("v".into()));
        assert_eq!(order.timestamp, Field::Integer(1_795_420_800));
        assert_eq!(umami.ids_in_body().len(), 3);
    }
}
