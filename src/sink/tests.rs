//! Tests of a lane writer alone, with a real spool, and a sink that fails as a test wants.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::*;
use crate::{
    config,
    domain::batch::{Batch, BatchId, NodeId},
    spool::{IdWindow, Spool, SpoolOptions},
    telemetry::health::Health,
};

/// A sink in memory. It keeps what was written, each batch once.
#[derive(Default)]
struct Memory {
    written: Mutex<Vec<u64>>,
    /// Calls of `write`.
    tries: AtomicU32,
    /// How many of the first calls panic after they have written the batch.
    panics: u32,
    /// How many of the calls after those are answered with an error.
    errors: u32,
    /// The lane of each look.
    looks: Mutex<Vec<u64>>,
}

#[async_trait]
impl Target for Memory {
    fn sink(&self) -> Sink {
        Sink::Store
    }

    async fn write(&self, batch: &Arc<Batch>) -> Result<(), SinkError> {
        {
            let mut written = self.written.lock();
            if !written.contains(&batch.id.seq) {
                written.push(batch.id.seq);
            }
        }
        let before = self.tries.fetch_add(1, Ordering::Relaxed);
        assert!(before >= self.panics, "for the test");
        if before < self.panics + self.errors {
            return Err(SinkError::new(SinkErrorKind::Full, "for the test"));
        }
        Ok(())
    }

    async fn look(&self, lane: u64) {
        self.looks.lock().push(lane);
        panic!("for the test");
    }
}

struct Alone {
    writer: Addr<LaneWriter>,
    settled: UnboundedReceiver<Settled>,
    health: Health,
    _dir: tempfile::TempDir,
}

impl Alone {
    fn start(target: Arc<Memory>) -> Alone {
        let dir = tempfile::tempdir().unwrap();
        let options = SpoolOptions {
            dir: dir.path().join("spool"),
            node: NodeId::nil(),
            segment_bytes: 1 << 20,
            max_bytes: 1 << 24,
            keep_ms: 0,
            keep_bytes: 0,
        };
        let spool = Spool::open(
            options,
            IdWindow { window_ms: 1000, max_ids: 10, max_bytes: usize::MAX },
            0,
        )
        .unwrap();
        let (told, settled) = mpsc::unbounded_channel();
        let health = Health::default();
        let retry = config::RetryConfig { initial_ms: 1, max_ms: 2 };
        let reader = BatchReader { spool: spool.spool, health: health.clone(), retry };
        let writer = LaneWriter::new(target, 3, reader, told).start();
        Alone { writer, settled, health, _dir: dir }
    }

    /// Has a batch written that is in memory, and waits until it is settled.
    async fn write(&mut self, seq: u64) {
        let batch = Batch::void(BatchId { run: NodeId::nil(), seq });
        self.writer.do_send(WriteBatch { seq, batch: Some(Arc::new(batch)) });
        let done = tokio::time::timeout(Duration::from_secs(30), self.settled.recv()).await;
        let settled = done.expect("in time").expect("the writer lives");
        assert_eq!((settled.sink, settled.seq), (Sink::Store, seq));
    }
}

#[actix::test]
async fn a_panic_begins_the_batch_again_and_then_it_is_settled_once() {
    let target = Arc::new(Memory { panics: 1, ..Memory::default() });
    let mut alone = Alone::start(target.clone());
    for seq in [1, 5] {
        alone.write(seq).await;
    }
    assert_eq!(*target.written.lock(), [1, 5]);
    assert_eq!(target.tries.load(Ordering::Relaxed), 3);
    assert!(alone.health.troubles().is_empty(), "well again");
    assert!(alone.settled.try_recv().is_err(), "each is settled once");
}

#[actix::test]
async fn a_sink_that_fails_gets_the_same_batch_until_it_is_there() {
    let target = Arc::new(Memory { errors: 3, ..Memory::default() });
    let mut alone = Alone::start(target.clone());
    alone.write(2).await;
    assert_eq!(target.tries.load(Ordering::Relaxed), 4);
    assert!(alone.health.troubles().is_empty(), "well again");
}

#[actix::test]
async fn a_lane_that_rests_is_looked_at_again_and_again() {
    let target = Arc::new(Memory::default());
    let mut alone = Alone::start(target.clone());
    alone.write(3).await;
    let looked = async {
        while target.looks.lock().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.expect("a panic ends no looking");
    assert_eq!(target.looks.lock()[..2], [3, 3]);
}
