//! An event as a client sent it, and the door that it has to pass. Every rule for events is
//! checked here, whatever format they came in, and an event that passes is encoded as a row at
//! once.

mod copies;
mod event_time;
mod field;
mod native_form;
mod note;
mod rejection;

use std::{borrow::Cow, cell::Cell};

use uuid::Uuid;

use crate::domain::{
    bot,
    ids::{self, IdSpace, MONEY_TYPES},
    json,
    metric::MetricSet,
    privacy::Privacy,
    row::Row,
    source::Provenance,
    time::{self, Millis},
};

pub use self::{
    event_time::{EARLIEST_EVENT, EventTime},
    field::Field,
    note::Note,
    rejection::Rejection,
};

/// Longest `type`, in characters (which are ASCII).
pub const MAX_TYPE: usize = 64;
/// Longest `id`, in bytes.
pub const MAX_ID: usize = 128;
/// The smallest difference of clocks that is corrected where an SDK says when it sent an event.
const LEAST_SKEW: Millis = 30 * time::SECOND;
/// What the type of an order or refund ends with that does not count.
pub const REPORTED: &str = ".reported";
/// The properties of an event that has none.
const NO_PROPERTIES: &str = "{}";
/// Beyond this, 2^53, not every whole number is a float, so one that was written as a float may be
/// another by now.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;
/// Longest `userId` and `sessionId`, in bytes.
pub const MAX_VISITOR: usize = 256;

/// Limits from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct EventLimits<'p> {
    /// `event.max_bytes`: of the event as sent.
    pub max_bytes: usize,
    /// `event.max_depth`: the event itself is level 1, its properties are level 2.
    pub max_depth: usize,
    /// What is never stored (`[privacy]`).
    pub privacy: Option<&'p Privacy>,
}

/// An event before validation, whatever dialect it came in.
#[derive(Clone, Debug, Default)]
pub struct Incoming<'a> {
    /// `type`.
    pub kind: Field<'a>,
    /// `timestamp`: Unix time or RFC 3339, see [`EventTime`].
    pub timestamp: Field<'a>,
    /// When this event was sent, where its dialect says it of each event and not of the request.
    pub sent_at: Field<'a>,
    /// `userId`.
    pub user_id: Field<'a>,
    /// `sessionId`.
    pub session_id: Field<'a>,
    /// `id`.
    pub id: Field<'a>,
    /// The user agent of the page, where the event itself says it (`context.userAgent`).
    pub user_agent: Field<'a>,
    /// `properties`, raw JSON: a piece of the body, or built by a dialect that has them elsewhere.
    pub properties: Option<Cow<'a, str>>,
    /// The properties are known to be plain ([`crate::domain::plain`]), so nothing in them is
    /// nested, escaped or a long number, and they need no further check.
    pub plain: bool,
    /// Bytes of the whole event, as sent.
    pub size: usize,
    /// What was done to the event while it was read.
    pub notes: Vec<Note>,
    /// The categories of consent that its visitor refused, where it says so: `analytics_storage`.
    pub refused: Vec<String>,
}

/// What became of an event that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// By what it is known again ([`crate::domain::ids::known_as`]), where the client set an id: such
    /// an event is idempotent.
    pub client_id: Option<String>,
    /// What was done to it, beside the notes of [`Incoming`].
    pub notes: Vec<Note>,
}

/// When a request came, and how far its sender's clock is off.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Unix ms.
    pub at: Millis,
    /// `sentAt` of the request, Unix ms.
    pub sent_at: Option<Millis>,
}

