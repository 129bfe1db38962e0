//! The shape of events: by type and source, how many there were and how many had which property, by the
//! JSON type of its value. [`learn`] reads it off the rows of a batch, [`sums`] adds up what batches say,
//! and [`drift`] finds where a property is not what it used to be.
//!
//! A shape is no part of the delta: nothing of it is shown live, so it would only make the messages
//! between nodes longer. It travels beside the delta in the ledger row of its batch.

mod drift;
mod learn;
mod members;
mod sums;

use serde::{Deserialize, Serialize};

use crate::domain::time::Millis;

pub use self::{
    drift::{Drift, DriftRule, Lost, Standing, Stretch, drift_of, standing},
    learn::shape_of,
    sums::{Catalogue, LearntCells, SchemaLimits, ShapeSums},
};

/// The most properties that are learnt of a type and source in one batch, and that are looked at of
/// one event twice as many. `schemas.max_properties` can't be more.
pub const MAX_PROPERTIES: usize = 256;
/// The most groups (type, source, minute) that one batch is split into.
const MAX_GROUPS: usize = 512;
/// The longest name of a property that is learnt, in bytes.
const MAX_PROPERTY_NAME: usize = 128;

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JsonType {
    /// Text.
    String,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl JsonType {
    /// In the order of [`TypeCounts`].
    pub const ALL: [JsonType; 6] = [
        JsonType::String,
        JsonType::Number,
        JsonType::Boolean,
        JsonType::Null,
        JsonType::Object,
        JsonType::Array,
    ];

    /// As JSON Schema calls it.
    pub fn name(self) -> &'static str {
        match self {
            JsonType::String => "string",
            JsonType::Number => "number",
            JsonType::Boolean => "boolean",
            JsonType::Null => "null",
            JsonType::Object => "object",
            JsonType::Array => "array",
        }
    }
}

/// How many values there were of each type, in the order of [`JsonType::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCounts(pub [u64; 6]);

impl TypeCounts {
    /// How many of one type.
    pub fn of(&self, of: JsonType) -> u64 {
        self.0[of as usize]
    }

    /// Of all types.
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Of all types but `null`: a property that is null says as little as one that is not there.
    pub fn present(&self) -> u64 {
        self.all() - self.of(JsonType::Null)
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &TypeCounts) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The type that most values had, `null` left out; `None` where there was no value.
    pub fn usual(&self) -> Option<JsonType> {
        let types = JsonType::ALL.into_iter().filter(|of| *of != JsonType::Null);
        types.max_by_key(|of| self.of(*of)).filter(|of| self.of(*of) > 0)
    }
}

/// What a batch says of the shape of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// One for each type, source and minute.
    pub groups: Vec<ShapeGroup>,
    /// Events that are in no group, since there were too many groups.
    pub unlearnt: u64,
}

/// Events of one type, source and minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeGroup {
    /// The minute of the event time, in minutes since 1970.
    pub minute: i64,
    /// The type of the events.
    pub kind: String,
    /// The name of their source.
    pub source: String,
    /// How many there were.
    pub events: u64,
    /// Values of properties that are not among `properties`, since there were too many, or their
    /// names were too long.
    pub others: u64,
    /// Each property that came, and how many values it had of each type.
    pub properties: Vec<(String, TypeCounts)>,
}

/// What a store keeps of one property, or of the events of a type and source as a whole, for a minute
/// or a longer stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShapeCell {
    /// The type of the events.
    pub kind: String,
    /// The name of their source.
    pub source: String,
    /// The property's name; empty: the events as a whole.
    pub property: String,
    /// When the stretch begins, Unix ms.
    pub at: Millis,
    /// How many events, or how many of them had the property.
    pub seen: u64,
    /// The values by type; nothing for the events as a whole.
    pub types: TypeCounts,
    /// Of the events as a whole: values of properties that there was no room for.
    pub others: u64,
}

/// A shape that this version can't read.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// Written by another version.
    #[error("shape of unknown version {0}")]
    Version(u8),
    /// Not a shape.
    #[error("malformed shape: {0}")]
    Malformed(#[from] postcard::Error),
}

/// The version that is written.
const VERSION: u8 = 1;

impl Shape {
    /// One byte with the version, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain data always encodes")
    }

    /// Reads back what [`Shape::encode`] wrote.
    ///
    /// # Errors
    /// It is none, or was written by another version.
    pub fn decode(bytes: &[u8]) -> Result<Shape, ShapeError> {
        match bytes.split_first() {
            Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
            Some((&found, _)) => Err(ShapeError::Version(found)),
            None => Err(ShapeError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
        }
    }
}

/// Whether a property of this name can be learnt: one that is not too long for an index, and that
/// PostgreSQL takes as text.
fn is_learnable(name: &str) -> bool {
    (1..=MAX_PROPERTY_NAME).contains(&name.len()) && !name.contains('\0')
}

#[cfg(test)]
mod tests;
