//! The ledger row that both stores keep of a batch, and how they sum up ledger rows.

use hashbrown::HashMap;

use crate::{
    domain::{
        batch::{Batch, BatchId, LANES, NodeId, RestOf},
        books::OrderEvent,
        delta::{Delta, DeltaError, DeltaSum, Series},
        row::Row,
        shape::shape_of,
        time::{MINUTE, Millis, bucket, now_ms},
    },
    sink::{SinkError, SinkErrorKind},
    store::{LedgerHeads, Written},
};

/// A ledger row, encoded and ready to be written.
pub(crate) struct Entry {
    /// The batch.
    pub id: BatchId,
    /// The batch before it in its lane ([`Batch::after`]).
    pub after: Option<BatchId>,
    /// How many events of that batch the store has to have ([`Batch::after_events`]).
    pub after_events: u64,
    /// Of which batch it is the end ([`Batch::rest_of`]).
    pub rest_of: Option<RestOf>,
    /// When the batch was sealed, Unix ms.
    pub sealed_at: Millis,
    /// How many events the batch had when it was sealed, refused rows included.
    pub events: u64,
    /// The first and the last second that the batch counts in, Unix ms; `None` where it counts
    /// nothing.
    pub span: Option<(Millis, Millis)>,
    /// The increments of its delta, encoded.
    pub delta: Vec<u8>,
    /// The visitors of its delta, encoded. They are apart, since they are needed only for as long
    /// as a visitor counts as active.
    pub visitors: Vec<u8>,
    /// The shape of its events, encoded ([`crate::domain::shape`]).
    pub shape: Vec<u8>,
    /// What its events say of orders.
    pub order_events: Vec<OrderEvent>,
}

impl Entry {
    /// The ledger row of a batch.
    pub fn of(batch: &Batch) -> Entry {
        Entry::unread(batch).with_rows(batch.iter().flatten())
    }

    /// The same with what the rows of the batch say, which are read once for all of it.
    pub fn with_rows<'a>(mut self, rows: impl Iterator<Item = Row<'a>>) -> Entry {
        let order_events = &mut self.order_events;
        let rows = rows.inspect(|row| order_events.extend(OrderEvent::of(row)));
        self.shape = shape_of(rows).encode();
        self
    }

    /// The ledger row of a batch whose rows are read later ([`Entry::with_rows`]).
    pub fn unread(batch: &Batch) -> Entry {
        Entry {
            id: batch.id,
            after: batch.after,
            after_events: batch.after_events,
            rest_of: batch.rest_of,
            sealed_at: batch.sealed_at,
            events: batch.events,
            span: batch.delta.span(),
            delta: batch.delta.encode_cells(),
            visitors: batch.delta.encode_visitors(),
            shape: Vec::new(),
            order_events: Vec::new(),
        }
    }

    /// When the batch was sealed, Unix ms. One that stands in for a lost one has no time; it was sealed just now.
    pub fn sealed_or_now(&self) -> Millis {
        if self.sealed_at > 0 { self.sealed_at } else { now_ms() }
    }

    /// What becomes of this batch where it is not the next one of its lane: `head` is the last batch
    /// of its run there (0 for none), `stored` what the ledger has under its number.
    pub fn judge(&self, head: u64, stored: Option<StoredEntry>) -> Written {
        if head < self.id.seq {
            return Written::Gap;
        }
        match stored {
            // A batch without events may stand for one whose bytes a damaged disk has lost. Without
            // a row there is nothing to compare with: it was folded and dropped.
            Some(StoredEntry { events, whole_events, delta })
                if self.events > 0
                    && (events, whole_events, &delta)
                        != (self.events, self.events, &self.delta) =>
            {
                Written::Differs { events, whole_events, delta }
            }
            _ => Written::AlreadyStored,
        }
    }
}

