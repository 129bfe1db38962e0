//! Sentry's envelopes, of which the errors are taken: `POST /api/PROJECT/envelope/`.
//!
//! An envelope is a line of JSON, then items: a line of JSON and the item's own bytes. Only items of
//! the type `event` with the level error or worse become an `error`; sessions, transactions, reports
//! and the like are left out. The answer is 200 with the id of the event.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse, http::Method};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Dialect, DialectEvent, Endpoint, Outcome, Split,
    built::named,
    member::{Added, parsed, path_of},
};
use crate::{
    domain::event::{Field, Incoming, Rejection},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request of a Sentry SDK.
#[derive(Debug, Default)]
pub struct Sentry {
    /// The id in the header of the envelope, which the answer repeats.
    event_id: String,
    /// The key that the envelope's header has in its DSN.
    keys: Vec<String>,
}

/// One event as it was sent.
#[derive(Debug)]
pub struct SentryEvent<'a> {
    text: &'a [u8],
    read: Option<Incoming<'a>>,
}

impl<'a> DialectEvent<'a> for SentryEvent<'a> {
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        if self.read.is_none() {
            let reported: Reported<'a> = serde_json::from_slice(self.text)
                .map_err(|e| Rejection::Malformed(e.to_string()))?;
            self.read = Some(reported.incoming(self.text.len()));
        }
        Ok(self.read.get_or_insert_default())
    }

    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.text)
    }
}

/// The header of an envelope.
#[derive(Default, Deserialize)]
struct EnvelopeHeader {
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    dsn: String,
}

/// The header of an item.
#[derive(Deserialize)]
struct ItemHeader {
    #[serde(rename = "type", default)]
    kind: String,
    /// How many bytes the item has. JavaScript leaves it out: the item then ends with its line.
    length: Option<usize>,
}

/// The members of an event that are looked at.
#[derive(Deserialize)]
struct Reported<'a> {
    #[serde(borrow, default)]
    event_id: Field<'a>,
    #[serde(borrow, default)]
    level: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    transaction: Field<'a>,
    #[serde(borrow, default)]
    environment: Field<'a>,
    #[serde(borrow, default)]
    release: Field<'a>,
    #[serde(borrow)]
    exception: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct ReportedExceptions<'a> {
    #[serde(borrow, default)]
    values: Vec<ReportedException<'a>>,
}

#[derive(Clone, Default, Deserialize)]
struct ReportedException<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Field<'a>,
    #[serde(borrow, default)]
    value: Field<'a>,
}

#[derive(Default, Deserialize)]
struct PageRequest<'a> {
    #[serde(borrow, default)]
    url: Field<'a>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageHeaders<'a> {
    #[serde(borrow, default, rename = "User-Agent")]
    user_agent: Field<'a>,
}

#[derive(Default, Deserialize)]
struct Person<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
}

impl Dialect for Sentry {
    const NAME: &'static str = "sentry";
    const PARAMETERS: &'static [&'static str] = &["sentry_key"];

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/api/{project:[0-9]+}/envelope/", methods: &[Method::POST] }];

    type Event<'a> = SentryEvent<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        let mut keys = usual_write_keys(request);
        keys.extend(named(request, Self::PARAMETERS).into_iter().map(|(_, key)| key));
        let header = request.headers().get("x-sentry-auth").and_then(|value| value.to_str().ok());
        let parts = header.unwrap_or_default().split([',', ' ']);
        keys.extend(parts.filter_map(|part| part.strip_prefix("sentry_key=")).map(str::to_owned));
        Offer::head_or_body(keys)
    }

    fn open(_: &HttpRequest) -> Result<Sentry, ApiError> {
        Ok(Sentry::default())
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, SentryEvent<'a>>, ApiError> {
        let (first, mut rest) = line(contents);
        let header: EnvelopeHeader = serde_json::from_slice(first).map_err(|e| {
            ApiError::bad_request("malformed", format!("the header of the envelope: {e}"))
        })?;
        // A DSN is `https://KEY@HOST/PROJECT`.
        let key = header.dsn.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        self.keys.extend(key.map(|(key, _)| key.to_owned()));
        self.event_id = header.event_id;
        let mut events = Vec::new();
        while !rest.trim_ascii().is_empty() {
            let (head, body) = line(rest);
            // Behind an item that can't be understood nobody knows where the next one begins.
            let Ok(head) = serde_json::from_slice::<ItemHeader>(head) else { break };
            let (item, behind) = match head.length {
                Some(length) if length <= body.len() => body.split_at(length),
                _ => line(body),
            };
            rest = behind;
            if head.kind == "event" && is_error(item) {
                events.push(SentryEvent { text: item.trim_ascii(), read: None });
            }
        }
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        HttpResponse::Ok().json(json!({"id": self.event_id}))
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        error.with_body(json!({"detail": error.message, "code": error.code}))
    }
}

