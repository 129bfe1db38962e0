//! The members of an event as serde reads them.
//!
//! Senders have names of their own for the fields of an event, and send members that are none. A
//! name that is common elsewhere is understood where the field's own name is missing. Every other
//! member becomes a property, so nothing that was sent is lost, and the answer says so in its notes.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::event::{Field, Incoming, Note};

/// The fields of an event, by the names that the native dialect has for them.
const FIELDS: [&str; 6] = ["type", "timestamp", "userId", "sessionId", "id", "properties"];

/// When the request was sent. It belongs to the request, so it is no property of its one event.
const SENT_AT: &str = "sentAt";

/// What tells of the page that an event is from. It is kept as a property.
const CONTEXT: &str = "context";

/// What other senders call the fields. Where several of a field's names are there, the one that
/// stands first here counts.
const OTHER_NAMES: [(&str, &[&str]); 6] = [
    ("type", &["event", "event_type", "eventType", "event_name", "eventName", "name"]),
    ("timestamp", &["time", "ts", "originalTimestamp", "event_time", "eventTime", "created_at"]),
    ("userId", &["user_id", "userid", "uid", "distinct_id", "customer_id", "customerId"]),
    ("sessionId", &["session_id", "sessionid", "sid", "anonymousId", "anonymous_id"]),
    ("id", &["messageId", "message_id", "eventId", "event_id", "insert_id", "uuid"]),
    ("properties", &["data", "props", "params", "attributes", "payload"]),
];

/// What is looked at of [`CONTEXT`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageContext<'a> {
    #[serde(borrow, default)]
    user_agent: Field<'a>,
}

/// The members of an event.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    /// The values of [`FIELDS`], in their order, as they are written.
    fields: [Option<&'a RawValue>; 6],
    /// All other members.
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// `size` is the length of the whole event, in bytes.
    pub(super) fn incoming(mut self, size: usize) -> Incoming<'a> {
        let mut notes = Vec::new();
        for (place, (field, names)) in OTHER_NAMES.iter().enumerate() {
            if self.fields[place].is_none() {
                self.fields[place] = self.take(field, names, &mut notes);
            }
        }
        let [kind, timestamp, user_id, session_id, id, properties] = self.fields;
        let properties = properties.map(RawValue::get).map(Cow::Borrowed);
        let user_agent = self.user_agent();
        Incoming {
            kind: value(kind),
            timestamp: value(timestamp),
            sent_at: Field::Absent,
            user_id: value(user_id),
            session_id: value(session_id),
            id: value(id),
            user_agent,
            properties: with_others(properties, self.others, &mut notes),
            plain: false,
            size,
            notes,
            refused: Vec::new(),
        }
    }

    /// The user agent of the page, which senders that speak for one say in `context.userAgent`. It stays
    /// where it is.
    fn user_agent(&self) -> Field<'a> {
        let context = self.others.iter().find(|(key, _)| key == CONTEXT);
        let said =
            context.and_then(|(_, raw)| serde_json::from_str::<PageContext<'a>>(raw.get()).ok());
        said.map(|context| context.user_agent).unwrap_or_default()
    }

    /// Takes the value of a field from the members that have one of its other names.
    fn take(
        &mut self,
        field: &'static str,
        names: &[&'static str],
        notes: &mut Vec<Note>,
    ) -> Option<&'a RawValue> {
        // Many things are called "data"; properties are an object.
        let fits = |value: &RawValue| match field {
            "properties" => value.get().starts_with('{'),
            _ => is_scalar(value),
        };
        for name in names {
            let found = self.others.iter().position(|(key, value)| key == name && fits(value));
            if let Some(at) = found {
                notes.push(Note::FieldRenamed { from: Cow::Borrowed(name), to: field });
                return Some(self.others.remove(at).1);
            }
        }
        None
    }
}

fn is_scalar(value: &RawValue) -> bool {
    !value.get().starts_with(['{', '[', 'n'])
}

fn value<'a>(raw: Option<&'a RawValue>) -> Field<'a> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// The properties and the other members in one object.
fn with_others<'a>(
    properties: Option<Cow<'a, str>>,
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
    notes: &mut Vec<Note>,
) -> Option<Cow<'a, str>> {
    if others.is_empty() {
        return properties;
    }
    let own = match properties.as_deref().map(str::trim) {
        None | Some("[]") => "",
        Some(object) => match object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(members) => members.trim(),
            // They are no object, for which the event is refused.
            None => return properties,
        },
    };
    let mut all = String::with_capacity(own.len() + others.len() * 32);
    all.push('{');
    for (key, value) in others {
        all.push_str(&serde_json::Value::from(key.as_ref()).to_string());
        all.push(':');
        all.push_str(value.get());
        all.push(',');
        notes.push(Note::FieldMoved(key.into_owned()));
    }
    // The properties come last: of two values of a key the last one counts.
    match own {
        "" => _ = all.pop(),
        own => all.push_str(own),
    }
    all.push('}');
    Some(Cow::Owned(all))
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an event")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some(Name(key)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    match FIELDS.iter().position(|field| *field == key) {
                        _ if key == SENT_AT => {}
                        // An absent field and one that is null are the same.
                        Some(_) if value.get() == "null" => {}
                        Some(place) if members.fields[place].is_some() => {
                            return Err(A::Error::duplicate_field(FIELDS[place]));
                        }
                        Some(place) => {
                            // The value is read here, where a mistake in it is an error still.
                            serde_json::from_str::<Field<'_>>(value.get())
                                .map_err(Error::custom)?;
                            members.fields[place] = Some(value);
                        }
                        None => members.others.push((key, value)),
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A key, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
