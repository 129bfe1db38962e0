//! The shape that most SDKs send: an object with a list of events and a few members beside it.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::{domain::event::Field, http::error::ApiError};

/// A body taken apart.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    /// The text of each event.
    pub events: Vec<&'a RawValue>,
    /// The members beside the list; of a single event all of its members.
    pub members: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Takes a body apart: `{"LIST":[…],…}`, an array of events, or one event by itself.
    ///
    /// # Errors
    /// 400 where it is no JSON, or JSON of another shape.
    pub fn read(contents: &'a [u8], list: &str) -> Result<Envelope<'a>, ApiError> {
        let malformed = |e: &dyn std::fmt::Display| {
            ApiError::bad_request("malformed", format!("the body is not valid JSON: {e}"))
        };
        let text = std::str::from_utf8(contents).map_err(|e| malformed(&e))?.trim();
        if text.is_empty() {
            return Err(ApiError::bad_request("empty_body", "the body is empty"));
        }
        if text.starts_with('[') {
            let events = serde_json::from_str(text).map_err(|e| malformed(&e))?;
            return Ok(Envelope { events, members: BTreeMap::new() });
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(|e| malformed(&e))?;
        let shape = |_| ApiError::bad_request("not_events", "the body must be a JSON object");
        let mut members: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(text).map_err(shape)?;
        let events = match members.remove(list) {
            Some(events) => serde_json::from_str(events.get()).map_err(|_| {
                ApiError::bad_request("not_events", format!("{list} must be an array of events"))
            })?,
            None => vec![whole],
        };
        Ok(Envelope { events, members })
    }

    /// A member as an event's field.
    pub fn field(&self, name: &str) -> Field<'a> {
        let value = self.members.get(name);
        value.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.field(name) {
            Field::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
}
