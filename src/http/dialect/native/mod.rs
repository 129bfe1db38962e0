//! Floodmark's own dialect: `POST /v1/events` with one event, an array,
//! `{"batch":[…],"sentAt":…}`, or NDJSON.
//!
//! `POST /v1/events/import` takes the same bodies with events of the past.
//!
//! [`body`] splits a body into events, [`event`] reads one of them. The answer is
//! `{"accepted","duplicates","rejected":[{"index","code","message"}]}`: 202 where at least one
//! event was good (or all were duplicates), 422 where none was. Where an event was not taken exactly
//! as it came, the answer has `"notes":[{"index","events","code","message"}]`, too.

pub mod body;
pub mod event;
mod members;
mod pieces;
#[cfg(test)]
mod tests;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
};
use serde::Serialize;

use self::body::{BodyError, BodyFormat, RawEvent};
use super::{Dialect, Endpoint, Outcome, Split};
use crate::http::error::ApiError;

/// Where events of the past are sent to.
pub const IMPORT: &str = "/v1/events/import";

/// One request in Floodmark's own dialect.
#[derive(Debug)]
pub struct Native {
    format: BodyFormat,
    imports: bool,
}

impl Dialect for Native {
    const NAME: &'static str = "native";

    // Senders that put a base address and a path together often end up with a slash too many.
    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/v1/events", methods: &[Method::POST] },
        Endpoint { path: "/v1/events/", methods: &[Method::POST] },
        Endpoint { path: "//v1/events", methods: &[Method::POST] },
        Endpoint { path: IMPORT, methods: &[Method::POST] },
    ];

    type Event<'a> = RawEvent<'a>;

    fn open(request: &HttpRequest) -> Result<Native, ApiError> {
        Ok(Native { format: format(request)?, imports: request.path() == IMPORT })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, RawEvent<'a>>, ApiError> {
        Ok(body::split(contents, self.format, max_events)?)
    }

    fn imports(&self) -> bool {
        self.imports
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        answer(outcome)
    }
}

/// What senders of events that have no words of their own are told.
pub fn answer(outcome: &Outcome) -> HttpResponse {
    let answer = Answer::from(outcome);
    if outcome.all_rejected() {
        let error = ApiError::all_rejected(StatusCode::UNPROCESSABLE_ENTITY);
        return error.with_body(serde_json::json!({
            "error": {"code": error.code, "message": error.message},
            "accepted": 0, "duplicates": 0, "rejected": answer.rejected,
        }));
    }
    HttpResponse::Accepted().json(answer)
}

/// The answer to a request of which at least one event was taken (or all were duplicates).
#[derive(Debug, Serialize)]
struct Answer {
    accepted: u32,
    duplicates: u32,
    rejected: Vec<RejectedEvent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<NotedEvents>,
}

/// What the answer says of events that were not taken exactly as they came.
#[derive(Debug, Serialize)]
struct NotedEvents {
    /// The first of them.
    index: usize,
    /// How many there are.
    events: usize,
    code: &'static str,
    message: String,
}

/// What the answer says of one rejected event.
#[derive(Debug, Serialize)]
struct RejectedEvent {
    index: usize,
    code: &'static str,
    message: String,
}

impl From<&Outcome> for Answer {
    fn from(outcome: &Outcome) -> Answer {
        let rejected = outcome.rejected.iter().map(|rejected| RejectedEvent {
            index: rejected.index,
            code: rejected.reason.code(),
            message: rejected.reason.to_string(),
        });
        let notes = outcome.notes.iter().map(|noted| NotedEvents {
            index: noted.index,
            events: noted.events,
            code: noted.note.code(),
            message: noted.note.to_string(),
        });
        Answer {
            accepted: outcome.accepted,
            duplicates: outcome.duplicates,
            rejected: rejected.collect(),
            notes: notes.collect(),
        }
    }
}

/// The format of the body by its `Content-Type`.
fn format(request: &HttpRequest) -> Result<BodyFormat, ApiError> {
    let value = request.headers().get(header::CONTENT_TYPE);
    let essence = value.and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    if essence == "application/json" {
        // Nearly all clients send exactly this, so it is recognised without a copy.
        return Ok(BodyFormat::Json);
    }
    let essence = essence.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        // navigator.sendBeacon sends a text as text/plain, and `curl -d` without a header sends
        // application/x-www-form-urlencoded. Both usually carry JSON.
        ""
        | "application/json"
        | "text/json"
        | "text/plain"
        | "application/x-www-form-urlencoded" => Ok(BodyFormat::Json),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/jsonlines"
        | "application/x-jsonlines" => Ok(BodyFormat::NdJson),
        // RFC 6839: whatever it is, it is written in JSON.
        other if other.ends_with("+json") => Ok(BodyFormat::Json),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_type",
            format!("Content-Type {other:?}: send application/json or application/x-ndjson"),
        )),
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        match &error {
            BodyError::TooMany(too_many) => ApiError::from(*too_many),
            BodyError::Empty => ApiError::bad_request("empty_body", error.to_string()),
            BodyError::NotEvents => ApiError::bad_request("not_events", error.to_string()),
            BodyError::Malformed(_) => ApiError::bad_request("malformed", error.to_string()),
        }
    }
}
