//! A field of an event, as its sender wrote it.

use std::borrow::Cow;

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

impl<'a> Field<'a> {
    /// This field, or another where this one is absent.
    pub fn or(self, other: Field<'a>) -> Field<'a> {
        if self == Field::Absent { other } else { self }
    }

    /// The same field, which borrows from nothing.
    pub fn into_owned(self) -> Field<'static> {
        match self {
            Field::Absent => Field::Absent,
            Field::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Field::Integer(number) => Field::Integer(number),
            Field::Float(number) => Field::Float(number),
            Field::Other => Field::Other,
        }
    }
}
