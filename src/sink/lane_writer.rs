//! The lane writer actor, which writes the batches of one lane to one sink.

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
    telemetry::otlp::spans,
};

/// Writes the batches of one lane to one sink, in order. It tries each batch until the sink has it.
///
/// - Gets [`WriteBatch`] from the ingest actor, answers with [`Settled`].
/// - Owns nothing that outlives it: the cursors of the spool say which batches are written, and the
///   guard of the sink makes sure that a batch which is written again changes nothing.
/// - Bounded by: one batch at a time, which the ingest actor sees to.
/// - A panic while it writes a batch, or while it looks at the sink, makes it begin that again. The
///   guard keeps a batch from being written twice.
#[derive(Clone)]
pub struct LaneWriter {
    /// Where the batches go.
    target: Arc<dyn Target>,
    /// Reads batches that are not in memory any more.
    reader: BatchReader,
    /// Leads to the ingest actor.
    settled: UnboundedSender<Settled>,
    /// The lane that it writes.
    lane: u64,
    /// Whether it has nothing to write.
    rests: bool,
}

/// How often a lane that has nothing to write looks whether its sink still has what it was given. A
/// failover may have lost it, and the next batch, which would show that, may not come for long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl LaneWriter {
    /// A writer of one lane of `target`. It reports trouble to the health of `reader`, and tries again as the
    /// retry settings of `reader` say.
    pub fn new(
        target: Arc<dyn Target>,
        lane: u64,
        reader: BatchReader,
        settled: UnboundedSender<Settled>,
    ) -> LaneWriter {
        LaneWriter { target, lane, reader, settled, rests: true }
    }

    /// Gets the batch and writes it. It takes a clone of the actor, since it runs beside it.
    async fn bring(self, write: WriteBatch) -> BatchId {
        let batch = match write.batch {
            Some(batch) => batch,
            None => self.reader.read(write.seq).await,
        };
        self.write(&batch).await;
        batch.id
    }

    /// Tries to write a batch until the sink has it.
    async fn write(&self, batch: &Arc<Batch>) {
        let (sink, health) = (self.target.sink().as_str(), &self.reader.health);
        let mut backoff = Backoff::new(&self.reader.retry);
        let started = Instant::now();
        let mut tries = 1;
        while let Err(e) = self.target.write(batch).await {
            let kind = e.kind.as_str();
            health.trouble(sink, kind, &e.message);
            metrics::counter!("floodmark_sink_errors_total", "sink" => sink, "kind" => kind)
                .increment(1);
            tries += 1;
            tokio::time::sleep(backoff.pause()).await;
        }
        spans::written(sink, (batch.id.run, batch.id.seq), started, tries);
        health.well(sink);
        metrics::histogram!("floodmark_batch_write_seconds", "sink" => sink)
            .record(started.elapsed().as_secs_f64());
    }

    /// Looks at the sink if the lane rests, and again some time after that look is over.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let (target, lane, rests) = (self.target.clone(), self.lane, self.rests);
        let part = target.sink().as_str();
        let work = async move {
            if rests {
                target.look(lane).await;
            }
        };
        // A panic must not end the looking, so the next look is planned after a panic too.
        ctx.spawn(panics::caught(part, work).into_actor(self).map(|_, _, ctx| {
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
        // No look while a batch is under way: that batch would show a loss itself.
        self.rests = false;
        let sink = self.target.sink();
        let writer = self.clone();
        let work = async move {
            let backoff = Backoff::new(&writer.reader.retry);
            let part = sink.as_str();
            let tell = |words: &str| writer.reader.health.trouble(part, "panic", words);
            panics::again(part, backoff, tell, || writer.clone().bring(write.clone())).await
        };
        ctx.spawn(work.into_actor(self).map(move |id, actor, _| {
            actor.rests = true;
            // The error is ignored: an ingest actor that has ended needs no answer.
            let _ = actor.settled.send(Settled { sink, seq: id.seq });
        }));
    }
}