/// The first line, without its end, and what is behind it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, b""),
    }
}

/// Whether an event is an error, or worse. One that can't be read counts as one, so that it becomes a
/// dead letter and does not vanish.
fn is_error(item: &[u8]) -> bool {
    let read = serde_json::from_slice::<Reported<'_>>(item);
    let Ok(Reported { level: Field::Text(level), .. }) = &read else { return true };
    !matches!(&**level, "warning" | "info" | "log" | "debug")
}

impl<'a> Reported<'a> {
    fn incoming(self, size: usize) -> Incoming<'a> {
        let exceptions: ReportedExceptions<'a> = parsed(self.exception).unwrap_or_default();
        // Of errors that were caused by others the outermost stands last.
        let exception = exceptions.values.last().cloned().unwrap_or_default();
        let page: PageRequest<'a> = parsed(self.request).unwrap_or_default();
        let headers: PageHeaders<'a> = parsed(page.headers).unwrap_or_default();
        let person: Person<'a> = parsed(self.user).unwrap_or_default();
        let path = match &page.url {
            Field::Text(url) => Field::Text(Cow::Owned(path_of(url))),
            _ => self.transaction.clone(),
        };
        let tags = parsed::<std::collections::BTreeMap<String, String>>(self.tags);
        let own = tags.map(|tags| serde_json::json!(tags).to_string()).unwrap_or("{}".to_owned());
        let properties = Added::to(&own)
            .text("code", &exception.kind)
            .text("message", &exception.value.or(self.message))
            .text("path", &path)
            .text("environment", &self.environment)
            .text("release", &self.release)
            .finish()
            .into_owned();
        Incoming {
            kind: Field::Text("error".into()),
            timestamp: self.timestamp,
            user_id: person.id,
            id: self.event_id,
            user_agent: headers.user_agent,
            properties: Some(Cow::Owned(properties)),
            size,
            ..Incoming::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_an_envelope_are_taken_and_the_rest_is_not() {
        let event = r#"{"event_id":"e1","level":"error","timestamp":1795420800.5,
            "exception":{"values":[{"type":"A","value":"a"},{"type":"TypeError","value":"x"}]},
            "request":{"url":"https://shop.example/pay?card=1"},"user":{"id":7},"tags":{"gateway":"paypal"}}"#
            .replace('\n', " ");
        let length = event.len();
        let envelope = format!(
            "{{\"event_id\":\"e1\",\"dsn\":\"https://k1@shop.example/2\"}}\n\
             {{\"type\":\"session\"}}\n{{\"sid\":1}}\n\
             {{\"type\":\"event\",\"length\":{length}}}\n{event}\n\
             {{\"type\":\"event\"}}\n{{\"level\":\"info\"}}\n"
        );
        let mut sentry = Sentry::default();
        let mut split = sentry.split(envelope.as_bytes(), 10).unwrap();
        assert_eq!(split.events().len(), 1);
        let read = split.events()[0].read().unwrap();
        assert_eq!(read.kind, Field::Text("error".into()));
        assert_eq!((&read.id, &read.user_id), (&Field::Text("e1".into()), &Field::Integer(7)));
        let properties = read.properties.as_deref().unwrap();
        for expected in [
            r#""code":"TypeError""#,
            r#""message":"x""#,
            r#""path":"/pay""#,
            r#""gateway":"paypal""#,
        ] {
            assert!(properties.contains(expected), "{properties}");
        }
        assert_eq!(sentry.keys_in_body(), ["k1"]);
        assert_eq!(Sentry::default().split(b"no", 10).unwrap_err().code, "malformed");
    }
}
