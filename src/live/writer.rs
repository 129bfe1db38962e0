//! The live writer actor.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    config,
    counter::{CounterActor, Touch},
    domain::{
        batch::{Batch, BatchId, LANES},
        delta::Delta,
    },
    failpoint::kill_point,
    ingest::dispatch::{Settled, WriteBatch},
    live::{Applied, LiveError, LiveErrorKind, LiveStore},
    panics,
    retry::Backoff,
    spool::{Sink, Spool},
    store::{Store, writer::read},
    telemetry::health::Health,
};

/// Counts the batches of one lane, in order, each until it is counted. Where the live side
/// has lost earlier batches, it counts these again first, from the spool or the ledger.
///
/// - Gets [`WriteBatch`] from the ingest actor, answers with [`Settled`]; sends [`Touch`] to
///   the counter actor.
/// - Bounded by: one batch at a time, which the ingest actor sees to.
/// - A panic while it counts a batch, or while it looks, begins that again: the guard keeps a
///   batch from being counted twice.
#[derive(Clone)]
pub struct LiveWriter {
    /// Where the counters are.
    pub live: Arc<dyn LiveStore>,
    /// The ledger, for batches that have left the spool.
    pub store: Arc<dyn Store>,
    /// Where a batch is read from when it is not in memory any more.
    pub spool: Spool,
    /// The active-session sets.
    pub counter: Addr<CounterActor>,
    /// The ingest actor.
    pub settled: UnboundedSender<Settled>,
    /// Where trouble is told.
    pub health: Health,
    /// How to try again.
    pub retry: config::RetryConfig,
    /// The last batch that was counted; `None` while one is being written.
    pub rests_at: Option<BatchId>,
}

/// How often a lane that rests looks whether the live side still has what it was given: a
/// failover may have lost it, and no next batch may come for long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Actor for LiveWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(LOOK_EVERY, Self::look);
    }
}

impl Handler<WriteBatch> for LiveWriter {
    type Result = ();

    fn handle(&mut self, write: WriteBatch, ctx: &mut Context<Self>) {
        self.rests_at = None;
        let writer = self.clone();
        let work = async move {
            let again = || writer.clone().write(write.clone());
            panics::again("live", &writer.health, Backoff::new(&writer.retry), again).await
        };
        ctx.spawn(work.into_actor(self).map(|id, actor, _| {
            let seq = id.seq;
            actor.rests_at = Some(id);
            // An ingest actor that has ended needs no word of it.
            let _ = actor.settled.send(Settled { sink: Sink::Live, seq });
        }));
    }
}

impl LiveWriter {
    async fn write(self, write: WriteBatch) -> BatchId {
        let started = Instant::now();
        let mut backoff = Backoff::new(&self.retry);
        let batch = match write.batch {
            Some(batch) => batch,
            None => read(&self.spool, write.seq, &self.health, backoff.clone()).await,
        };
        loop {
            match self.count(&batch).await {
                Ok(()) => break,
                Err(e) => {
                    let kind = e.kind.to_string();
                    self.health.trouble("live", &kind, &e.message);
                    metrics::counter!("floodmark_sink_errors_total", "sink" => "live", "kind" => kind)
                        .increment(1);
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
        kill_point!("live-counted");
        self.health.well("live");
        metrics::histogram!("floodmark_batch_write_seconds", "sink" => "live")
            .record(started.elapsed().as_secs_f64());
        batch.id
    }

    /// Counts again what the live side has lost while this lane rests. What fails now is
    /// tried again at the next look.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let writer = self.clone();
        let work = async move {
            let Some(rests_at) = writer.rests_at else { return };
            let head = writer.live.head(rests_at.node, rests_at.lane()).await;
            let Ok(last) = head else { return };
            if last < rests_at.seq {
                let next = BatchId { seq: rests_at.seq + LANES, ..rests_at };
                if let Err(e) = writer.catch_up(next, last).await {
                    tracing::debug!(error = %e, "catching up while resting");
                }
            }
        };
        ctx.spawn(panics::caught(work).into_actor(self).map(|_, _, ctx| {
            ctx.run_later(LOOK_EVERY, Self::look);
        }));
    }

    async fn count(&self, batch: &Batch) -> Result<(), LiveError> {
        // Visitors first: noting them twice changes nothing, and once the batch is counted
        // nobody would come back for them.
        self.touch(&batch.delta).await?;
        loop {
            match self.live.apply(batch.id, batch.sealed_at, &batch.delta).await? {
                Applied::Counted => {
                    metrics::counter!("floodmark_events_counted_total").increment(batch.events);
                    return Ok(());
                }
                Applied::AlreadyCounted => return Ok(()),
                Applied::Gap { last } => self.catch_up(batch.id, last).await?,
            }
        }
    }

    /// Counts the batches of the lane between `last` and `id`.
    async fn catch_up(&self, id: BatchId, last: u64) -> Result<(), LiveError> {
        let first = if last == 0 { first_of_lane(id.lane()) } else { last + LANES };
        tracing::info!(node = %id.node, first, before = id.seq, "the live side lacks batches: counting them again");
        for seq in (first..id.seq).step_by(LANES as usize) {
            let (sealed_at, delta) = self.lost(BatchId { seq, ..id }).await?;
            self.touch(&delta).await?;
            self.live.apply(BatchId { seq, ..id }, sealed_at, &delta).await?;
        }
        Ok(())
    }

    /// A batch that had been counted once: still in the spool, else in the ledger; in
    /// neither only where it has left both for good, and then it counts nothing.
    async fn lost(&self, id: BatchId) -> Result<(i64, Arc<Delta>), LiveError> {
        if self.spool.oldest().is_some_and(|oldest| oldest <= id.seq) {
            let backoff = Backoff::new(&self.retry);
            let batch = read(&self.spool, id.seq, &self.health, backoff).await;
            return Ok((batch.sealed_at, batch.delta.clone()));
        }
        let unavailable = |e: crate::store::StoreError| LiveError {
            kind: LiveErrorKind::Unavailable,
            message: format!("the ledger, needed to count batch {} again: {e}", id.seq),
        };
        let delta = self.store.ledger_delta(id).await.map_err(unavailable)?;
        Ok((0, Arc::new(delta.unwrap_or_default())))
    }

    async fn touch(&self, delta: &Arc<Delta>) -> Result<(), LiveError> {
        let sent = self.counter.send(Touch(delta.clone())).await;
        sent.unwrap_or_else(|e| {
            Err(LiveError {
                kind: LiveErrorKind::Unavailable,
                message: format!("the counter actor: {e}"),
            })
        })
    }
}

fn first_of_lane(lane: u64) -> u64 {
    if lane == 0 { LANES } else { lane }
}
