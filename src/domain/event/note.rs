//! Notes: what was done to an event that was accepted, where it was not taken exactly as it came.

use std::borrow::Cow;

/// Something that a sender would want to know of an event that was accepted. The answer to its
/// request says it, with [`Note::code`] and the note in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Its `timestamp` can't be the time of an event.
    #[error("timestamp is 0, before 2000 or after 9999: the time of receipt was taken")]
    TimestampReplaced,
    /// Its `userId` or `sessionId` (the field is named) can't be kept.
    #[error("{0} is no string of at most 256 bytes: the event was kept without it")]
    VisitorDropped(&'static str),
    /// A string held NUL or half of a surrogate pair, which no database takes.
    #[error("NUL characters and halves of surrogate pairs were replaced by U+FFFD")]
    TextReplaced,
    /// An object in its properties had the same key twice.
    #[error("of a key that stands twice in properties, the last value was kept")]
    KeyRepeated,
    /// A member with another name was taken for a field of an event.
    #[error("{from:?} was read as {to:?}")]
    FieldRenamed {
        /// The name that the sender used.
        from: Cow<'static, str>,
        /// The field of an event.
        to: &'static str,
    },
    /// A member is no field of an event.
    #[error("{0:?} is no field of an event: it was kept as a property")]
    FieldMoved(String),
    /// It is an order or refund, and another source is the revenue source.
    #[error(
        "another source has the revenue: the event was kept as reported, and counts in no metric"
    )]
    NotRevenueSource,
    /// Its properties are not as the `[[schema]]` of its type says; with the path and the rule.
    #[error("{0}")]
    SchemaViolated(String),
    /// Its visitor refuses to be analysed.
    #[error("the visitor refuses to be analysed: the event was kept without what says who that is")]
    IdentityDropped,
    /// A metric can't add a property up.
    #[error("properties.{property} is no number that the metric {metric:?} can add up")]
    NotSummed {
        /// The property.
        property: String,
        /// The metric.
        metric: String,
    },
}

impl Note {
    /// The code in answers.
    pub fn code(&self) -> &'static str {
        match self {
            Note::TimestampReplaced => "timestamp_replaced",
            Note::VisitorDropped("userId") => "user_id_dropped",
            Note::VisitorDropped(_) => "session_id_dropped",
            Note::TextReplaced => "text_replaced",
            Note::KeyRepeated => "key_repeated",
            Note::FieldRenamed { .. } => "field_renamed",
            Note::FieldMoved(_) => "field_moved",
            Note::NotRevenueSource => "not_revenue_source",
            Note::SchemaViolated(_) => "schema_violated",
            Note::IdentityDropped => "identity_dropped",
            Note::NotSummed { .. } => "not_summed",
        }
    }
}
