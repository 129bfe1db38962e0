//! The store writer actor.

use std::{sync::Arc, time::Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};

use crate::{
    config,
    domain::batch::Batch,
    failpoint::kill_point,
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

    use actix::Message;
    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        domain::{
            alert::Firing,
            batch::{BatchId, DeadLetter, NodeId},
            delta::{Delta, Series},
            time::Millis,
        },
        spool::{IdWindow, SpoolOptions},
        store::{
            LedgerSum, StoreError, StoreTotals,
            alerts::{AlertHistory, AlertLog, Notice, Outcome, Recorded},
            rollup::{FoldLimits, Folded, Known, Summed},
            sqlite::SqliteStore,
        },
    };

    /// SQLite with a bug: the first write panics when all of it is done.
    struct Clumsy {
        store: SqliteStore,
        has_panicked: AtomicBool,
    }

    #[async_trait]
    impl Store for Clumsy {
        fn name(&self) -> &'static str {
            self.store.name()
        }

        async fn write(&self, batch: &Batch) -> Result<Written, StoreError> {
            let written = self.store.write(batch).await;
            assert!(self.has_panicked.swap(true, Ordering::Relaxed), "for the test");
            written
        }

        async fn ledger_sum(&self, since: Millis, seen: Millis) -> Result<LedgerSum, StoreError> {
            self.store.ledger_sum(since, seen).await
        }

        async fn ledger_delta(&self, id: BatchId) -> Result<Option<Delta>, StoreError> {
            self.store.ledger_delta(id).await
        }

        async fn fold(&self, limits: FoldLimits) -> Result<Folded, StoreError> {
            self.store.fold(limits).await
        }

        async fn drop_folded(&self, before: Millis, limit: u64) -> Result<u64, StoreError> {
            self.store.drop_folded(before, limit).await
        }

        async fn rollup_known(&self) -> Result<Known, StoreError> {
            self.store.rollup_known().await
        }

        async fn rollup(
            &self,
            from: Millis,
            to: Millis,
            series: Option<&[Series]>,
        ) -> Result<Vec<(Millis, Series, i64)>, StoreError> {
            self.store.rollup(from, to, series).await
        }

        async fn rollup_sums(
            &self,
            stretches: &[(Millis, Millis)],
            summed: &Summed,
        ) -> Result<Vec<Option<i64>>, StoreError> {
            self.store.rollup_sums(stretches, summed).await
        }

        async fn totals(&self) -> Result<StoreTotals, StoreError> {
            self.store.totals().await
        }

        async fn check(&self) -> Result<(), StoreError> {
            self.store.check().await
        }
    }

    #[async_trait]
    impl AlertLog for Clumsy {
        async fn lead(&self, holder: &str, ttl: Duration) -> Result<bool, StoreError> {
            self.store.lead(holder, ttl).await
        }

        async fn resign(&self, holder: &str) -> Result<(), StoreError> {
            self.store.resign(holder).await
        }

        async fn alert_history(&self) -> Result<AlertHistory, StoreError> {
            self.store.alert_history().await
        }

        async fn record_alert(&self, it: &Firing, to: &[Notice]) -> Result<Recorded, StoreError> {
            self.store.record_alert(it, to).await
        }

        async fn due_notices(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, StoreError> {
            self.store.due_notices(now, limit).await
        }

        async fn claim_notice(&self, it: &Notice, until: Millis) -> Result<bool, StoreError> {
            self.store.claim_notice(it, until).await
        }

        async fn postpone_notice(&self, id: &str, due_at: Millis) -> Result<(), StoreError> {
            self.store.postpone_notice(id, due_at).await
        }

        async fn settle_notice(
            &self,
            id: &str,
            how: Outcome,
            at: Millis,
        ) -> Result<(), StoreError> {
            self.store.settle_notice(id, how, at).await
        }
    }

    /// The ingest actor's end.
    struct Told(mpsc::UnboundedSender<Settled>);

    impl Actor for Told {
        type Context = Context<Self>;
    }

    impl Handler<Settled> for Told {
        type Result = <Settled as Message>::Result;

        fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
            let _ = self.0.send(settled);
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
            settled: Told(told).start().recipient(),
            health: health.clone(),
            retry: config::Retry { initial_ms: 1, max_ms: 2 },
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
        assert_eq!(store.totals().await.unwrap().dead_letters, 2);
        assert!(health.troubles().is_empty(), "well again");
    }
}
