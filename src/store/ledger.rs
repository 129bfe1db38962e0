//! What both stores keep of a batch beside its rows, and how they sum it up again.

use crate::{
    domain::{
        batch::{Batch, BatchId, LANES, NodeId},
        delta::{Delta, DeltaError, DeltaSum},
        time::Millis,
    },
    sink::{SinkError, SinkErrorKind},
    store::LedgerSum,
};

/// A ledger row, encoded and ready to be written.
pub(crate) struct Entry {
    pub id: BatchId,
    pub sealed_at: Millis,
    pub events: u64,
    /// First and last second counted, Unix ms; `None` where nothing was.
    pub span: Option<(Millis, Millis)>,
    pub delta: Vec<u8>,
    pub visitors: Vec<u8>,
}

impl Entry {
    pub fn of(batch: &Batch) -> Entry {
        Entry {
            id: batch.id,
            sealed_at: batch.sealed_at,
            events: batch.events,
            span: batch.delta.span(),
            delta: batch.delta.encode_cells(),
            visitors: batch.delta.encode_visitors(),
        }
    }
}

/// Adds up ledger rows, in any order, into a [`LedgerSum`].
#[derive(Default)]
pub(crate) struct Summing {
    lanes: [DeltaSum; LANES as usize],
    sum: LedgerSum,
}

impl Summing {
    /// Notes the last batch of a lane of a node.
    pub fn head(&mut self, node: NodeId, lane: i64, seq: i64) -> Result<(), SinkError> {
        let lane = lane_index(lane)?;
        self.sum.lanes[lane].last.insert(node, seq as u64);
        Ok(())
    }

    /// Adds one row: its cells where its span was asked for, its visitors where they were.
    pub fn add(
        &mut self,
        lane: i64,
        cells: Option<&[u8]>,
        visitors: Option<&[u8]>,
    ) -> Result<(), SinkError> {
        let lane = lane_index(lane)?;
        let nothing;
        let cells = match cells {
            Some(cells) => cells,
            None => {
                nothing = Delta::default().encode_cells();
                &nothing
            }
        };
        self.lanes[lane].merge(&Delta::decode(cells, visitors)?);
        Ok(())
    }

    pub fn finish(mut self) -> LedgerSum {
        for (sum, lane) in self.lanes.iter_mut().zip(&mut self.sum.lanes) {
            lane.delta = sum.finish();
        }
        self.sum
    }
}

fn lane_index(lane: i64) -> Result<usize, SinkError> {
    let known = usize::try_from(lane).ok().filter(|&lane| lane < LANES as usize);
    known.ok_or_else(|| SinkError {
        kind: SinkErrorKind::Schema,
        message: format!("the ledger has a row of lane {lane}, this version has {LANES} lanes"),
    })
}

impl From<DeltaError> for SinkError {
    fn from(e: DeltaError) -> SinkError {
        SinkError {
            kind: SinkErrorKind::Schema,
            message: format!("a row of the ledger can't be read: {e}"),
        }
    }
}
