//! The lane writer actor.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::mpsc::UnboundedSender;

use super::{BatchReader, Settled, Target, WriteBatch};
use crate::{
    domain::batch::{Batch, BatchId},
    panics,
    retry::Backoff,
};

/// Writes the batches of one lane to one sink, in order, each until it is there.
///
/// - Gets [`WriteBatch`] from the ingest actor, answers with [`Settled`].
/// - Owns nothing that outlives it: the cursors of the spool say what is written, and the guard
///   of the sink what a batch that is written again has to change.
/// - Bounded by: one batch at a time, which the ingest actor sees to.
/// - A panic while it writes a batch, or while it looks, begins that again: the guard keeps a
///   batch from being written twice.
#[derive(Clone)]
pub struct LaneWriter {
    /// Where the batches go.
    target: Arc<dyn Target>,
    /// Where a batch comes from that is not in memory any more.
    reader: BatchReader,
    /// The ingest actor.
    settled: UnboundedSender<Settled>,
    /// The last batch that was written; `None` while one is being written, and before the
    /// first.
    rests_at: Option<BatchId>,
}

/// How often a lane that rests looks whether its sink still has what it was given: a failover
/// may have lost it, and no next batch may come for long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl LaneWriter {
    /// A writer of `target`. It tells trouble where `reader` does, and tries again as that does.
    pub fn new(
        target: Arc<dyn Target>,
        reader: BatchReader,
        settled: UnboundedSender<Settled>,
    ) -> LaneWriter {
        LaneWriter { target, reader, settled, rests_at: None }
    }

    async fn bring(self, write: WriteBatch) -> BatchId {
        let batch = match write.batch {
            Some(batch) => batch,
            None => self.reader.read(write.seq).await,
        };
        self.write(&batch).await;
        batch.id
    }

    async fn write(&self, batch: &Arc<Batch>) {
        let (sink, health) = (self.target.sink().as_str(), &self.reader.health);
        let mut backoff = Backoff::new(&self.reader.retry);
        let started = Instant::now();
        while let Err(e) = self.target.write(batch).await {
            let kind = e.kind.as_str();
            health.trouble(sink, kind, &e.message);
            metrics::counter!("floodmark_sink_errors_total", "sink" => sink, "kind" => kind)
                .increment(1);
            tokio::time::sleep(backoff.pause()).await;
        }
        health.well(sink);
        metrics::histogram!("floodmark_batch_write_seconds", "sink" => sink)
            .record(started.elapsed().as_secs_f64());
    }

    /// Looks, and looks again some time after the look is over.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let (target, rests_at) = (self.target.clone(), self.rests_at);
        let work = async move {
            if let Some(last) = rests_at {
                target.look(last).await;
            }
        };
        // A panic must not end the looking: the next look begins anew.
        ctx.spawn(panics::caught(work).into_actor(self).map(|_, _, ctx| {
            ctx.run_later(LOOK_EVERY, Self::look);
        }));
    }
}

impl Actor for LaneWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(LOOK_EVERY, Self::look);
    }
}

impl Handler<WriteBatch> for LaneWriter {
    type Result = ();

    fn handle(&mut self, write: WriteBatch, ctx: &mut Context<Self>) {
        self.rests_at = None;
        let sink = self.target.sink();
        let writer = self.clone();
        let work = async move {
            let backoff = Backoff::new(&writer.reader.retry);
            let again = || writer.clone().bring(write.clone());
            panics::again(sink.as_str(), &writer.reader.health, backoff, again).await
        };
        ctx.spawn(work.into_actor(self).map(move |id, actor, _| {
            actor.rests_at = Some(id);
            // An ingest actor that has ended needs no word of it.
            let _ = actor.settled.send(Settled { sink, seq: id.seq });
        }));
    }
}