/// What a ledger row says of a batch that a replay is compared with.
pub(crate) struct StoredEntry {
    /// Events that were written with the row.
    pub events: u64,
    /// These, and those of its end that were written later ([`Batch::rest_of`]).
    pub whole_events: u64,
    /// What the first of them count, encoded ([`Delta::encode_cells`]).
    pub delta: Vec<u8>,
}

/// How much ([`Delta::weight`]) is added up before it goes on as a part: so much that the rows of a
/// lane, which mostly name the same seconds, become few cells, and so little that it takes no room.
const PART: usize = 32_768;

/// Adds up ledger rows, in any order, into parts of bounded size.
#[derive(Default)]
pub(crate) struct Summing {
    lanes: [DeltaSum; LANES as usize],
    /// What was added to each lane since its last part.
    weights: [usize; LANES as usize],
    heads: LedgerHeads,
    /// What the rollups have more than the folded ledger rows, by series and minute (Unix ms). That is
    /// what dropped rows have counted.
    dropped: HashMap<(Series, Millis), i64>,
}

impl Summing {
    /// Notes the last batch of a lane of a node. A lane that this version does not have is an
    /// error, here and below: its events would be missing from the sum without a word.
    pub fn head(&mut self, node: NodeId, lane: i64, seq: i64) -> Result<(), SinkError> {
        let lane = lane_index(lane)?;
        self.heads[lane].insert(node, seq as u64);
        Ok(())
    }

    /// Adds one row, and gives a part where there is enough for one. `cells` and `visitors` are
    /// `None` where the row lies before the time that was asked for.
    pub fn add(
        &mut self,
        lane: i64,
        cells: Option<&[u8]>,
        visitors: Option<&[u8]>,
    ) -> Result<Option<(u64, Delta)>, SinkError> {
        let lane = lane_index(lane)?;
        let nothing;
        let cells = match cells {
            Some(cells) => cells,
            None => {
                nothing = Delta::default().encode_cells();
                &nothing
            }
        };
        let delta = Delta::decode(cells, visitors)?;
        self.lanes[lane].merge(&delta);
        self.weights[lane] += delta.weight();
        if self.weights[lane] < PART {
            return Ok(None);
        }
        self.weights[lane] = 0;
        Ok(Some((lane as u64, self.lanes[lane].finish())))
    }

    /// Takes a folded ledger row off what the rollups have: it is not among the dropped ones. Only what
    /// it counts from `since` on (Unix ms, a full minute) is looked at.
    pub fn is_there(&mut self, cells: &[u8], since: Millis) -> Result<(), SinkError> {
        for (at, series, value) in Delta::decode(cells, None)?.cells() {
            let minute = bucket(at, MINUTE);
            if minute >= since {
                *self.dropped.entry((series.clone(), minute)).or_default() -= value;
            }
        }
        Ok(())
    }

    /// Notes what the rollups have for a minute. A series that a later version has made is left out: this
    /// version has no counter for it.
    pub fn rolled_up(&mut self, series: &str, minute: Millis, value: i64) {
        if let Some(series) = Series::parse(series) {
            *self.dropped.entry((series, minute)).or_default() += value;
        }
    }

    /// The last parts, and the heads. What dropped rows have counted no lane has any more, so the first
    /// one gets it.
    pub fn finish(mut self) -> (LedgerHeads, Vec<(u64, Delta)>) {
        for ((series, minute), value) in self.dropped.drain().filter(|(_, value)| *value != 0) {
            self.lanes[0].sum(&series, minute, value);
        }
        let parts = (0..).zip(&mut self.lanes).map(|(lane, sum)| (lane, sum.finish()));
        (self.heads, parts.filter(|(_, delta)| !delta.is_empty()).collect())
    }
}

/// What becomes of a part that nobody takes any more.
pub(crate) fn not_taken<T>(_: T) -> SinkError {
    SinkError {
        kind: SinkErrorKind::Other,
        message: "what the ledger says is not taken up any more".to_owned(),
    }
}

/// A lane as an index.
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
