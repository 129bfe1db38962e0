//! Starts the actors that an event passes after HTTP has accepted it: intake, the writer of the
//! spool, and the writers of both sinks.
//!
//! ```text
//!  http ──Append──> IngestActor ──Work──> committer thread
//!                     │      ^ <─Committed──┘
//!          WriteBatch │      │ Settled
//!                     v      │
//!        LaneWriter x 4 of the store, x 4 of the live side ──Touch──> CounterActor
//! ```
//!
//! Two channels lead back to the ingest actor (`Committed`, `Settled`). They are made first, so
//! that each part gets all that it needs when it is made.

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
        actor::{IngestActor, IngestSetup},
        committer::Committer,
    },
    live::{
        CounterMailbox,
        redis::claims::{Claims, DEDUPE},
        tails::Tails,
        target::LiveTarget,
    },
    panics::{self, Alarm},
    retry::Backoff,
    sink::{BatchReader, Dispatch, LaneWriter, Settled, Target},
    spool::{Opened, OwnTypesFile},
    store::store_target::StoreTarget,
    telemetry::queue,
};

/// The running pipeline.
pub struct Pipeline {
    /// The actor that requests are handed over to.
    pub ingest: Addr<IngestActor>,
    /// The event ids that are shared with other nodes; `None` without `dedupe.shared`.
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
    let reader = storage.reader(config);
    // Each sink has a thread of its own, so that a busy one does not hold the other up.
    let (store_thread, live_thread) = (Arbiter::new(), Arbiter::new());
    let store = store_target(config, storage, &reader);
    let tails = Tails::new(reader.clone(), storage.stores.batches.clone(), store.miscounted());
    let live = live_target(config, storage, viewers, tails, &reader, &live_thread);
    let sinks = [
        writers(&store_thread, store, &reader, &settled),
        writers(&live_thread, live, &reader, &settled),
    ];
    let committer = Committer::start(
        opened.writer,
        committed,
        Duration::from_millis(config.spool.cursor_interval_ms),
        alarm.watch("the committer"),
    )
    .map_err(failed("committer thread"))?;
    let setup = IngestSetup {
        node: storage.node,
        id_windows: super::memory::id_windows(config).map_err(StartError::new)?,
        shares: config.memory_shares().map_err(StartError::new)?,
        spool: storage.spool.clone(),
        recovery: opened.recovery,
        types: OwnTypesFile::open(storage.data_dir.path()),
        elsewhere: Arc::new({
            let mirror = storage.mirror.clone();
            move || mirror.counted_types()
        }),
        sinks,
        committer,
        commits,
        settlements,
        health: storage.health.clone(),
        watch: alarm.watch("the ingest actor"),
    };
    let for_intake = config.clone();
    let ingest = IngestActor::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        IngestActor::new(&for_intake, setup)
    });
    let claims = shared_ids(config, storage, &ingest)?;
    Ok(Pipeline { ingest, claims })
}

/// The store as a sink. Where it finds that one run went on twice, the live counters are rebuilt.
fn store_target(config: &Config, storage: &Storage, reader: &BatchReader) -> Arc<StoreTarget> {
    let target = StoreTarget::new(
        storage.stores.batches.clone(),
        reader.clone(),
        config.rules.metric_set.clone(),
    );
    let (miscounted, live) = (target.miscounted(), storage.live.clone());
    let retry = config.retry.clone();
    tokio::spawn(async move {
        loop {
            miscounted.notified().await;
            let mut backoff = Backoff::new(&retry);
            // A rebuild that panics is begun again, as one that fails is.
            loop {
                match panics::caught("rebuild", live.rebuild()).await {
                    Some(Ok(())) => break,
                    Some(Err(error)) => {
                        tracing::warn!(%error, "can't rebuild the live counters yet")
                    }
                    None => {}
                }
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    });
    Arc::new(target)
}

/// A writer of `target` for each lane, on `thread`.
fn writers(
    thread: &Arbiter,
    target: Arc<dyn Target>,
    reader: &BatchReader,
    settled: &UnboundedSender<Settled>,
) -> Dispatch {
    let sink = target.sink();
    for lane in 0..LANES {
        // A writer has one batch at a time, so what waits for it waits in the spool.
        queue::watch(format!("{sink}-{lane}"), reader.spool.lane_batches(sink, lane));
    }
    let writers = (0..LANES).map(|lane| {
        let writer = LaneWriter::new(target.clone(), lane, reader.clone(), settled.clone());
        LaneWriter::start_in_arbiter(&thread.handle(), |_| writer).recipient()
    });
    Dispatch::new(sink, writers.collect())
}

/// The live side as a sink, with the counter actor that notes its visitors on `thread`.
fn live_target(
    config: &Config,
    storage: &Storage,
    viewers: &Viewers,
    tails: Tails,
    reader: &BatchReader,
    thread: &Arbiter,
) -> Arc<LiveTarget> {
    let counter = CounterActor {
        live: storage.live.clone(),
        broadcaster: viewers.population(),
        window: config.live.active_window_s as i64 * 1000,
        zone: storage.zone.clone(),
    };
    let counter = CounterActor::start_in_arbiter(&thread.handle(), |_| counter);
    Arc::new(LiveTarget {
        live: storage.live.clone(),
        visitors: Arc::new(CounterMailbox::of(counter.recipient())),
        reader: reader.clone(),
        ledger: storage.stores.ledger.clone(),
        tails,
    })
}

/// The index of event ids that all nodes share in Redis; `None` without `dedupe.shared`.
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
    // This runs in the background, since Redis may be down. A claim waits until it is done.
    tokio::spawn(panics::lasting(DEDUPE, {
        let (claims, ingest) = (claims.clone(), ingest.clone());
        move || claims.clone().register(ingest.clone())
    }));
    Ok(Some(claims))
}
