//! Why a number has changed: the smallest set of conditions on properties that accounts for it, such as
//! `gateway=adyen` with `country=DE`.
//!
//! ```text
//!  events of both spans ─> properties that tell anything ─> leaves ─> conjunctions ─> causes
//!        [events]                   [properties]           [leaves]       [search]
//! ```
//!
//! - A **leaf** is one combination of the values of at most five properties, with what it had before and
//!   what it has now.
//! - A **conjunction** asks for the values of up to three of them, and so takes some of the leaves.
//! - A **cause** is a conjunction that explains the change with one number: in all its leaves the same part
//!   of the attempts fails that did not fail before (or the count has the same factor), and all other leaves
//!   are as they were. Of all conjunctions the one under which the data are most likely is taken, then the
//!   next one beside it.
//!
//! The model judges width by itself. A conjunction that is too wide has leaves that did not change, one that
//! is too narrow leaves some that did unexplained; both cost likelihood. docs/INSIGHT.md has the method, the
//! scores on real incidents and the limits.

mod events;
mod expected;
mod leaves;
mod named;
mod properties;
mod search;
#[cfg(test)]
mod tests;

pub use self::{
    events::{SampledEvent, Slice},
    leaves::{Leaf, Leaves, Part, SLICES},
    named::NamedCause,
    properties::leaves_of,
    search::{Cause, Found, Model, Tuning, causes_of},
};

/// The value of a property that an event does not have.
pub const NONE: &str = "(none)";
