//! Floodmark's own wire format: one event, an array, `{"batch":[…],"sentAt":…}`, or
//! NDJSON. Gives [`Incoming`] events that borrow from the body; what is wrong with one of
//! them is found later, one by one, so that it never fails its neighbours.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::{
    event::{Field, Incoming, Rejection},
    plain::{Scalar, Scan},
};

/// How the body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One JSON document a line.
    NdJson,
}

/// The events of one request, each still as text.
#[derive(Debug, Default)]
pub struct Decoding<'a> {
    /// In the order of the body.
    pub events: Vec<RawEvent<'a>>,
    /// `sentAt` of the envelope.
    pub sent_at: Field<'a>,
}

/// One event as the client sent it.
#[derive(Debug)]
pub struct RawEvent<'a> {
    /// JSON, but for a line of NDJSON, which may be anything.
    pub text: &'a [u8],
    /// Its fields, where splitting the body has read them already.
    read: Option<Incoming<'a>>,
}

impl<'a> RawEvent<'a> {
    fn unread(text: &'a [u8]) -> RawEvent<'a> {
        RawEvent { text, read: None }
    }
}

/// The body as a whole is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not JSON, or not UTF-8.
    #[error("the body is not valid JSON: {0}")]
    Malformed(String),
    /// Nothing in it.
    #[error("the body is empty")]
    Empty,
    /// JSON of a shape that holds no events.
    #[error("the body must be an event, an array of events, or an object with a batch array")]
    NotEvents,
    /// More events than `http.max_request_events`.
    #[error("{0} events in one request, more than {1}")]
    TooMany(usize, usize),
}

/// Splits a body into its events. `max_events` bounds the events of one request.
pub fn split(body: &[u8], format: Format, max_events: usize) -> Result<Decoding<'_>, WireError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if body.is_empty() {
        return Err(WireError::Empty);
    }
    let decoding = match format {
        Format::Json => json(body, max_events)?,
        Format::NdJson => Decoding {
            events: body
                .split(|b| *b == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .map(RawEvent::unread)
                .collect(),
            sent_at: Field::Absent,
        },
    };
    let events = decoding.events.len();
    if events > max_events {
        return Err(WireError::TooMany(events, max_events));
    }
    Ok(decoding)
}

fn texts(list: Vec<&RawValue>) -> Vec<RawEvent<'_>> {
    list.into_iter().map(|raw| RawEvent::unread(raw.get().as_bytes())).collect()
}

/// What an event has at least, mostly: how many there may be in a body.
const USUAL_BYTES: usize = 100;

/// Splits and reads an array of events in one pass over its text. `None` where anything is
/// out of the ordinary, for whatever reason: then the two passes find out what it is.
fn read_array(text: &str, max_events: usize) -> Option<Vec<RawEvent<'_>>> {
    let mut events = Vec::with_capacity(max_events.min(text.len() / USUAL_BYTES));
    let mut rest = text.strip_prefix('[')?.trim_ascii_start();
    loop {
        if !rest.starts_with('{') || events.len() == max_events {
            return None;
        }
        let read = match read_plain(rest) {
            Some(read) => read,
            None => {
                let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Native>();
                let native = stream.next()?.ok()?;
                native.incoming(stream.byte_offset())
            }
        };
        let (event, behind) = rest.split_at(read.size);
        events.push(RawEvent { text: event.as_bytes(), read: Some(read) });
        rest = behind.trim_ascii_start();
        if rest == "]" {
            return Some(events);
        }
        rest = rest.strip_prefix(',')?.trim_ascii_start();
    }
}

