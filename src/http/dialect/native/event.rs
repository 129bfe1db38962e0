//! Reads one event of a body.
//!
//! Most events are plain (no escapes, nothing nested in their properties, no members but those of
//! an event), and a cursor reads those in one pass ([`crate::domain::plain`]). serde reads all
//! others ([`super::members`]). Where both can read an event they give the same, which a property
//! test holds (`tests.rs`).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{body::RawEvent, members::Members};
use crate::{
    domain::{
        event::{Field, Incoming, Note, Rejection},
        json,
        plain::{Scalar, Scan},
    },
    http::dialect::DialectEvent,
};

impl<'a> DialectEvent<'a> for RawEvent<'a> {
    // Splitting the body may have read it already.
    #[inline]
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        match &mut self.read {
            Some(read) => Ok(read),
            read => Ok(read.insert(read_event(self.text)?)),
        }
    }

    #[inline]
    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.text)
    }
}

/// Reads one event from its whole text.
pub(super) fn read_event(raw: &[u8]) -> Result<Incoming<'_>, Rejection> {
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
    match serde_json::from_str::<Members>(text) {
        Ok(members) => Ok(members.incoming(raw.len())),
        Err(e) => read_mended(text, raw.len()).ok_or_else(|| malformed(&e)),
    }
}

/// Reads an event in whose names or ids there is half of a surrogate pair, which is no character.
fn read_mended(text: &str, size: usize) -> Option<Incoming<'static>> {
    let Cow::Owned(mended) = json::replaced(text) else { return None };
    let members: Members = serde_json::from_str(&mended).ok()?;
    let mut event = members.incoming(size).into_owned();
    event.notes.push(Note::TextReplaced);
    Some(event)
}

/// Reads the event that a text begins with; `size` of what it gives says where the event ends.
#[inline]
pub(super) fn read_first(text: &str) -> Option<Incoming<'_>> {
    if let Some(read) = read_plain(text) {
        return Some(read);
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Members>();
    let members = stream.next()?.ok()?;
    Some(members.incoming(stream.byte_offset()))
}

/// Reads the event that a text begins with, as [`Members`] would, where it and its properties are
/// plain and it has no other members than those of an event.
pub(super) fn read_plain(text: &str) -> Option<Incoming<'_>> {
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
                scan.flat_object()?;
                event.properties = Some(Cow::Borrowed(scan.since(from)?));
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
            // serde_json reads minus zero as a float, so this is left to it.
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
