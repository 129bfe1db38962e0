//! Floodmark's own wire format: one event, an array, `{"batch":[…],"sentAt":…}`, or
//! NDJSON. Gives [`Incoming`] events that borrow from the body; what is wrong with one of
//! them is found later, one by one, so that it never fails its neighbours.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::event::{Field, Incoming, Rejection};

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

/// Splits and reads an array of events in one pass over its text. `None` where anything is
/// out of the ordinary, for whatever reason: then the two passes find out what it is.
fn read_array(text: &str, max_events: usize) -> Option<Vec<RawEvent<'_>>> {
    let mut events = Vec::new();
    let mut rest = text.strip_prefix('[')?.trim_ascii_start();
    loop {
        if !rest.starts_with('{') || events.len() == max_events {
            return None;
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Native>();
        let native = stream.next()?.ok()?;
        let (event, behind) = rest.split_at(stream.byte_offset());
        let read = Some(native.incoming(event.len()));
        events.push(RawEvent { text: event.as_bytes(), read });
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

/// Reads one event of a [`Decoding`].
pub fn event(raw: RawEvent<'_>) -> Result<Incoming<'_>, Rejection> {
    if let Some(read) = raw.read {
        return Ok(read);
    }
    let raw = raw.text;
    let malformed = |e: &dyn fmt::Display| Rejection::Malformed(e.to_string());
    let text = std::str::from_utf8(raw).map_err(|e| malformed(&e))?.trim_ascii();
    if !text.starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Rejection::NotAnObject,
            Err(e) => malformed(&e),
        });
    }
    let native: Native = serde_json::from_str(text).map_err(|e| malformed(&e))?;
    Ok(native.incoming(raw.len()))
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
mod tests {
    use super::*;

    fn split_json(body: &str) -> Result<Decoding<'_>, WireError> {
        split(body.as_bytes(), Format::Json, 3)
    }

    fn texts<'a>(decoding: &Decoding<'a>) -> Vec<&'a str> {
        decoding.events.iter().map(|raw| std::str::from_utf8(raw.text).unwrap()).collect()
    }

    #[test]
    fn every_shape_gives_its_events() {
        let one = r#"{"type":"a"}"#;
        assert_eq!(texts(&split_json(one).unwrap()), [one]);
        assert_eq!(texts(&split_json(&format!(" [{one}, {one}]\n")).unwrap()), [one, one]);
        let envelope = format!(r#"{{"batch":[{one}],"sentAt":17}}"#);
        let decoding = split_json(&envelope).unwrap();
        assert_eq!(texts(&decoding), [one]);
        assert_eq!(decoding.sent_at, Field::Integer(17));
        let lines = format!("{one}\r\n\n{one}\n");
        assert_eq!(split(lines.as_bytes(), Format::NdJson, 3).unwrap().events.len(), 2);
        assert_eq!(texts(&split_json("[]").unwrap()), [""; 0]);
    }

    #[test]
    fn a_body_that_is_no_request_is_refused() {
        assert!(matches!(split_json(r#"[{"type":"a"}"#), Err(WireError::Malformed(_))));
        assert!(matches!(split_json(r#"{"type":"a"} x"#), Err(WireError::Malformed(_))));
        assert!(matches!(split(b"[\"\xff\"]", Format::Json, 3), Err(WireError::Malformed(_))));
        assert_eq!(split_json(" ").unwrap_err(), WireError::Empty);
        assert_eq!(split_json("17").unwrap_err(), WireError::NotEvents);
        assert_eq!(split_json(r#"{"batch":{}}"#).unwrap_err(), WireError::NotEvents);
        assert_eq!(split_json("[1,2,3,4]").unwrap_err(), WireError::TooMany(4, 3));
    }

    #[test]
    fn an_event_is_read_field_by_field() {
        let raw = br#"{"type":"p\u00e9","timestamp":5,"userId":7,"sessionId":null,
            "id":[1,{"a":2}],"properties":{"a":1},"extra":[[[]]]}"#;
        let event = event(RawEvent::unread(raw)).unwrap();
        assert_eq!(event.kind, Field::Text("pé".into()));
        assert_eq!(event.timestamp, Field::Integer(5));
        assert_eq!(event.user_id, Field::Integer(7));
        assert_eq!(event.session_id, Field::Absent);
        assert_eq!(event.id, Field::Other);
        assert_eq!(event.properties, Some(r#"{"a":1}"#));
        assert_eq!(event.size, raw.len());
    }

    #[test]
    fn what_is_no_event_says_why() {
        let code = |raw: &[u8]| event(RawEvent::unread(raw)).unwrap_err().code();
        assert_eq!(code(b"17"), "not_an_object");
        assert_eq!(code(br#"["page_view"]"#), "not_an_object");
        assert_eq!(code(br#"{"type":"#), "malformed");
        assert_eq!(code(br#"{"type":"\ud800"}"#), "malformed");
        assert_eq!(code(b"{\"type\":\"\xff\"}"), "malformed");
        assert_eq!(code(br#"{"type":"a","type":"b"}"#), "malformed");
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(split_json(&deep).unwrap().events.len(), 1);
        let nested = format!(r#"{{"type":"a","id":{deep},"x":{deep}}}"#);
        assert_eq!(event(RawEvent::unread(nested.as_bytes())).unwrap().id, Field::Other);
    }

    /// What a body gives: each event's text and what became of it, or why it is no request.
    fn outcome(decoding: Result<Decoding<'_>, WireError>) -> Result<Vec<String>, WireError> {
        let events = decoding?.events.into_iter();
        Ok(events.map(|raw| (raw.text, event(raw))).map(|both| format!("{both:?}")).collect())
    }

    #[test]
    fn one_pass_and_two_passes_read_the_same() {
        let good = r#"{"type":"a","id":"\u00e9","properties":{"x":[{"y":"]},{"}]}}"#;
        for body in [
            "[]",
            "[ ]",
            "[,]",
            "[1]",
            "[{}]",
            "[{}",
            "[{}}",
            "[{},]",
            "[{} {}]",
            "[{}]]",
            "[{}] x",
            r#"[{"type":"a"},"b"]"#,
            r#"[{"type":"a","type":"b"}]"#,
            r#"[{"type":"\ud800"}]"#,
            r#"[{"a":1e999}]"#,
            r#"[{"type":"a"}, {"id":[[]],"properties":null} ]"#,
            &format!("[{good}]"),
            &format!("[\n\t{good} ,\r\n {good}\n]"),
            &format!("[{good},{good},{good},{good}]"),
            &format!("[{good},{good},{{\"type\":]"),
        ] {
            let list = serde_json::from_str::<Vec<&RawValue>>(body);
            let twice = match list {
                Ok(list) if list.len() > 3 => Err(WireError::TooMany(list.len(), 3)),
                Ok(list) => Ok(Decoding { events: super::texts(list), sent_at: Field::Absent }),
                Err(e) => Err(WireError::Malformed(e.to_string())),
            };
            assert_eq!(outcome(split_json(body)), outcome(twice), "{body}");
        }
        assert!(read_array(&format!("[{good}, {good}]"), 3).is_some(), "the usual takes one pass");
    }
}
