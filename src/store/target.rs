//! The store as a sink: what it means for the store that a batch is written.

use std::sync::Arc;

use async_trait::async_trait;

use super::{BatchStore, Written};
use crate::{
    domain::batch::Batch,
    failpoint::kill_point,
    sink::{Sink, SinkError, Target},
};

/// Writes batches to a store, and counts the events that were new to it.
pub struct StoreTarget {
    batches: Arc<dyn BatchStore>,
}

impl StoreTarget {
    /// Writes to `batches`.
    pub fn new(batches: Arc<dyn BatchStore>) -> StoreTarget {
        StoreTarget { batches }
    }
}

#[async_trait]
impl Target for StoreTarget {
    fn sink(&self) -> Sink {
        Sink::Store
    }

    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError> {
        let written = self.batches.write(batch).await?;
        kill_point!("store-committed");
        // A replay stores nothing, so it must not be counted as stored again.
        if let Written::Stored { events, .. } = written {
            metrics::counter!("floodmark_events_stored_total").increment(events);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use actix::Actor;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        config,
        domain::batch::{BatchId, DeadLetter, NodeId},
        sink::{BatchReader, LaneWriter, WriteBatch},
        spool::{IdWindow, Spool, SpoolOptions},
        store::{StoreInfo, sqlite::SqliteStore},
        telemetry::health::Health,
    };

    /// A SQLite store with a bug: its first write panics after the batch is committed.
    struct Clumsy {
        store: SqliteStore,
        has_panicked: AtomicBool,
    }

    #[async_trait]
    impl BatchStore for Clumsy {
        async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
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
            keep_ms: 0,
            keep_bytes: 0,
        };
        let spool = Spool::open(options, IdWindow { window_ms: 1000, max_ids: 10 }, 0).unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let store = Arc::new(Clumsy { store, has_panicked: AtomicBool::new(false) });
        let (told, mut settled) = mpsc::unbounded_channel();
        let health = Health::default();
        let retry = config::RetryConfig { initial_ms: 1, max_ms: 2 };
        let reader = BatchReader { spool: spool.spool, health: health.clone(), retry };
        let target = Arc::new(StoreTarget::new(store.clone()));
        let writer = LaneWriter::new(target, reader, told).start();
        let letter = DeadLetter {
            received_at: 0,
            code: "invalid_type".to_owned(),
            message: "no type".to_owned(),
            raw: "{}".to_owned(),
        };
        for seq in [1, 5] {
            let id = BatchId { run: node, seq };
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
