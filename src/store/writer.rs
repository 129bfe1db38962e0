//! The store writer actor.

use std::{sync::Arc, time::Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    config,
    domain::batch::Batch,
    failpoint::kill_point,
    ingest::dispatch::{Settled, WriteBatch},
    panics,
    retry::Backoff,
    spool::{Sink, Spool},
    store::{BatchStore, Written},
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
    pub store: Arc<dyn BatchStore>,
    /// Where a batch is read from when it is not in memory any more.
    pub spool: Spool,
    /// The ingest actor.
    pub settled: UnboundedSender<Settled>,
    /// Where trouble is told.
    pub health: Health,
    /// How to try again.
    pub retry: config::RetryConfig,
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
            // An ingest actor that has ended needs no word of it.
            let _ = actor.settled.send(Settled { sink: Sink::Store, seq });
        }));
    }
}

async fn store_batch(store: &dyn BatchStore, batch: &Batch, health: &Health, mut backoff: Backoff) {
    let started = Instant::now();
    loop {
        match store.write(batch).await {
            Ok(written) => {
                kill_point!("store-committed");
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

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        domain::batch::{BatchId, DeadLetter, NodeId},
        spool::{IdWindow, SpoolOptions},
        store::{Store, StoreError, sqlite::SqliteStore},
    };

    /// SQLite with a bug: the first write panics when all of it is done.
    struct Clumsy {
        store: SqliteStore,
        has_panicked: AtomicBool,
    }

    #[async_trait]
    impl BatchStore for Clumsy {
        async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
            let written = self.store.write(batch).await;
            assert!(self.has_panicked.swap(true, Ordering::Relaxed), "for the test");
            written
        }
    }

    #[actix::test]
    async fn a_panic_begins_the_batch_again_and_stores_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let node = NodeId::nil();
        let options = SpoolOptions {
            dir: dir.path().join("spool"),
            node,
            segment_bytes: 1 << 20,
            max_bytes: 1 << 24,
        };
        let spool = Spool::open(options, IdWindow { window_ms: 1000, max_ids: 10 }, 0).unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let store = Arc::new(Clumsy { store, has_panicked: AtomicBool::new(false) });
        let (told, mut settled) = mpsc::unbounded_channel();
        let health = Health::default();
        let writer = StoreWriter {
            store: store.clone(),
            spool: spool.spool,
            settled: told,
            health: health.clone(),
            retry: config::RetryConfig { initial_ms: 1, max_ms: 2 },
        };
        let writer = writer.start();
        let letter = DeadLetter {
            received_at: 0,
            code: "invalid_type".to_owned(),
            message: "no type".to_owned(),
            raw: "{}".to_owned(),
        };
        for seq in [1, 5] {
            let id = BatchId { node, seq };
            let batch = Batch { dead_letters: vec![letter.clone()], ..Batch::void(id) };
            writer.do_send(WriteBatch { seq, batch: Some(Arc::new(batch)) });
            let done = tokio::time::timeout(Duration::from_secs(30), settled.recv()).await;
            assert_eq!(done.unwrap().unwrap().seq, seq);
        }
        assert!(store.has_panicked.load(Ordering::Relaxed));
        assert_eq!(store.store.totals().await.unwrap().dead_letters, 2);
        assert!(health.troubles().is_empty(), "well again");
    }
}
