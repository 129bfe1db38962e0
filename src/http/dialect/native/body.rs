//! Splits a body into events.

use std::fmt;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    event::{read_first, read_plain},
    pieces,
};
use crate::{
    domain::event::{Field, Incoming},
    http::dialect::{Split, TooManyEvents},
};

/// How the body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON document, or one a line where the first line is one.
    Json,
    /// One JSON document a line.
    NdJson,
}

/// One event as the client sent it.
#[derive(Debug)]
pub struct RawEvent<'a> {
    /// Its text. It may be anything, unless `read` has its fields.
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
    let body = bare(body);
    if body.is_empty() {
        return Err(BodyError::Empty);
    }
    let Contained { events, sent_at, lost } = match format {
        BodyFormat::NdJson => Contained::of(lines(body)),
        BodyFormat::Json => match json(body, max_events) {
            // Shippers of logs often say application/json, or nothing, and send lines.
            Err(BodyError::Malformed(_)) if begins_with_a_line(body) => Contained::of(lines(body)),
            read => read?,
        },
    };
    Ok(Split::new(events, sent_at, max_events)?.with_lost(&lost))
}

/// A text without what may stand around it: white space, a byte order mark, and the NUL that ends
/// strings in C.
fn bare(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let end = text.iter().rposition(|b| *b != 0 && !b.is_ascii_whitespace()).map_or(0, |at| at + 1);
    text[..end].trim_ascii_start()
}

/// An event a line. Files that were joined may have a byte order mark at any line.
fn lines(body: &[u8]) -> Vec<RawEvent<'_>> {
    let lines = body.split(|b| *b == b'\n').map(bare);
    lines.filter(|line| !line.is_empty()).map(RawEvent::unread).collect()
}

/// Whether a body of several lines begins with a line that is an object by itself, well-formed or
/// not: it closes what it opens.
fn begins_with_a_line(body: &[u8]) -> bool {
    let Some(end) = body.iter().position(|b| *b == b'\n') else { return false };
    body[0] == b'{' && pieces::is_whole(&body[..end])
}

fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
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

/// What a body contains.
struct Contained<'a> {
    events: Vec<RawEvent<'a>>,
    /// `sentAt`
    sent_at: Field<'a>,
    /// `lost`: how many events its sender had no room for. floodmark.js says it.
    lost: Field<'a>,
}

impl<'a> Contained<'a> {
    /// Events alone.
    fn of(events: Vec<RawEvent<'a>>) -> Contained<'a> {
        Contained { events, sent_at: Field::Absent, lost: Field::Absent }
    }
}

fn json(body: &[u8], max_events: usize) -> Result<Contained<'_>, BodyError> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(e) => return in_pieces(body, BodyError::Malformed(e.to_string())),
    };
    let malformed = |e: &dyn fmt::Display| BodyError::Malformed(e.to_string());
    match body[0] {
        b'[' => {
            if let Some(events) = read_array(text, max_events) {
                return Ok(Contained::of(events));
            }
            match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(list) => Ok(Contained::of(texts(list))),
                Err(e) => in_pieces(body, malformed(&e)),
            }
        }
        b'{' => {
            if let Some(read) = read_plain(text).filter(|read| read.size == text.len()) {
                let event = RawEvent { text: body, read: Some(read) };
                return Ok(Contained::of(vec![event]));
            }
            match serde_json::from_str::<NativeEnvelope>(text) {
                Ok(NativeEnvelope { batch: Some(BatchField(list)), sent_at, lost }) => {
                    Ok(Contained { events: texts(list), sent_at, lost })
                }
                // A single event may have a property of this name.
                Ok(NativeEnvelope { batch: None, sent_at, .. }) => {
                    Ok(Contained { sent_at, ..Contained::of(vec![RawEvent::unread(body)]) })
                }
                Err(e) => in_pieces(body, malformed(&e)),
            }
        }
        _ => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(BodyError::NotEvents),
            Err(e) => Err(malformed(&e)),
        },
    }
}

/// The events of an array or a batch of which some are no JSON: these are refused one by one, and
/// their neighbours are taken. `why` says what is wrong with the body as a whole; it stands where the
/// body did not arrive whole, or where no event of it can be read.
fn in_pieces(body: &[u8], why: BodyError) -> Result<Contained<'_>, BodyError> {
    let Some(pieces::BodyPieces { events, sent_at }) = pieces::of(body) else { return Err(why) };
    if !events.iter().any(|event| is_json(event)) {
        return Err(why);
    }
    // A time that can't be read counts as none.
    let sent_at = sent_at.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let events = events.into_iter().map(RawEvent::unread).collect();
    Ok(Contained { sent_at, ..Contained::of(events) })
}

/// A body that is an object. It is a batch where it has the member `batch` and that is an array.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NativeEnvelope<'a> {
    #[serde(borrow, default, deserialize_with = "batch")]
    batch: Option<BatchField<'a>>,
    #[serde(borrow, default)]
    sent_at: Field<'a>,
    #[serde(borrow, default)]
    lost: Field<'a>,
}

/// The events of the member `batch`.
struct BatchField<'a>(Vec<&'a RawValue>);

/// Reads the member `batch`; `None` where it is no array, and so belongs to a single event.
fn batch<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BatchField<'a>>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok().map(BatchField))
}
