//! A node of the simulation: a real spool on a folder, and the real targets of both sinks, whose work
//! goes on one turn at a time.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Planted, Shop, chance::pass};
use crate::{
    config::RetryConfig,
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, LANES, RunId},
        row::Row,
        time::{Millis, now_ms},
    },
    ingest::open_batch::OpenBatch,
    live::{tails::Tails, target::LiveTarget},
    sink::{BatchReader, LaneOrder, Sink, Target},
    spool::{CommitError, Group, IdWindow, Opened, Spool, SpoolOptions, SpoolWriter, planted},
    store::store_target::StoreTarget,
    telemetry::health::Health,
};

use parking_lot::Mutex;

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// A node, which runs or is down.
pub struct Node {
    pub name: String,
    pub dir: PathBuf,
    pub up: Option<Up>,
    /// How far its clock is ahead of the true time, in ms.
    pub skew: Millis,
    /// The events that its folder has taken in, in their order. Those without an answer may be there,
    /// too.
    pub holds: Vec<u64>,
}

/// A node that runs.
pub struct Up {
    pub spool: Spool,
    writer: SpoolWriter,
    aggregator: Aggregator,
    open: OpenBatch,
    next_seq: u64,
    sinks: [SinkSide; 2],
    pub store: Arc<StoreTarget>,
    /// What a sink or the spool has last said when something failed.
    last_error: Arc<Mutex<String>>,
}

/// One sink as a node sees it.
struct SinkSide {
    target: Arc<dyn Target>,
    order: LaneOrder,
    /// What each lane is at: a batch, or (with 0) a look.
    work: [Option<(u64, Work)>; LANES as usize],
}

/// What became of a request.
pub enum Answer {
    /// 202.
    Accepted,
    /// 503: nothing of it is kept.
    Refused,
    /// The node died.
    None,
}

impl Node {
    pub fn new(name: String, dir: PathBuf) -> Node {
        Node { name, dir, up: None, skew: 0, holds: Vec::new() }
    }

    /// Starts the node. What a crash left open is sealed first. `false` if the disk failed.
    pub fn start(&mut self, shop: &Shop) -> bool {
        let options = SpoolOptions {
            dir: self.dir.join("spool"),
            node: RunId::from_u128(u128::from(self.name.as_bytes()[0])),
            segment_bytes: 1_500,
            max_bytes: 1 << 24,
            keep_ms: 3_600_000,
            keep_bytes: 1 << 24,
        };
        planted::SAME_RUN.set(shop.planted == Planted::SameRun);
        let window = IdWindow { window_ms: 60_000, max_ids: 10, max_bytes: usize::MAX };
        let opened = Spool::open(options, window, now_ms());
        planted::SAME_RUN.set(false);
        let Ok(Opened { spool, writer, recovery }) = opened else { return false };
        let reader = BatchReader {
            spool: spool.clone(),
            health: Health::default(),
            retry: RetryConfig { initial_ms: 1, max_ms: 1 },
        };
        let store = Arc::new(StoreTarget::new(shop.store.clone(), reader.clone(), Arc::default()));
        let tails = Tails::new(reader.clone(), shop.store.clone(), store.miscounted());
        let live = LiveTarget {
            live: shop.live.clone(),
            visitors: shop.live.clone(),
            reader,
            ledger: shop.store.clone(),
            tails,
        };
        let side = |target: Arc<dyn Target>| SinkSide {
            order: LaneOrder::new(target.sink()),
            target,
            work: Default::default(),
        };
        let mut aggregator = Aggregator::new(Arc::default(), 10);
        let (rows, letters) = (recovery.open.rows, recovery.open.dead_letters);
        let mut up = Up {
            spool,
            writer,
            open: OpenBatch::recovered(&mut aggregator, rows, letters),
            aggregator,
            next_seq: recovery.next_seq,
            sinks: [side(store.clone()), side(Arc::new(live))],
            store,
            last_error: Arc::default(),
        };
        let is_sealed = up.open.is_empty() || up.commit(true).is_ok();
        self.up = is_sealed.then_some(up);
        is_sealed
    }

