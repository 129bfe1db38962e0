//! An event as a client sent it, whatever the dialect. Every rule that a single event must keep
//! is checked here, and an event that keeps them is encoded as a row at once.

use std::{borrow::Cow, cell::Cell};

use uuid::Uuid;

use crate::domain::{
    json::{self, JsonFault},
    metric::{AmountFault, Measures},
    row::Row,
    time::{self, EARLIEST, LATEST, Millis},
};

/// Longest `type`, in characters (which are ASCII).
pub const MAX_TYPE: usize = 64;
/// Longest `id`, in bytes.
pub const MAX_ID: usize = 128;
/// Longest `userId` and `sessionId`, in bytes.
pub const MAX_VISITOR: usize = 256;

/// Limits from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct EventLimits {
    /// `event.max_bytes`: of the event as sent.
    pub max_bytes: usize,
    /// `event.max_depth`: the event itself is level 1, its properties are level 2.
    pub max_depth: usize,
}

/// A field that should be a string, and what the client made of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Field<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// An integer.
    Integer(i64),
    /// A number with a fraction, or beyond an `i64`.
    Float(f64),
    /// Something else.
    Other,
}

/// An event before validation, whatever wire format it came in.
#[derive(Clone, Debug, Default)]
pub struct Incoming<'a> {
    /// `type`.
    pub kind: Field<'a>,
    /// `timestamp`: Unix ms or RFC 3339.
    pub timestamp: Field<'a>,
    /// `userId`.
    pub user_id: Field<'a>,
    /// `sessionId`.
    pub session_id: Field<'a>,
    /// `id`.
    pub id: Field<'a>,
    /// `properties`, raw JSON: a piece of the body, or built by a dialect that has them elsewhere.
    pub properties: Option<Cow<'a, str>>,
    /// The properties are plain ([`crate::domain::plain`]): nothing nested, no escapes, no long
    /// numbers.
    pub plain: bool,
    /// Bytes of the whole event, as sent.
    pub size: usize,
}

/// Why an event was refused. `code()` is the contract's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Rejection {
    #[error("the event is not a JSON object")]
    NotAnObject,
    #[error("malformed: {0}")]
    Malformed(String),
    #[error("type is missing")]
    MissingType,
    #[error("type must be a string of 1 to {MAX_TYPE} characters of A-Z a-z 0-9 _ . : - or space")]
    InvalidType,
    #[error("timestamp must be Unix milliseconds or RFC 3339, from 1970 to 9999")]
    InvalidTimestamp,
    #[error("{0} must be a string of at most {MAX_VISITOR} bytes without NUL")]
    InvalidVisitor(&'static str),
    #[error("id must be a string of 1 to {MAX_ID} bytes without NUL")]
    InvalidId,
    #[error("properties must be a JSON object")]
    PropertiesNotAnObject,
    #[error("properties: {0}")]
    InvalidProperties(JsonFault),
    #[error("{0}")]
    InvalidAmount(AmountFault),
    #[error("the event has {0} bytes, more than {1}")]
    TooLarge(usize, usize),
}

