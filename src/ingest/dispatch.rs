//! Which batch goes to which writer next. A sink has [`LANES`] writers; batch `seq` belongs
//! to writer `seq % LANES`, and a writer has one batch at a time, so a lane is in order and
//! what is in flight is bounded. A sink that is behind reads from the spool.

use std::{collections::VecDeque, sync::Arc};

use actix::{Message, Recipient};

use crate::{
    domain::batch::{Batch, LANES},
    spool::{Sink, Spool},
};

/// The ingest actor to a writer: write this batch. Answered by [`Settled`].
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WriteBatch {
    /// Which one.
    pub seq: u64,
    /// The batch, where it is still in memory; else it is read from the spool.
    pub batch: Option<Arc<Batch>>,
}

/// A writer to the ingest actor: the sink has the batch.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Which sink.
    pub sink: Sink,
    /// Which batch.
    pub seq: u64,
}

/// The last sealed batches, so that a sink that keeps up never reads the disk.
#[derive(Debug, Default)]
pub struct Recent {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

/// Bytes of rows that [`Recent`] keeps at most (but always the newest batch).
const RECENT_BYTES: usize = 32 << 20;

impl Recent {
    /// Adds the newest batch.
    pub fn push(&mut self, batch: Arc<Batch>) {
        self.bytes += batch.bytes();
        self.batches.push_back(batch);
        while self.bytes > RECENT_BYTES && self.batches.len() > 1 {
            self.pop();
        }
    }

    /// Drops the batches before `seq`: both sinks have passed them.
    pub fn forget_before(&mut self, seq: u64) {
        while self.batches.front().is_some_and(|batch| batch.id.seq < seq) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= batch.bytes();
        }
    }

    fn get(&self, seq: u64) -> Option<Arc<Batch>> {
        let first = self.batches.front()?.id.seq;
        self.batches.get(usize::try_from(seq.checked_sub(first)?).ok()?).cloned()
    }
}

/// One sink's lanes.
#[derive(Debug)]
pub struct Dispatch {
    sink: Sink,
    writers: Vec<Recipient<WriteBatch>>,
    lanes: [Lane; LANES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// The batch that the writer has.
    in_flight: Option<u64>,
    /// The last batch that was handed out.
    last: u64,
}

impl Dispatch {
    /// `writers` has one for each lane.
    pub fn new(sink: Sink, writers: Vec<Recipient<WriteBatch>>) -> Dispatch {
        assert_eq!(writers.len() as u64, LANES, "a writer for each lane");
        Dispatch { sink, writers, lanes: Default::default() }
    }

    /// Gives each idle writer the next batch of its lane.
    pub fn pump(&mut self, spool: &Spool, recent: &Recent) {
        for lane in 0..LANES {
            self.pump_lane(lane, spool, recent);
        }
    }

    /// A writer is done with a batch; gives it the next one.
    pub fn settled(&mut self, seq: u64, spool: &Spool, recent: &Recent) {
        spool.settle(self.sink, seq);
        let lane = seq % LANES;
        self.lanes[lane as usize].in_flight = None;
        self.pump_lane(lane, spool, recent);
    }

    fn pump_lane(&mut self, number: u64, spool: &Spool, recent: &Recent) {
        let lane = &mut self.lanes[number as usize];
        if lane.in_flight.is_some() {
            return;
        }
        let Some(seq) = spool.next(self.sink, number, lane.last) else { return };
        *lane = Lane { in_flight: Some(seq), last: seq };
        // Past the mailbox's limit, but never more than this one message.
        self.writers[number as usize].do_send(WriteBatch { seq, batch: recent.get(seq) });
    }
}
