//! Reads one event of Segment's language.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    domain::event::{Field, Incoming, Rejection},
    http::dialect::{
        DialectEvent,
        json_event::read_once,
        member::{Added, object, parsed},
    },
};

/// One event as it was sent.
#[derive(Debug)]
pub struct SegmentEvent<'a> {
    text: &'a str,
    /// The type that the path says; in a batch the event says it.
    kind: Option<&'static str>,
    read: Option<Incoming<'a>>,
}

/// The members that are looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tracked<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    event: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    message_id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    original_timestamp: Field<'a>,
    #[serde(borrow, default)]
    sent_at: Field<'a>,
    #[serde(borrow, default)]
    user_id: Field<'a>,
    #[serde(borrow, default)]
    anonymous_id: Field<'a>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    traits: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

/// What is looked at of the context. All of it is optional, and whatever is of another kind than
/// expected counts as absent.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    user_agent: Field<'a>,
    #[serde(borrow)]
    page: Option<&'a RawValue>,
    #[serde(borrow)]
    consent: Option<&'a RawValue>,
    #[serde(borrow)]
    consent_management: Option<&'a RawValue>,
}

/// What a visitor chose, as Segment's wrappers of consent platforms send it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentConsent {
    category_preferences: BTreeMap<String, serde_json::Value>,
}

/// The same of RudderStack's SDKs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RudderStackConsent {
    denied_consent_ids: Vec<String>,
}

impl Context<'_> {
    /// The categories that the visitor refused.
    fn refused(&self) -> Vec<String> {
        let of_segment = parsed(self.consent).into_iter().flat_map(|consent: SegmentConsent| {
            let preferences = consent.category_preferences.into_iter();
            preferences.filter(|(_, choice)| *choice == false).map(|(category, _)| category)
        });
        let of_rudder_stack = parsed(self.consent_management)
            .into_iter()
            .flat_map(|consent: RudderStackConsent| consent.denied_consent_ids);
        of_segment.chain(of_rudder_stack).collect()
    }
}

#[derive(Default, Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    path: Field<'a>,
}

impl<'a> SegmentEvent<'a> {
    /// An event of a body. `kind` is the type that the path says, if it says one.
    pub fn unread(text: &'a str, kind: Option<&'static str>) -> SegmentEvent<'a> {
        SegmentEvent { text, kind, read: None }
    }
}

impl<'a> DialectEvent<'a> for SegmentEvent<'a> {
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        let (kind, size) = (self.kind, self.text.len());
        read_once(&mut self.read, self.text, |members: Tracked<'a>| members.incoming(kind, size))
    }

    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.text.as_bytes())
    }
}

impl<'a> Tracked<'a> {
    fn incoming(self, by_path: Option<&'static str>, size: usize) -> Incoming<'a> {
        let call = match (&self.kind, by_path) {
            (Field::Text(kind), _) => kind.clone(),
            (_, Some(kind)) => Cow::Borrowed(kind),
            (_, None) => Cow::Borrowed("track"),
        };
        let context: Context<'a> = parsed(self.context).unwrap_or_default();
        let refused = context.refused();
        let page: Page<'a> = parsed(context.page).unwrap_or_default();
        let own = object(self.properties.or(self.traits));
        let kind = match &*call {
            "track" => self.event,
            // A page is named by its path, and a name that it has beside that is a property.
            "page" | "screen" => Field::Text(Cow::Borrowed("page_view")),
            _ => Field::Text(call.clone()),
        };
        let is_page = matches!(&*call, "page" | "screen");
        let name = if is_page { self.name } else { Field::Absent };
        let properties = Added::to(own).text("path", &page.path).text("name", &name).finish();
        Incoming {
            kind,
            timestamp: self.timestamp.or(self.original_timestamp),
            sent_at: self.sent_at,
            user_id: self.user_id,
            session_id: context.session_id.or(self.anonymous_id),
            id: self.message_id,
            user_agent: context.user_agent,
            properties: Some(properties),
            plain: false,
            size,
            notes: Vec::new(),
            refused,
        }
    }
}