impl Rejection {
    /// The code in answers, dead letters and `floodmark_events_rejected_total{code}`.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::NotAnObject => "not_an_object",
            Rejection::Malformed(_) => "malformed",
            Rejection::MissingType => "missing_type",
            Rejection::InvalidType => "invalid_type",
            Rejection::InvalidTimestamp => "invalid_timestamp",
            Rejection::InvalidVisitor("userId") => "invalid_user_id",
            Rejection::InvalidVisitor(_) => "invalid_session_id",
            Rejection::InvalidId => "invalid_id",
            Rejection::PropertiesNotAnObject => "invalid_properties",
            Rejection::InvalidProperties(JsonFault::TooDeep(_)) => "too_deep",
            Rejection::InvalidProperties(_) => "invalid_properties",
            Rejection::InvalidAmount(_) => "invalid_amount",
            Rejection::TooLarge(..) => "event_too_large",
        }
    }
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
    /// Checks the event, also against the money metrics of `measures`, and appends its row
    /// to `out`. Gives the id where the client set
    /// one: such an event is idempotent. On error `out` is as it was.
    pub fn encode(
        &self,
        received: Received,
        limits: EventLimits,
        measures: &Measures,
        out: &mut Vec<u8>,
    ) -> Result<Option<String>, Rejection> {
        let kind = match &self.kind {
            Field::Text(kind) => kind.as_ref(),
            Field::Absent => return Err(Rejection::MissingType),
            _ => return Err(Rejection::InvalidType),
        };
        if !is_type(kind) {
            return Err(Rejection::InvalidType);
        }
        let time = match millis(&self.timestamp)? {
            Some(at) => time::corrected(at, received.sent_at, received.at),
            None => received.at,
        };
        let user_id = visitor(&self.user_id, "userId")?;
        let session_id = visitor(&self.session_id, "sessionId")?;
        let client_id = text(&self.id, MAX_ID).map_err(|()| Rejection::InvalidId)?;

        let properties = self.properties.as_deref().unwrap_or("{}");
        if self.size > limits.max_bytes {
            return Err(Rejection::TooLarge(self.size, limits.max_bytes));
        }
        if !properties.starts_with('{') {
            return Err(Rejection::PropertiesNotAnObject);
        }
        let depth = limits.max_depth.saturating_sub(1);
        if !self.plain || depth == 0 {
            json::check(properties, depth).map_err(Rejection::InvalidProperties)?;
        }
        measures.plan(kind).check(kind, properties).map_err(Rejection::InvalidAmount)?;

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
            properties,
        };
        row.encode(out);
        Ok(client_id.map(Cow::into_owned))
    }
}

/// A UUIDv7 of this moment. A count that begins at random on each thread is as unique as a random
/// number each time (74 bits), and costs neither that nor another look at the clock.
fn new_id(at: Millis) -> Uuid {
    thread_local! {
        static NEXT: Cell<u128> = Cell::new(Uuid::new_v4().as_u128());
    }
    let next = NEXT.replace(NEXT.get().wrapping_add(1)).to_be_bytes();
    let tail = next.last_chunk().expect("10 of 16 bytes");
    uuid::Builder::from_unix_timestamp_millis(at as u64, tail).into_uuid()
}

/// Whether a text may be an event's `type`.
pub fn is_type(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:- ".contains(&b);
    (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(allowed)
}

/// A moment: Unix ms as a number, or RFC 3339; `None` where absent.
pub fn millis(field: &Field<'_>) -> Result<Option<Millis>, Rejection> {
    let at = match field {
        Field::Absent => return Ok(None),
        Field::Integer(at) => *at,
        Field::Float(at) if (EARLIEST as f64..=LATEST as f64).contains(at) => *at as Millis,
        Field::Text(text) => time::parse_rfc3339(text).ok_or(Rejection::InvalidTimestamp)?,
        _ => return Err(Rejection::InvalidTimestamp),
    };
    if (EARLIEST..=LATEST).contains(&at) { Ok(Some(at)) } else { Err(Rejection::InvalidTimestamp) }
}

fn visitor<'a>(
    field: &'a Field<'_>,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    text(field, MAX_VISITOR).map_err(|()| Rejection::InvalidVisitor(name))
}

