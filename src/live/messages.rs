//! What actors tell each other of visitors and distinct values.

use std::{collections::BTreeMap, sync::Arc};

use actix::Message;
use jiff::civil::Date;

use crate::{domain::delta::Delta, sink::SinkError};

/// To the counter actor: the visitors of this delta were there, and these distinct values were
/// seen. Answered once the live store has them.
#[derive(Message)]
#[rtype(result = "Result<(), SinkError>")]
pub struct Touch(pub Arc<Delta>);

/// Numbers of different things seen, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Active visitors.
    pub active: u64,
    /// By distinct metric: different values on the business day asked for.
    pub distinct: BTreeMap<String, u64>,
}

/// From the counter actor to the broadcaster: so many there are.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Counted {
    /// Active visitors, and distinct values.
    pub population: Population,
    /// The business day of the distinct values.
    pub day: Date,
}
