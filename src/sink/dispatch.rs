//! Decides which batch goes to which writer next. A sink has [`LANES`] writers, batch `seq` belongs
//! to writer `seq % LANES`, and a writer has one batch at a time. So the batches of a lane are
//! written in order, and the number of batches in flight is bounded. A sink that is behind reads
//! its batches from the spool.

use std::sync::Arc;

use actix::{Message, Recipient};

use crate::{
    domain::{
        batch::{Batch, LANES},
        sink::Sink,
    },
    sink::recent::RecentBatches,
    spool::Spool,
};

/// To a writer: write this batch. The writer answers with [`Settled`].
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WriteBatch {
    /// The number of the batch.
    pub seq: u64,
    /// The batch, where it is still in memory. Where it is not, the writer reads it from the spool.
    pub batch: Option<Arc<Batch>>,
}

/// From a writer: the sink has the batch.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The sink that has it.
    pub sink: Sink,
    /// The number of the batch.
    pub seq: u64,
}

/// The lanes of one sink, each with its writer.
#[derive(Debug)]
pub struct Dispatch {
    lanes: LaneOrder,
    writers: Vec<Recipient<WriteBatch>>,
}

impl Dispatch {
    /// `writers` has one writer for each lane, in the order of the lanes.
    pub fn new(sink: Sink, writers: Vec<Recipient<WriteBatch>>) -> Dispatch {
        assert_eq!(writers.len() as u64, LANES, "a writer for each lane");
        Dispatch { lanes: LaneOrder::new(sink), writers }
    }

    /// Gives each idle writer the next batch of its lane.
    pub fn pump(&mut self, spool: &Spool, recent: &RecentBatches) {
        for lane in 0..LANES {
            self.pump_lane(lane, spool, recent);
        }
    }

    /// Notes that a writer is done with a batch, and gives it the next one.
    pub fn settled(&mut self, seq: u64, spool: &Spool, recent: &RecentBatches) {
        self.lanes.settled(seq, spool);
        self.pump_lane(seq % LANES, spool, recent);
    }

    /// Gives one writer its next batch, if it is idle and there is one.
    fn pump_lane(&mut self, lane: u64, spool: &Spool, recent: &RecentBatches) {
        let Some(seq) = self.lanes.next(lane, spool) else { return };
        // `do_send` ignores the mailbox's limit. A writer still never has more than this one
        // message, since the next is sent only after its answer.
        self.writers[lane as usize].do_send(WriteBatch { seq, batch: recent.get(seq) });
    }
}

/// Which batch of each lane of a sink comes next. It is apart from the actors, so that the
/// simulation goes by the same order.
#[derive(Debug)]
pub struct LaneOrder {
    sink: Sink,
    lanes: [Lane; LANES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// The batch that the writer is writing; `None` while it is idle.
    in_flight: Option<u64>,
    /// The last batch that was handed out.
    last: u64,
}

impl LaneOrder {
    /// The lanes of a sink, all of them idle.
    pub fn new(sink: Sink) -> LaneOrder {
        LaneOrder { sink, lanes: Default::default() }
    }

    /// The next batch of a lane, which is under way from then on; `None` while another one is under
    /// way, and where there is none.
    pub fn next(&mut self, number: u64, spool: &Spool) -> Option<u64> {
        let lane = &mut self.lanes[number as usize];
        if lane.in_flight.is_some() {
            return None;
        }
        let seq = spool.next(self.sink, number, lane.last)?;
        *lane = Lane { in_flight: Some(seq), last: seq };
        Some(seq)
    }

    /// Notes that the sink has a batch. The spool may then delete it, once the other sink has it
    /// too.
    pub fn settled(&mut self, seq: u64, spool: &Spool) {
        spool.settle(self.sink, seq);
        self.lanes[(seq % LANES) as usize].in_flight = None;
    }
}
