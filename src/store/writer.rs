//! The store writer actor.

use std::{sync::Arc, time::Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};

use crate::{
    config,
    domain::batch::Batch,
    ingest::dispatch::{Settled, WriteBatch},
    panics,
    retry::Backoff,
    spool::{Sink, Spool},
    store::{Store, Written},
    telemetry::health::Health,
};

/// Writes the batches of one lane to the store, in order, each until it is there.
///
/// - Gets [`WriteBatch`] from the ingest actor, answers with [`Settled`].
/// - Bounded by: one batch at a time, which the ingest actor sees to.
/// - A panic while it writes a batch begins that batch again: the guard keeps it from being
///   stored twice.
pub struct StoreWriter {
    /// Where the events go.
    pub store: Arc<dyn Store>,
    /// Where a batch is read from when it is not in memory any more.
    pub spool: Spool,
    /// The ingest actor.
    pub settled: Recipient<Settled>,
    /// Where trouble is told.
    pub health: Health,
    /// How to try again.
    pub retry: config::Retry,
}

impl Actor for StoreWriter {
    type Context = Context<Self>;
}

impl Handler<WriteBatch> for StoreWriter {
    type Result = ();

    fn handle(&mut self, write: WriteBatch, ctx: &mut Context<Self>) {
        let (store, spool, health) = (self.store.clone(), self.spool.clone(), self.health.clone());
        let backoff = Backoff::new(&self.retry);
        let seq = write.seq;
        let work = async move {
            let write = || async {
                let batch = match &write.batch {
                    Some(batch) => batch.clone(),
                    None => read(&spool, seq, &health, backoff.clone()).await,
                };
                store_batch(&*store, &batch, &health, backoff.clone()).await;
            };
            panics::again("store", &health, backoff.clone(), write).await;
        };
        ctx.spawn(work.into_actor(self).map(move |(), actor, _| {
            actor.settled.do_send(Settled { sink: Sink::Store, seq });
        }));
    }
}

async fn store_batch(store: &dyn Store, batch: &Batch, health: &Health, mut backoff: Backoff) {
    let started = Instant::now();
    loop {
        match store.write(batch).await {
            Ok(written) => {
                health.well("store");
                if let Written::Stored { events, .. } = written {
                    metrics::counter!("floodmark_events_stored_total").increment(events);
                }
                metrics::histogram!("floodmark_batch_write_seconds", "sink" => "store")
                    .record(started.elapsed().as_secs_f64());
                return;
            }
            Err(e) => {
                let kind = e.kind.to_string();
                health.trouble("store", &kind, &e.message);
                metrics::counter!("floodmark_sink_errors_total", "sink" => "store", "kind" => kind)
                    .increment(1);
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// Reads a batch back from the spool, off the actor's thread, until it works.
pub async fn read(spool: &Spool, seq: u64, health: &Health, mut backoff: Backoff) -> Arc<Batch> {
    loop {
        let reader = spool.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(seq)).await;
        match read {
            Ok(Ok(batch)) => {
                health.well("spool");
                return Arc::new(batch);
            }
            Ok(Err(e)) => health.trouble("spool", "read", &e.to_string()),
            Err(e) => health.trouble("spool", "read", &e.to_string()),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}