    /// Takes events in, and seals the open batch if `seal` says so.
    pub fn take_in(&mut self, events: &[(u64, Millis)], seal: bool) -> Answer {
        let Some(up) = &mut self.up else { return Answer::Refused };
        let (chunks, letters) = up.open.framed();
        for &(event, time) in events {
            let id = event.to_string();
            let row = Row {
                time,
                received_at: now_ms(),
                id: &id,
                kind: "e",
                user_id: None,
                session_id: None,
                properties: "{}",
                ..Row::default()
            };
            let mut encoded = Vec::new();
            row.encode(&mut encoded);
            up.open.push(&mut up.aggregator, &row, &encoded, None);
        }
        let numbers = events.iter().map(|&(event, _)| event);
        match up.commit(seal) {
            Ok(()) => {
                self.holds.extend(numbers);
                Answer::Accepted
            }
            Err(CommitError::Full(_)) => {
                up.aggregator.undo();
                up.open = OpenBatch::recovered(&mut up.aggregator, chunks, letters);
                Answer::Refused
            }
            Err(_) => {
                self.holds.extend(numbers);
                self.up = None;
                Answer::None
            }
        }
    }

    /// Copies the folder as it is now.
    pub fn copy_to(&self, to: &Path) {
        copy(&self.dir, to);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for a copy");
    for entry in fs::read_dir(from).expect("the folder is there").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

impl Up {
    /// Frames what is new, seals it perhaps, and brings it to the disk.
    fn commit(&mut self, seal: bool) -> Result<(), CommitError> {
        let mut group = Group::default();
        let pending = self.open.frame();
        if pending.events > 0 {
            group.rows(pending.events, &pending.rows, pending.received_at, std::iter::empty());
        }
        if seal {
            let id = BatchId { run: RunId::nil(), seq: self.next_seq };
            let batch = self.open.seal(id, now_ms());
            group.seal(id.seq, batch.sealed_at, batch.events, &batch.delta);
        }
        self.writer.commit(&mut group)?;
        self.next_seq += u64::from(seal);
        Ok(())
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Retires what is settled; `false` if the disk failed.
    pub fn retire(&mut self) -> bool {
        self.writer.retire().is_ok()
    }

    /// Lets one lane of one sink go on by a turn; begins its next batch, or else a look if `look`.
    /// Returns whether there was anything to do.
    pub fn turn(&mut self, sink: Sink, lane: u64, look: bool, planted: Planted) -> bool {
        let side = &mut self.sinks[sink as usize];
        let slot = &mut side.work[lane as usize];
        if slot.is_none() {
            if let Some(seq) = side.order.next(lane, &self.spool) {
                if planted == Planted::SettledFirst {
                    self.spool.settle(sink, seq);
                }
                let (target, spool) = (side.target.clone(), self.spool.clone());
                *slot = Some((seq, Box::pin(bring(target, spool, seq, self.last_error.clone()))));
            } else if look {
                let target = side.target.clone();
                *slot = Some((0, Box::pin(async move { target.look(lane).await })));
            } else {
                return false;
            }
        }
        let Some((seq, work)) = slot else { return false };
        if let Poll::Ready(()) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let seq = *seq;
            *slot = None;
            if seq > 0 {
                side.order.settled(seq, &self.spool);
            }
        }
        true
    }

    /// What is left to do, in words.
    pub fn state(&self) -> String {
        let lag = Sink::ALL.map(|sink| (self.spool.settled(sink), self.spool.lag(sink).batches));
        let work = |side: &SinkSide| side.work.each_ref().map(|w| w.as_ref().map(|(seq, _)| *seq));
        let work: Vec<_> = self.sinks.iter().map(work).collect();
        let (oldest, newest) = (self.spool.oldest_readable(), self.spool.newest_sealed());
        format!(
            "(settled, lag) {lag:?}, at {work:?}, batches {oldest:?} to {newest}, last error: {}",
            self.last_error.lock()
        )
    }

    /// Whether both sinks have everything, and nothing is under way.
    pub fn is_drained(&self) -> bool {
        let idle = self.sinks.iter().all(|side| side.work.iter().all(Option::is_none));
        idle && Sink::ALL.iter().all(|&sink| self.spool.lag(sink).batches == 0)
    }
}

/// What a lane writer does with a batch (`sink/lane_writer.rs`): it reads the batch, and tries until
/// the target has it.
async fn bring(target: Arc<dyn Target>, spool: Spool, seq: u64, last: Arc<Mutex<String>>) {
    let batch: Arc<Batch> = loop {
        match spool.read(seq) {
            Ok(batch) => break Arc::new(batch),
            Err(error) => {
                *last.lock() = error.to_string();
                pass().await;
            }
        }
    };
    while let Err(error) = target.write(&batch).await {
        *last.lock() = format!("batch {seq}: {error}");
        pass().await;
    }
}