fn json(body: &[u8], max_events: usize) -> Result<Decoding<'_>, WireError> {
    let malformed = |e: &dyn fmt::Display| WireError::Malformed(e.to_string());
    let text = std::str::from_utf8(body).map_err(|e| malformed(&e))?;
    match body[0] {
        b'[' => {
            if let Some(events) = read_array(text, max_events) {
                return Ok(Decoding { events, sent_at: Field::Absent });
            }
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| malformed(&e))?;
            Ok(Decoding { events: texts(list), sent_at: Field::Absent })
        }
        b'{' => {
            if let Some(read) = read_plain(text).filter(|read| read.size == text.len()) {
                let event = RawEvent { text: body, read: Some(read) };
                return Ok(Decoding { events: vec![event], sent_at: Field::Absent });
            }
            let envelope: Envelope = serde_json::from_str(text).map_err(|e| malformed(&e))?;
            let events = match envelope.batch {
                Batch::Absent => vec![RawEvent::unread(body)],
                Batch::List(list) => texts(list),
                Batch::Other => return Err(WireError::NotEvents),
            };
            Ok(Decoding { events, sent_at: envelope.sent_at })
        }
        _ => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(WireError::NotEvents),
            Err(e) => Err(malformed(&e)),
        },
    }
}

/// Reads one event of a [`Decoding`]. It stays there: to move it costs more than to look at it.
pub fn event<'r, 'a>(raw: &'r mut RawEvent<'a>) -> Result<&'r Incoming<'a>, Rejection> {
    match &mut raw.read {
        Some(read) => Ok(read),
        read => Ok(read.insert(read_event(raw.text)?)),
    }
}

fn read_event(raw: &[u8]) -> Result<Incoming<'_>, Rejection> {
    let malformed = |e: &dyn fmt::Display| Rejection::Malformed(e.to_string());
    let text = std::str::from_utf8(raw).map_err(|e| malformed(&e))?.trim_ascii();
    if !text.starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Rejection::NotAnObject,
            Err(e) => malformed(&e),
        });
    }
    if let Some(read) = read_plain(text).filter(|read| read.size == text.len()) {
        return Ok(Incoming { size: raw.len(), ..read });
    }
    let native: Native = serde_json::from_str(text).map_err(|e| malformed(&e))?;
    Ok(native.incoming(raw.len()))
}

/// Reads the event that a text begins with, as [`Native`] would, where it and its properties are
/// plain and it has no other fields than an event has.
fn read_plain(text: &str) -> Option<Incoming<'_>> {
    let mut event = Incoming { plain: true, ..Incoming::default() };
    let mut seen = 0;
    let mut scan = Scan::new(text);
    scan.object(|scan, key| {
        let (bit, field) = match key {
            "type" => (1, &mut event.kind),
            "timestamp" => (2, &mut event.timestamp),
            "userId" => (4, &mut event.user_id),
            "sessionId" => (8, &mut event.session_id),
            "id" => (16, &mut event.id),
            "properties" if seen & 32 == 0 => {
                seen |= 32;
                scan.peek()?;
                let from = scan.position();
                scan.object(|scan, _| scan.scalar().map(drop))?;
                event.properties = Some(scan.since(from)?);
                return Some(());
            }
            _ => return None,
        };
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        *field = match scan.scalar()? {
            Scalar::Text(text) => Field::Text(Cow::Borrowed(text)),
            // Minus zero is a float to serde_json.
            Scalar::Number("-0") => return None,
            Scalar::Number(number) => Field::Integer(number.parse().ok()?),
            Scalar::Bool(_) => Field::Other,
            Scalar::Null => Field::Absent,
        };
        Some(())
    })?;
    event.size = scan.position();
    Some(event)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Native<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    user_id: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

impl<'a> Native<'a> {
    fn incoming(self, size: usize) -> Incoming<'a> {
        Incoming {
            kind: self.kind,
            timestamp: self.timestamp,
            user_id: self.user_id,
            session_id: self.session_id,
            id: self.id,
            properties: self.properties.map(RawValue::get).filter(|raw| *raw != "null"),
            plain: false,
            size,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    batch: Batch<'a>,
    #[serde(borrow, default)]
    sent_at: Field<'a>,
}

#[derive(Default)]
enum Batch<'a> {
    #[default]
    Absent,
    List(Vec<&'a RawValue>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(serde_json::from_str(raw.get()).map_or(Batch::Other, Batch::List))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string or a number")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Field::Absent)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Field::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Field::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Field::Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(number).map_or(Field::Float(number as f64), Field::Integer))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Field::Float(number))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Field::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
        }
        deserializer.deserialize_any(FieldVisitor)
    }
}

#[cfg(test)]
mod tests;
