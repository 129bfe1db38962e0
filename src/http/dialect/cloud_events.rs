//! CloudEvents 1.0 over HTTP: binary (`ce-…` headers), structured (`application/cloudevents+json`) and
//! in batches (`application/cloudevents-batch+json`), at `/v1/cloudevents` and at `/v1/events`.
//!
//! `source` and `id` together are the id, as the specification has it. `data` is the properties; other
//! attributes stand beside its members. The answer is that of Floodmark's own events.
//! Source: github.com/cloudevents/spec, HTTP protocol binding 1.0.2.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
};
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field_of, json_body},
    native,
};
use crate::{
    domain::event::{Field, Incoming, MAX_ID, Rejection},
    http::error::ApiError,
};

/// One request with CloudEvents.
#[derive(Debug)]
pub struct CloudEvents {
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// The attributes that stand in headers, and the type of the data.
    Binary(Map<String, Value>, String),
    /// One event.
    Structured,
    /// An array of events.
    Batch,
}

/// Whether a request to `/v1/events` is one of CloudEvents.
pub fn is_cloud_event(request: &HttpRequest) -> bool {
    content_type(request).starts_with("application/cloudevents")
        || request.headers().contains_key("ce-specversion")
}

fn content_type(request: &HttpRequest) -> &str {
    let value = request.headers().get(header::CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default().trim_start()
}

impl Dialect for CloudEvents {
    const NAME: &'static str = "cloudevents";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/v1/cloudevents", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn open(request: &HttpRequest) -> Result<CloudEvents, ApiError> {
        let kind = content_type(request).to_ascii_lowercase();
        let mode = match kind.split(';').next().unwrap_or_default().trim_end() {
            "application/cloudevents+json" => Mode::Structured,
            "application/cloudevents-batch+json" => Mode::Batch,
            "" | "application/json" if !request.headers().contains_key("ce-id") => Mode::Structured,
            _ => Mode::Binary(attributes(request), kind),
        };
        Ok(CloudEvents { mode })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        let events = match &mut self.mode {
            Mode::Binary(attributes, kind) => {
                let mut event = std::mem::take(attributes);
                let (name, data) = data(contents, kind);
                event.insert(name.to_owned(), data);
                vec![Built::new(contents, Ok(incoming(event)))]
            }
            Mode::Structured => vec![structured(json_body(contents)?)],
            Mode::Batch => json_body::<Vec<_>>(contents)?.into_iter().map(structured).collect(),
        };
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        native::answer(outcome)
    }
}

/// The attributes that stand in headers. Their values are percent-encoded where they are no ASCII.
fn attributes(request: &HttpRequest) -> Map<String, Value> {
    let named = request.headers().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("ce-")?;
        // A form is decoded in the same way, but for `+`, which stands for itself here.
        let value = String::from_utf8_lossy(value.as_bytes()).replace('+', "%2B");
        let decoded = super::built::parameters(&format!("v={}", value.replace('&', "%26")));
        Some((name.to_owned(), Value::from(decoded.into_iter().next()?.1)))
    });
    named.collect()
}

/// The data of a binary event, and the name under which a structured one would have it.
fn data(contents: &[u8], kind: &str) -> (&'static str, Value) {
    // Many clients call every body a form (`curl -d`, Python's urllib), and no form is JSON by chance.
    let is_json = kind.is_empty() || kind.contains("json") || kind.contains("urlencoded");
    match serde_json::from_slice(contents) {
        Ok(value) if is_json => ("data", value),
        _ if contents.is_empty() => ("data", Value::Null),
        _ => ("data", Value::from(String::from_utf8_lossy(contents))),
    }
}

fn structured(raw: &RawValue) -> Built<'_> {
    let read = match serde_json::from_str(raw.get()) {
        Ok(Value::Object(event)) => Ok(incoming(event)),
        Ok(_) => Err(Rejection::NotAnObject),
        Err(e) => Err(Rejection::Malformed(e.to_string())),
    };
    Built::new(raw.get().as_bytes(), read)
}

fn incoming(mut event: Map<String, Value>) -> Incoming<'static> {
    let mut take = |name: &str| event.remove(name);
    let (kind, time) = (take("type"), take("time"));
    let (id, user, session) = (take("id"), take("userid"), take("sessionid"));
    for name in ["specversion", "datacontenttype", "dataschema"] {
        take(name);
    }
    let data = take("data").filter(|data| !data.is_null());
    let mut properties = match data {
        Some(Value::Object(members)) => BuiltProperties(members),
        Some(other) => BuiltProperties(Map::from_iter([("data".to_owned(), other)])),
        None => BuiltProperties::default(),
    };
    let source = event.get("source").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, value) in &event {
        properties.value(name, Some(value));
    }
    Incoming {
        kind: field_of(kind.as_ref()),
        timestamp: field_of(time.as_ref()),
        user_id: field_of(user.as_ref()),
        session_id: field_of(session.as_ref()),
        id: match field_of(id.as_ref()) {
            Field::Text(id) => Field::Text(Cow::Owned(whole_id(&source, &id))),
            other => other,
        },
        properties: properties.finish(),
        ..Incoming::default()
    }
}

/// Two events are the same where both their `source` and their `id` are.
fn whole_id(source: &str, id: &str) -> String {
    let whole = format!("{source} {id}");
    if whole.len() <= MAX_ID {
        return whole;
    }
    let hash = Sha256::digest(whole.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","type":"com.shop.order","source":"/shop","id":"o1","time":"2026-11-27T08:00:00Z","subject":"s","userid":"u1","data":{"amount":59.97}}"#;

    fn read(request: TestRequest, body: &str) -> Vec<Incoming<'static>> {
        let mut events = CloudEvents::open(&request.to_http_request()).unwrap();
        let mut split = events.split(body.as_bytes(), 9).unwrap();
        split.events().iter().map(|event| event.incoming().unwrap().clone()).collect()
    }

    #[test]
    fn the_three_modes_are_the_same_event() {
        let typed = |kind: &str| TestRequest::default().insert_header(("content-type", kind));
        let structured = read(typed("application/cloudevents+json; charset=utf-8"), EVENT);
        let batch =
            read(typed("application/cloudevents-batch+json"), &format!("[{EVENT},{EVENT}]"));
        let mut binary = typed("application/json");
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-type", "com.shop.order"),
            ("ce-source", "/shop"),
            ("ce-id", "o1"),
            ("ce-time", "2026-11-27T08:00:00Z"),
            ("ce-subject", "s"),
            ("ce-userid", "u1"),
        ] {
            binary = binary.insert_header((name, value));
        }
        let binary = read(binary, r#"{"amount":59.97}"#);
        for event in structured.iter().chain(&batch).chain(&binary) {
            assert_eq!(event.id, Field::Text("/shop o1".into()));
            assert_eq!(event.user_id, Field::Text("u1".into()));
            assert_eq!(
                event.properties.as_deref(),
                Some(r#"{"amount":59.97,"source":"/shop","subject":"s"}"#)
            );
        }
        assert_eq!((structured.len(), batch.len(), binary.len()), (1, 2, 1));
        assert_eq!(whole_id(&"x".repeat(200), "1").len(), 64);
    }

    #[test]
    fn attributes_in_headers_are_decoded() {
        let request = TestRequest::default().insert_header(("ce-subject", "Caf%C3%A9+%22x%22&y"));
        let found = attributes(&request.to_http_request());
        assert_eq!(found["subject"], "Café+\"x\"&y");
    }
}
