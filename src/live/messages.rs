//! The messages about visitors and distinct values.

use std::{collections::BTreeMap, sync::Arc};

use actix::{Message, Recipient};
use async_trait::async_trait;
use jiff::civil::Date;

use crate::{
    domain::delta::Delta,
    sink::{SinkError, SinkErrorKind},
    telemetry::queue::{Depth, QueuePlace},
};

/// From the live target to the counter actor: note the visitors and distinct values of this delta.
/// It is answered once the live store has them.
#[derive(Message)]
#[rtype(result = "Result<(), SinkError>")]
pub struct Touch {
    /// The delta of a batch.
    pub delta: Arc<Delta>,
    /// Its place among what waits for the actor.
    pub place: QueuePlace,
}

/// Notes visitors and distinct values before a batch is counted.
#[async_trait]
pub trait NotesVisitors: Send + Sync + 'static {
    /// Notes those of a delta. To note them twice changes nothing.
    async fn note(&self, delta: &Arc<Delta>) -> Result<(), SinkError>;
}

/// The way to the counter actor.
pub struct CounterMailbox {
    counter: Recipient<Touch>,
    depth: Depth,
}

impl CounterMailbox {
    /// The way to this actor. What waits there is shown to operators.
    pub fn of(counter: Recipient<Touch>) -> CounterMailbox {
        CounterMailbox { counter, depth: Depth::of("counter") }
    }
}

#[async_trait]
impl NotesVisitors for CounterMailbox {
    async fn note(&self, delta: &Arc<Delta>) -> Result<(), SinkError> {
        let touch = Touch { delta: delta.clone(), place: self.depth.enter() };
        let sent = self.counter.send(touch).await;
        sent.unwrap_or_else(|e| {
            let message = format!("the counter actor did not answer: {e}");
            Err(SinkError::new(SinkErrorKind::Unavailable, message))
        })
    }
}

/// How many different visitors and values were seen, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Active visitors.
    pub active: u64,
    /// Whether `active` is an estimate, since they are more than there is room for.
    pub approximate: bool,
    /// By distinct metric, the number of different values on the business day asked for.
    pub distinct: BTreeMap<String, u64>,
}

/// From the counter actor to the broadcaster: the newest count.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Counted {
    /// The numbers of active visitors and of distinct values.
    pub population: Population,
    /// The business day of the distinct values.
    pub day: Date,
}