/// A name: a string, or an integer (shops number their users) in decimal. Empty is absent.
fn text<'a>(field: &'a Field<'_>, max: usize) -> Result<Option<Cow<'a, str>>, ()> {
    match field {
        Field::Absent => Ok(None),
        Field::Text(text) if text.is_empty() => Ok(None),
        Field::Text(text) if text.len() <= max && !text.contains('\0') => {
            Ok(Some(Cow::Borrowed(text.as_ref())))
        }
        Field::Integer(number) => Ok(Some(Cow::Owned(number.to_string()))),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::Config, domain::row::rows};

    fn shipped() -> Arc<Measures> {
        Config::default().rules.measures
    }

    const LIMITS: EventLimits = EventLimits { max_bytes: 1000, max_depth: 4 };
    const RECEIVED: Received = Received { at: 1_795_420_800_000, sent_at: None };

    fn event<'a>() -> Incoming<'a> {
        Incoming { kind: Field::Text("page_view".into()), ..Incoming::default() }
    }

    fn refused(event: &Incoming<'_>) -> &'static str {
        let mut out = vec![7];
        let code = event.encode(RECEIVED, LIMITS, &shipped(), &mut out).unwrap_err().code();
        assert_eq!(out, [7], "a refused event leaves nothing behind");
        code
    }

    #[test]
    fn the_plainest_event_gets_time_id_and_properties() {
        let mut out = Vec::new();
        assert_eq!(event().encode(RECEIVED, LIMITS, &shipped(), &mut out), Ok(None));
        let row = rows(&out).next().unwrap().unwrap();
        assert_eq!((row.time, row.received_at), (RECEIVED.at, RECEIVED.at));
        assert_eq!((row.kind, row.properties), ("page_view", "{}"));
        assert_eq!(Uuid::parse_str(row.id).unwrap().get_version_num(), 7);
    }

    #[test]
    fn ids_made_here_are_all_different_and_say_when() {
        let made = || (0..1_000).map(|_| new_id(RECEIVED.at)).collect::<Vec<_>>();
        let elsewhere = std::thread::spawn(made);
        let mut ids = made();
        ids.extend(elsewhere.join().unwrap());
        for id in &ids {
            let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
            assert_eq!(seconds as i64 * 1000 + i64::from(nanos) / 1_000_000, RECEIVED.at);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
    }

    #[test]
    fn a_client_id_is_kept_and_given_back() {
        let mut out = Vec::new();
        let event = Incoming {
            id: Field::Text("order-1".into()),
            user_id: Field::Integer(42),
            session_id: Field::Text("".into()),
            timestamp: Field::Text("2026-11-23T07:59:00Z".into()),
            ..event()
        };
        assert_eq!(
            event.encode(RECEIVED, LIMITS, &shipped(), &mut out),
            Ok(Some("order-1".into()))
        );
        let row = rows(&out).next().unwrap().unwrap();
        assert_eq!(row.id, "order-1");
        assert_eq!((row.user_id, row.session_id), (Some("42"), None));
        assert_eq!(row.time, RECEIVED.at - 60_000);
    }

    #[test]
    fn each_broken_rule_has_its_code() {
        let text = |text: &str| Field::Text(Cow::Owned(text.to_owned()));
        for kind in ["", "häh", "a/b", &"x".repeat(65)] {
            assert_eq!(refused(&Incoming { kind: text(kind), ..event() }), "invalid_type");
        }
        assert_eq!(refused(&Incoming::default()), "missing_type");
        assert_eq!(refused(&Incoming { kind: Field::Other, ..event() }), "invalid_type");
        for timestamp in [text("noon"), Field::Integer(-1), Field::Float(1e30), Field::Other] {
            assert_eq!(refused(&Incoming { timestamp, ..event() }), "invalid_timestamp");
        }
        let nul = || text("a\0b");
        assert_eq!(refused(&Incoming { user_id: nul(), ..event() }), "invalid_user_id");
        assert_eq!(refused(&Incoming { session_id: nul(), ..event() }), "invalid_session_id");
        assert_eq!(refused(&Incoming { id: nul(), ..event() }), "invalid_id");
        assert_eq!(refused(&Incoming { id: text(&"x".repeat(129)), ..event() }), "invalid_id");
        for (properties, code) in [
            ("[]", "invalid_properties"),
            (r#"{"a":"\u0000"}"#, "invalid_properties"),
            (r#"{"a":{"b":{"c":[]}}}"#, "too_deep"),
        ] {
            let event = Incoming { properties: Some(properties.into()), ..event() };
            assert_eq!(refused(&event), code, "{properties}");
        }
        let flat = Incoming { plain: true, ..event() };
        let shallow = EventLimits { max_depth: 1, ..LIMITS };
        let too_deep = flat.encode(RECEIVED, shallow, &shipped(), &mut Vec::new());
        assert_eq!(too_deep.unwrap_err().code(), "too_deep");
        assert_eq!(refused(&Incoming { size: 1001, ..event() }), "event_too_large");
        assert_eq!(refused(&Incoming { kind: text("purchase"), ..event() }), "invalid_amount");
    }
}