impl Incoming<'_> {
    /// Checks the event, also against the metrics of `metric_set`, and appends its row to `out`. `from`
    /// says who sent it and how.
    ///
    /// # Errors
    /// The first rule that the event breaks; `out` is then as it was.
    pub fn encode(
        &self,
        received: Received,
        from: Provenance<'_>,
        limits: EventLimits<'_>,
        metric_set: &MetricSet,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, Rejection> {
        let mut notes = Vec::new();
        let kind = match &self.kind {
            Field::Text(kind) => kind.trim(),
            Field::Absent => return Err(Rejection::MissingType),
            _ => return Err(Rejection::InvalidType),
        };
        if !is_type(kind) {
            return Err(Rejection::InvalidType);
        }
        let kind = reported(kind, from.has_revenue, &mut notes);
        let kind = kind.as_ref();
        let (time, is_replaced) = self.moment(received)?;
        if is_replaced {
            notes.push(Note::TimestampReplaced);
        }
        let user_id = visitor(&self.user_id, "userId", &mut notes);
        let session_id = visitor(&self.session_id, "sessionId", &mut notes);
        let client_id = text(&self.id, MAX_ID, &mut notes).map_err(|()| Rejection::InvalidId)?;
        if self.size > limits.max_bytes {
            return Err(Rejection::TooLarge(self.size, limits.max_bytes));
        }
        let properties = self.checked_properties(limits, &mut notes)?;
        let cleaned = limits.privacy.and_then(|privacy| privacy.cleaned(&properties));
        let properties = cleaned.map_or(properties, Cow::Owned);
        let properties = bot::labelled(properties, kind, from.is_bot);
        let checked = metric_set.plan(kind).check(kind, &properties, &mut notes);
        checked.map_err(Rejection::InvalidAmount)?;

        let mut made = Uuid::encode_buffer();
        let id = match &client_id {
            Some(id) => id.as_ref(),
            None => new_id(received.at).hyphenated().encode_lower(&mut made),
        };
        let row = Row {
            time,
            received_at: received.at,
            id,
            kind,
            user_id: user_id.as_deref(),
            session_id: session_id.as_deref(),
            properties: &properties,
            source: Some(from.source),
            dialect: Some(from.dialect),
        };
        row.encode(out);
        // The orders of a webhook are the shop's orders, whichever way they come.
        let space = match from.ids {
            IdSpace::Webhook if MONEY_TYPES.contains(&kind) => IdSpace::Shop,
            space => space,
        };
        Ok(Encoded { client_id: client_id.map(|id| ids::known_as(&id, kind, space)), notes })
    }

    /// The properties as they are kept: a JSON object that every store takes and reads alike.
    fn checked_properties(
        &self,
        limits: EventLimits<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<Cow<'_, str>, Rejection> {
        let properties = match self.properties.as_deref() {
            // PHP writes a map without entries as a list without entries.
            None | Some("[]") => NO_PROPERTIES,
            Some(properties) => properties,
        };
        if !properties.starts_with('{') {
            return Err(Rejection::PropertiesNotAnObject);
        }
        // The event itself is the first level.
        let depth = limits.max_depth.saturating_sub(1);
        if self.plain && depth > 0 {
            return Ok(Cow::Borrowed(properties));
        }
        let blemishes = json::check(properties, depth).map_err(Rejection::InvalidProperties)?;
        if blemishes.text {
            notes.push(Note::TextReplaced);
        }
        let mended = blemishes.mend(properties);
        if mended.repeated {
            notes.push(Note::KeyRepeated);
        }
        Ok(mended.text)
    }
}

/// The time of sending that an event of an SDK has. SDKs keep the first one over their retries, so a
/// small difference to the time of receipt says nothing of the sender's clock.
fn own_sent_at(sent_at: Millis, received: Millis) -> Option<Millis> {
    ((received - sent_at).abs() >= LEAST_SKEW).then_some(sent_at)
}

/// Makes a UUIDv7 of this moment. Its other 74 bits come from a counter that begins at a random
/// number on each thread. That is as unique as a random number for each id, and much cheaper.
fn new_id(at: Millis) -> Uuid {
    thread_local! {
        static NEXT: Cell<u128> = Cell::new(Uuid::new_v4().as_u128());
    }
    let next = NEXT.replace(NEXT.get().wrapping_add(1)).to_be_bytes();
    let tail = next.last_chunk().expect("10 of 16 bytes");
    uuid::Builder::from_unix_timestamp_millis(at as u64, tail).into_uuid()
}

/// The type of an event as it is kept. Where another source is the revenue source, an order or refund
/// is only reported: it is kept as `purchase.reported`, which no metric adds up.
fn reported<'k>(kind: &'k str, has_revenue: bool, notes: &mut Vec<Note>) -> Cow<'k, str> {
    if has_revenue || !MONEY_TYPES.contains(&kind) {
        return Cow::Borrowed(kind);
    }
    notes.push(Note::NotRevenueSource);
    Cow::Owned(format!("{kind}{REPORTED}"))
}

/// Whether a text may be an event's `type`.
pub fn is_type(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:- ".contains(&b);
    (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(allowed)
}

/// Reads `userId` or `sessionId`. One that can't be kept must not cost the event, which may be an
/// order.
fn visitor<'a>(
    field: &'a Field<'_>,
    name: &'static str,
    notes: &mut Vec<Note>,
) -> Option<Cow<'a, str>> {
    text(field, MAX_VISITOR, notes).unwrap_or_else(|()| {
        notes.push(Note::VisitorDropped(name));
        None
    })
}

/// Reads a name: a string, or a whole number in decimal, since shops number their users. An empty
/// string counts as absent.
fn text<'a>(
    field: &'a Field<'_>,
    max: usize,
    notes: &mut Vec<Note>,
) -> Result<Option<Cow<'a, str>>, ()> {
    let text = match field {
        Field::Absent => return Ok(None),
        Field::Text(text) if text.contains('\0') => {
            notes.push(Note::TextReplaced);
            Cow::Owned(text.replace('\0', "\u{fffd}"))
        }
        Field::Text(text) => Cow::Borrowed(text.as_ref()),
        Field::Integer(number) => Cow::Owned(number.to_string()),
        // Languages with one kind of number write 42 as 42.0.
        Field::Float(number) if number.fract() == 0.0 && number.abs() < MAX_EXACT_FLOAT => {
            Cow::Owned(format!("{number:.0}"))
        }
        _ => return Err(()),
    };
    match text.len() {
        0 => Ok(None),
        len if len <= max => Ok(Some(text)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests;
