//! Rejections: why an event was refused.

use super::{MAX_ID, MAX_TYPE};
use crate::domain::{json::JsonFault, metric::AmountFault};

/// Why an event was refused. [`Rejection::code`] is what clients are told, and part of the
/// contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is a number, a list or another kind of JSON.
    #[error("the event is not a JSON object")]
    NotAnObject,
    /// It is no JSON; with what the parser says.
    #[error("malformed: {0}")]
    Malformed(String),
    /// It has no `type`.
    #[error("type is missing")]
    MissingType,
    /// Its `type` is none, see [`is_type`].
    #[error("type must be a string of 1 to {MAX_TYPE} characters of A-Z a-z 0-9 _ . : - or space")]
    InvalidType,
    /// Its `type` is not one of those that its key may send.
    #[error("this key may not send events of this type; see its event types")]
    TypeNotAllowed,
    /// Its `timestamp` is no moment.
    #[error("timestamp must be Unix time (s, ms, µs or ns) or RFC 3339")]
    InvalidTimestamp,
    /// Its `id` can't be kept.
    #[error("id must be a string of 1 to {MAX_ID} bytes, or a whole number")]
    InvalidId,
    /// Its `properties` are another kind of JSON.
    #[error("properties must be a JSON object")]
    PropertiesNotAnObject,
    /// Its `properties` are JSON that PostgreSQL would refuse.
    #[error("properties: {0}")]
    InvalidProperties(JsonFault),
    /// A money metric can't count it.
    #[error("{0}")]
    InvalidAmount(AmountFault),
    /// Its properties are not as the `[[schema]]` of its type says; with the path and the rule.
    #[error("{0}")]
    SchemaViolated(String),
    /// It has so many bytes, more than so many.
    #[error("the event has {0} bytes, more than {1}")]
    TooLarge(usize, usize),
}

impl Rejection {
    /// Every code that [`Rejection::code`] gives.
    pub const CODES: &'static [&'static str] = &[
        "event_too_large",
        "invalid_amount",
        "invalid_id",
        "invalid_properties",
        "invalid_timestamp",
        "invalid_type",
        "malformed",
        "missing_type",
        "not_an_object",
        "schema_violated",
        "too_deep",
        "type_not_allowed",
    ];

    /// The code in answers, dead letters and `floodmark_events_rejected_total{code}`.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::NotAnObject => "not_an_object",
            Rejection::Malformed(_) => "malformed",
            Rejection::MissingType => "missing_type",
            Rejection::InvalidType => "invalid_type",
            Rejection::TypeNotAllowed => "type_not_allowed",
            Rejection::InvalidTimestamp => "invalid_timestamp",
            Rejection::InvalidId => "invalid_id",
            Rejection::PropertiesNotAnObject => "invalid_properties",
            Rejection::InvalidProperties(JsonFault::TooDeep(_)) => "too_deep",
            Rejection::InvalidProperties(_) => "invalid_properties",
            Rejection::InvalidAmount(_) => "invalid_amount",
            Rejection::SchemaViolated(_) => "schema_violated",
            Rejection::TooLarge(..) => "event_too_large",
        }
    }
}
