//! Splits a body into events: `Content-Type` decides between one JSON document and one a line.

use std::fmt;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::event::{read_first, read_plain};
use crate::{
    domain::event::{Field, Incoming},
    http::dialect::{Split, TooManyEvents},
};

/// How the body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON document.
    Json,
    /// One JSON document a line.
    NdJson,
}

/// One event as the client sent it.
#[derive(Debug)]
pub struct RawEvent<'a> {
    /// Its text. It is valid JSON, unless it is a line of NDJSON, which may be anything.
    pub text: &'a [u8],
    /// Its fields, where splitting the body has read them already.
    pub(super) read: Option<Incoming<'a>>,
}

impl<'a> RawEvent<'a> {
    fn unread(text: &'a [u8]) -> RawEvent<'a> {
        RawEvent { text, read: None }
    }
}

/// Why the body as a whole is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or not UTF-8.
    #[error("the body is not valid JSON: {0}")]
    Malformed(String),
    /// There is nothing in it but white space.
    #[error("the body is empty")]
    Empty,
    /// JSON of a shape that holds no events.
    #[error("the body must be an event, an array of events, or an object with a batch array")]
    NotEvents,
    /// More events than `http.max_request_events`.
    #[error(transparent)]
    TooMany(#[from] TooManyEvents),
}

/// Splits a body into its events. `max_events` bounds the events of one request.
///
/// # Errors
/// The body as a whole is no request. What is wrong with a single event shows when it is read.
pub fn split(
    body: &[u8],
    format: BodyFormat,
    max_events: usize,
) -> Result<Split<'_, RawEvent<'_>>, BodyError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if body.is_empty() {
        return Err(BodyError::Empty);
    }
    let (events, sent_at) = match format {
        BodyFormat::Json => json(body, max_events)?,
        BodyFormat::NdJson => {
            let lines = body.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
            (lines.map(RawEvent::unread).collect(), Field::Absent)
        }
    };
    Ok(Split::new(events, sent_at, max_events)?)
}

/// Events that are read later, each from its own text.
pub(super) fn texts(list: Vec<&RawValue>) -> Vec<RawEvent<'_>> {
    list.into_iter().map(|raw| RawEvent::unread(raw.get().as_bytes())).collect()
}

/// How many bytes most events have at least. From it follows how many events a body may hold, so
/// that the list of its events seldom has to grow.
const USUAL_BYTES: usize = 100;

/// Splits and reads an array of events in one pass over its text. Gives `None` where anything
/// is out of the ordinary, for whatever reason: the caller then splits first and reads each
/// event later, which finds out what is wrong.
pub(super) fn read_array(text: &str, max_events: usize) -> Option<Vec<RawEvent<'_>>> {
    let mut events = Vec::with_capacity(max_events.min(text.len() / USUAL_BYTES));
    let mut rest = text.strip_prefix('[')?.trim_ascii_start();
    loop {
        if !rest.starts_with('{') || events.len() == max_events {
            return None;
        }
        let read = read_first(rest)?;
        let (event, behind) = rest.split_at(read.size);
        events.push(RawEvent { text: event.as_bytes(), read: Some(read) });
        rest = behind.trim_ascii_start();
        if rest == "]" {
            return Some(events);
        }
        rest = rest.strip_prefix(',')?.trim_ascii_start();
    }
}

/// The events of a body, and its `sentAt`.
type Events<'a> = (Vec<RawEvent<'a>>, Field<'a>);

fn json(body: &[u8], max_events: usize) -> Result<Events<'_>, BodyError> {
    let malformed = |e: &dyn fmt::Display| BodyError::Malformed(e.to_string());
    let text = std::str::from_utf8(body).map_err(|e| malformed(&e))?;
    match body[0] {
        b'[' => {
            if let Some(events) = read_array(text, max_events) {
                return Ok((events, Field::Absent));
            }
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| malformed(&e))?;
            Ok((texts(list), Field::Absent))
        }
        b'{' => {
            if let Some(read) = read_plain(text).filter(|read| read.size == text.len()) {
                let event = RawEvent { text: body, read: Some(read) };
                return Ok((vec![event], Field::Absent));
            }
            let envelope: Envelope = serde_json::from_str(text).map_err(|e| malformed(&e))?;
            let events = match envelope.batch {
                BatchField::Absent => vec![RawEvent::unread(body)],
                BatchField::List(list) => texts(list),
                BatchField::Other => return Err(BodyError::NotEvents),
            };
            Ok((events, envelope.sent_at))
        }
        _ => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(BodyError::NotEvents),
            Err(e) => Err(malformed(&e)),
        },
    }
}

/// A body that is an object. It is a batch where it has the member `batch`, which no event has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    batch: BatchField<'a>,
    #[serde(borrow, default)]
    sent_at: Field<'a>,
}

/// The member `batch` of an object.
#[derive(Default)]
enum BatchField<'a> {
    #[default]
    Absent,
    List(Vec<&'a RawValue>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for BatchField<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(serde_json::from_str(raw.get()).map_or(BatchField::Other, BatchField::List))
    }
}
