//! The store as a sink, with real spools and SQLite.

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
    store::{Missing, StoreInfo, sqlite::SqliteStore},
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

    async fn heads(&self, run: RunId) -> Result<LaneHeads, SinkError> {
        self.store.heads(run).await
    }

    async fn events_of(&self, id: BatchId) -> Result<Option<u64>, SinkError> {
        self.store.events_of(id).await
    }

    async fn skip(
        &self,
        missing: &Missing,
        before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), SinkError> {
        self.store.skip(missing, before, whole_events).await
    }

    async fn missing(&self, node: NodeId) -> Result<Vec<Missing>, SinkError> {
        self.store.missing(node).await
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
    let spool =
        Spool::open(options, IdWindow { window_ms: 1000, max_ids: 10, max_bytes: usize::MAX }, 0)
            .unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let store = Arc::new(Clumsy { store, has_panicked: AtomicBool::new(false) });
    let (told, mut settled) = mpsc::unbounded_channel();
    let health = Health::default();
    let retry = config::RetryConfig { initial_ms: 1, max_ms: 2 };
    let reader = BatchReader { spool: spool.spool, health: health.clone(), retry };
    let target = StoreTarget::new(store.clone(), reader.clone(), Arc::default());
    let writer = LaneWriter::new(Arc::new(target), 1, reader, told).start();
    let letter = DeadLetter {
        received_at: 0,
        code: "invalid_type".to_owned(),
        message: "no type".to_owned(),
        raw: "{}".to_owned(),
        ..DeadLetter::default()
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
