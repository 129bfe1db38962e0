//! An event of any dialect in the native format, as a dead letter keeps it to be sent again.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{EventTime, Field, Incoming, Received, Rejection, own_sent_at};
use crate::domain::time::{self, Millis};

/// The fields of an event in the native format.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeForm<'a> {
    #[serde(skip_serializing_if = "Field::is_absent")]
    r#type: &'a Field<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    timestamp: &'a Field<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    user_id: &'a Field<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    session_id: &'a Field<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    id: &'a Field<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a RawValue>,
}

impl Incoming<'_> {
    /// The event as the native dialect would have it. A field that is of no use (a list as `userId`) is
    /// null. The time is as its sender wrote it.
    pub fn in_native_form(&self) -> String {
        let properties = self.properties.as_deref();
        let form = NativeForm {
            r#type: &self.kind,
            timestamp: &self.timestamp,
            user_id: &self.user_id,
            session_id: &self.session_id,
            id: &self.id,
            properties: properties.and_then(|text| serde_json::from_str(text).ok()),
        };
        serde_json::to_string(&form).expect("texts, numbers and JSON always encode")
    }

    /// The event's time, Unix ms, corrected by its sender's clock; and whether it says one that can't
    /// be the time of an event, in whose place the time of receipt was taken.
    ///
    /// # Errors
    /// Its `timestamp` is no moment.
    pub fn moment(&self, received: Received) -> Result<(Millis, bool), Rejection> {
        Ok(match EventTime::read(&self.timestamp)? {
            EventTime::At(at) => {
                let sent_at = match EventTime::read(&self.sent_at) {
                    Ok(EventTime::At(sent_at)) => own_sent_at(sent_at, received.at),
                    _ => received.sent_at,
                };
                (time::corrected(at, sent_at, received.at), false)
            }
            EventTime::Absent => (received.at, false),
            EventTime::Impossible => (received.at, true),
        })
    }

    /// Whether its sender gave it an id by which it is known again.
    pub fn is_identified(&self) -> bool {
        match &self.id {
            Field::Text(id) => !id.is_empty(),
            Field::Integer(_) | Field::Float(_) => true,
            Field::Absent | Field::Other => false,
        }
    }
}

impl Serialize for Field<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Text(text) => serializer.serialize_str(text),
            Field::Integer(number) => serializer.serialize_i64(*number),
            Field::Float(number) => serializer.serialize_f64(*number),
            Field::Absent | Field::Other => serializer.serialize_unit(),
        }
    }
}

impl Field<'_> {
    /// Whether it is not there.
    fn is_absent(&self) -> bool {
        *self == Field::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_the_native_dialect_reads_it() {
        let event = Incoming {
            kind: Field::Text("purchase".into()),
            timestamp: Field::Text("2026-11-23T08:00:00Z".into()),
            user_id: Field::Other,
            id: Field::Integer(7),
            properties: Some(r#"{"amount": 1.50}"#.into()),
            ..Incoming::default()
        };
        assert_eq!(
            event.in_native_form(),
            r#"{"type":"purchase","timestamp":"2026-11-23T08:00:00Z","userId":null,"id":7,"properties":{"amount": 1.50}}"#
        );
        assert!(event.is_identified());
        let broken = Incoming { properties: Some("{".into()), ..Incoming::default() };
        assert_eq!(broken.in_native_form(), "{}");
        assert!(!broken.is_identified());
    }
}
