//! What was learnt of the properties of events, by type and source: how many events had each, of which
//! JSON type, when. It is folded from the ledger with the rollups ([`super::rollup`]), into minutes that
//! are kept for a day and into hours that are kept for good.

use async_trait::async_trait;

use crate::{
    domain::{
        shape::ShapeCell,
        time::{DAY, HOUR, Millis},
    },
    sink::SinkError,
};

/// For how long minutes are kept, in ms.
pub const KEEP_MINUTES: Millis = DAY;
/// After so long without an event, in ms, a property gives up its place among
/// `schemas.max_properties`, and a type and source its own among `schemas.max_schemas`.
pub const KEEP_UNSEEN: Millis = 30 * DAY;

/// Which cells are asked for.
#[derive(Clone, Debug, Default)]
pub struct ShapesAsked {
    /// From this moment on, Unix ms: a full minute, or a full hour where `step` is of hours.
    pub from: Millis,
    /// Up to this moment, Unix ms.
    pub to: Millis,
    /// The cells of so long a stretch are added up, ms: some minutes, or some hours. Hours are read
    /// where it is a multiple of an hour.
    pub step: Millis,
    /// Of this type of events only.
    pub kind: Option<String>,
    /// Of this source only.
    pub source: Option<String>,
}

impl ShapesAsked {
    /// The table to read.
    pub(crate) fn table(&self) -> &'static str {
        match self.step % HOUR == 0 {
            true => "schema_hours",
            false => "schema_minutes",
        }
    }
}

/// A property that is known, or, with an empty name, a type and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProperty {
    /// The type of the events.
    pub kind: String,
    /// The name of their source.
    pub source: String,
    /// The property's name.
    pub property: String,
    /// The minute of the first event that had it, Unix ms.
    pub first: Millis,
    /// The minute of the last one.
    pub last: Millis,
}

/// Reads what was learnt.
#[async_trait]
pub trait Schemas: Send + Sync + 'static {
    /// The sums of the cells in each stretch of time, in the order of type, source, property and time.
    /// Stretches without an event are left out. `None` where they would be more than [`MAX_CELLS`].
    async fn shapes(&self, asked: &ShapesAsked) -> Result<Option<Vec<ShapeCell>>, SinkError>;

    /// The properties that are known, of one type and source where they are named.
    async fn known_properties(
        &self,
        kind: Option<&str>,
        source: Option<&str>,
    ) -> Result<Vec<KnownProperty>, SinkError>;

    /// Forgets minutes before a moment, and properties that no event has had since another (Unix ms).
    async fn forget(&self, minutes: Millis, unseen: Millis) -> Result<(), SinkError>;
}

/// The most cells that one read may return: some tens of MiB.
pub const MAX_CELLS: usize = 200_000;

/// The columns of counts, with those of JSON types in their order.
pub(crate) const COUNTS: [&str; 8] =
    ["seen", "strings", "numbers", "booleans", "nulls", "objects", "arrays", "others"];

/// SQL for both stores: the sums of the cells in each stretch, one more than there may be. The parameters
/// are from, step, to, and the type and the source where they are given: SQLite numbers them in the order
/// in which they first stand here. A condition that is always true would keep both from their index.
pub(crate) fn select(asked: &ShapesAsked) -> String {
    // The sums of Postgres are numeric, which its driver does not read.
    let sums = COUNTS.map(|column| format!("CAST(sum({column}) AS bigint)")).join(", ");
    let named = [asked.kind.as_ref().map(|_| "type"), asked.source.as_ref().map(|_| "source")];
    let conditions: String = (4..)
        .zip(named.into_iter().flatten())
        .map(|(number, column)| format!(" AND {column} = ${number}"))
        .collect();
    format!(
        "SELECT type, source, property, $1 + (at - $1) / $2 * $2 AS stretch, {sums} FROM {}
         WHERE at >= $1 AND at < $3{conditions}
         GROUP BY type, source, property, stretch ORDER BY type, source, property, stretch
         LIMIT {}",
        asked.table(),
        MAX_CELLS + 1
    )
}

/// SQL for both stores: the properties of a type and source, where they are given.
pub(crate) const KNOWN: &str = "SELECT type, source, property, first_seen, last_seen
    FROM schema_properties WHERE (CAST($1 AS text) IS NULL OR type = $1)
        AND (CAST($2 AS text) IS NULL OR source = $2) ORDER BY type, source, property";

/// What a cell that comes again adds to its columns, for both stores.
pub(crate) fn add_up(table: &str) -> String {
    COUNTS.map(|column| format!("{column} = {table}.{column} + excluded.{column}")).join(", ")
}
