//! Segment's tracking API, which RudderStack and Jitsu speak as well.
//!
//! - Batches: `POST /v1/batch`, `/v1/import`, browsers `/v1/b`, RudderStack's beacon
//!   `/beacon/v1/batch`. One event: `POST /v1/track` and so on, browsers `/v1/t`, Jitsu
//!   `/api/s/track` and `/api/s/s2s/track`.
//! - The browser SDKs send nothing before they have read their settings:
//!   `GET /v1/projects/KEY/settings` (Segment), `GET /sourceConfig/` (RudderStack).
//! - The answer is 200 in the vendor's words: several of these SDKs send again after any other,
//!   202 included. For the same reason errors have `code` and `message` at their top level.

mod event;
#[cfg(test)]
mod tests;

use actix_web::{HttpRequest, HttpResponse, http::Method};
use serde_json::json;

pub use self::event::SegmentEvent;
use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{named, parameter},
    envelope::Envelope,
};
use crate::http::{
    auth::{Offer, usual_write_keys},
    error::ApiError,
};

/// One request of a Segment SDK, or of one that speaks its language.
#[derive(Debug)]
pub struct SegmentDialect {
    call: SegmentCall,
    /// The keys that the body has.
    keys: Vec<String>,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SegmentCall {
    /// Take events; each says itself what it is.
    Batch,
    /// Take one event of this type (`track`, `page`, …).
    One(&'static str),
    /// The same, answered as Jitsu does.
    Jitsu(&'static str),
    /// Segment's settings of a browser, for the source with this key.
    Settings(String),
    /// RudderStack's settings of a browser.
    SourceConfig(String),
}

/// The types of events, each with the letter that browsers send to.
const TYPES: [(&str, &str); 6] = [
    ("track", "t"),
    ("page", "p"),
    ("screen", "s"),
    ("identify", "i"),
    ("group", "g"),
    ("alias", "a"),
];

const POST: &[Method] = &[Method::POST];
const GET: &[Method] = &[Method::GET];

impl Dialect for SegmentDialect {
    const NAME: &'static str = "segment";
    const TRANSLATES: bool = true;
    const PARAMETERS: &'static [&'static str] = &["writeKey"];

    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/v1/{call:batch|import|b}", methods: POST },
        Endpoint { path: "/v1/{call:track|page|screen|identify|group|alias}", methods: POST },
        Endpoint { path: "/v1/{call:[tpsiga]}", methods: POST },
        Endpoint { path: "/beacon/v1/{call:batch}", methods: POST },
        Endpoint { path: "/api/s/{call}", methods: POST },
        Endpoint { path: "/api/s/s2s/{call}", methods: POST },
        Endpoint { path: "/v1/projects/{key}/settings", methods: GET },
        Endpoint { path: "/sourceConfig/", methods: GET },
    ];

    type Event<'a> = SegmentEvent<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        let mut keys = usual_write_keys(request);
        // Jitsu's key is `ID:SECRET`, of which the secret is one.
        let secrets =
            keys.iter().filter_map(|key| key.split_once(':')).map(|(_, it)| it.to_owned());
        keys.extend(secrets.collect::<Vec<_>>());
        keys.extend(request.match_info().get("key").map(str::to_owned));
        keys.extend(query_key(request));
        // Browsers that may not set headers put the key in the body.
        if keys.is_empty() && request.method() == Method::POST {
            Offer::Body
        } else {
            Offer::Head(keys)
        }
    }

    fn open(request: &HttpRequest) -> Result<SegmentDialect, ApiError> {
        let path = request.path();
        let found = request.match_info();
        let call = match (found.get("key"), found.get("call")) {
            (Some(key), _) => SegmentCall::Settings(key.to_owned()),
            (None, None) => SegmentCall::SourceConfig(query_key(request).unwrap_or_default()),
            (None, Some("batch" | "import" | "b")) => SegmentCall::Batch,
            (None, Some(name)) => {
                let named = TYPES.iter().find(|(long, short)| name == *long || name == *short);
                match named {
                    Some((kind, _)) if path.starts_with("/api/s/") => SegmentCall::Jitsu(kind),
                    Some((kind, _)) => SegmentCall::One(kind),
                    // Jitsu has types of its own (`event`), which say in the body what they are.
                    None => SegmentCall::Jitsu("track"),
                }
            }
        };
        Ok(SegmentDialect { call, keys: Vec::new() })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Self::Event<'a>>, ApiError> {
        let kind = match &self.call {
            SegmentCall::Settings(_) | SegmentCall::SourceConfig(_) => return Ok(Split::default()),
            SegmentCall::Batch => None,
            SegmentCall::One(kind) | SegmentCall::Jitsu(kind) => Some(*kind),
        };
        let envelope = Envelope::read(contents, "batch")?;
        self.keys.extend(envelope.text("writeKey"));
        // In a browser each event of a batch may have the key, and the batch has none.
        if self.keys.is_empty() {
            let first = envelope.events.first().map(|event| event.get().as_bytes());
            let first = first.and_then(|text| Envelope::read(text, "").ok());
            self.keys.extend(first.and_then(|event| event.text("writeKey")));
        }
        let sent_at = envelope.field("sentAt");
        let events = envelope.events.iter().map(|raw| SegmentEvent::unread(raw.get(), kind));
        Ok(Split::new(events.collect(), sent_at, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        // An event that is refused is a dead letter. If the request were refused for it, some of
        // these SDKs would send it again for ever, and all others with it.
        HttpResponse::Ok().json(match self.call {
            SegmentCall::Batch | SegmentCall::One(_) => json!({"success": true}),
            SegmentCall::Jitsu(_) => json!({"ok": true}),
            SegmentCall::Settings(key) => json!({"integrations": {"Segment.io": {"apiKey": key}}}),
            SegmentCall::SourceConfig(key) => json!({"source": {
                "id": "floodmark", "name": "floodmark", "writeKey": key, "enabled": true,
                "workspaceId": "floodmark", "config": {}, "destinations": [],
            }}),
        })
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        error.with_body(json!({
            "success": false, "code": error.code, "message": error.message,
        }))
    }
}

/// The key in the query: `?writeKey=`.
fn query_key(request: &HttpRequest) -> Option<String> {
    parameter(&named(request, SegmentDialect::PARAMETERS), "writeKey").map(str::to_owned)
}
