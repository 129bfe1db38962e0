//! The way of an event behind the door: intake, the spool's writer, and the writers of both
//! sinks.
//!
//! ```text
//!  http ──Append──> IngestActor ──Work──> committer thread
//!                     │      ^ <─Committed──┘
//!          WriteBatch │      │ Settled
//!                     v      │
//!              StoreWriter x 4, LiveWriter x 4 ──Touch──> CounterActor
//! ```
//!
//! The two channels that lead back to the ingest actor are made first. So each part is made
//! whole, with all that it needs, before the next.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{StartError, failed, storage::Storage};
use crate::{
    broadcast::Viewers,
    config::Config,
    counter::CounterActor,
    domain::batch::LANES,
    ingest::{
        actor::{self, IngestActor},
        committer::Committer,
        dispatch::{Dispatch, Settled},
    },
    live::{redis::claims::Claims, writer::LiveWriter},
    panics::Alarm,
    spool::{Opened, Sink},
    store::writer::StoreWriter,
};

/// The running pipeline.
pub struct Pipeline {
    /// Where requests are handed over.
    pub ingest: Addr<IngestActor>,
    /// Ids shared with other nodes, where `dedupe.shared` asks for it.
    pub claims: Option<Arc<Claims>>,
}

/// Starts the actors: one thread for intake, one for the writers of each sink, one that
/// writes and syncs the spool.
pub fn start(
    config: &Config,
    storage: &Storage,
    opened: Opened,
    viewers: &Viewers,
    alarm: &Alarm,
) -> Result<Pipeline, StartError> {
    let (settled, settlements) = mpsc::unbounded_channel();
    let (committed, commits) = mpsc::unbounded_channel();
    let sinks = [
        store_writers(config, storage, &settled),
        live_writers(config, storage, viewers, &settled),
    ];
    let committer = Committer::start(
        opened.writer,
        committed,
        Duration::from_millis(config.spool.cursor_interval_ms),
        alarm.watch("the committer"),
    )
    .map_err(failed("committer thread"))?;
    let parts = actor::Parts {
        node: storage.node,
        spool: storage.spool.clone(),
        recovery: opened.recovery,
        sinks,
        committer,
        commits,
        settlements,
        health: storage.health.clone(),
        watch: alarm.watch("the ingest actor"),
    };
    let for_intake = config.clone();
    let ingest = IngestActor::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        IngestActor::new(&for_intake, parts)
    });
    let claims = shared_ids(config, storage, &ingest)?;
    Ok(Pipeline { ingest, claims })
}

/// The writers of the store, on a thread of their own.
fn store_writers(
    config: &Config,
    storage: &Storage,
    settled: &UnboundedSender<Settled>,
) -> Dispatch {
    let thread = Arbiter::new();
    let writers = (0..LANES).map(|_| {
        let writer = StoreWriter {
            store: storage.store.clone(),
            spool: storage.spool.clone(),
            settled: settled.clone(),
            health: storage.health.clone(),
            retry: config.retry.clone(),
        };
        StoreWriter::start_in_arbiter(&thread.handle(), |_| writer).recipient()
    });
    Dispatch::new(Sink::Store, writers.collect())
}

/// The writers of the live side, with the counter actor, on a thread of their own.
fn live_writers(
    config: &Config,
    storage: &Storage,
    viewers: &Viewers,
    settled: &UnboundedSender<Settled>,
) -> Dispatch {
    let thread = Arbiter::new();
    let counter = CounterActor {
        live: storage.live.clone(),
        broadcaster: viewers.population(),
        window: config.live.active_window_s as i64 * 1000,
        zone: storage.zone.clone(),
    };
    let counter = CounterActor::start_in_arbiter(&thread.handle(), |_| counter);
    let writers = (0..LANES).map(|_| {
        let writer = LiveWriter {
            live: storage.live.clone(),
            store: storage.store.clone(),
            spool: storage.spool.clone(),
            counter: counter.clone(),
            settled: settled.clone(),
            health: storage.health.clone(),
            retry: config.retry.clone(),
            rests_at: None,
        };
        LiveWriter::start_in_arbiter(&thread.handle(), |_| writer).recipient()
    });
    Dispatch::new(Sink::Live, writers.collect())
}

/// The index of ids that all nodes share in Redis, where `dedupe.shared` asks for it.
fn shared_ids(
    config: &Config,
    storage: &Storage,
    ingest: &Addr<IngestActor>,
) -> Result<Option<Arc<Claims>>, StartError> {
    if !config.dedupe.shared {
        return Ok(None);
    }
    let claims =
        Claims::new(config, storage.node, storage.health.clone()).map_err(failed("redis"))?;
    let claims = Arc::new(claims);
    // In the background: Redis may be away, and a claim waits until it is registered.
    tokio::spawn(claims.clone().register(ingest.clone()));
    Ok(Some(claims))
}
