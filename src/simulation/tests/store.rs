//! The model of a store: rows, ledger and heads in memory. It judges as PostgreSQL and SQLite do
//! (tests/store/contract.rs has their contract), and can be put back to an older state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    Planted,
    chance::{Chance, pass},
};
use crate::{
    domain::{
        batch::{Batch, BatchId, LANES, NodeId, RunId},
        delta::Delta,
        time::{HOUR, Millis},
    },
    live::{Applied, judge},
    sink::{SinkError, SinkErrorKind},
    store::{BatchStore, LaneHead, LaneHeads, Ledger, LedgerHeads, LedgerSpan, Missing, Written},
};

/// `ledger.keep_hours`, in ms.
pub const KEEP: Millis = 48 * HOUR;

/// The last batch of each run and lane.
pub type RunHeads = BTreeMap<(RunId, u64), u64>;

/// What the ledger has of a batch.
#[derive(Clone)]
pub struct LedgerEntry {
    sealed_at: Millis,
    events: u64,
    /// These, and those of its end that came later.
    whole_events: u64,
    delta: Arc<Delta>,
}

/// What the store has committed.
#[derive(Clone, Default)]
pub struct StoreState {
    /// Each event with how often it is there.
    pub rows: BTreeMap<u64, u64>,
    heads: RunHeads,
    ledger: BTreeMap<BatchId, LedgerEntry>,
    pub missing: Vec<Missing>,
}

/// A store that several nodes write to.
pub struct ModelStore {
    pub state: Mutex<StoreState>,
    /// Requests that arrive once more, later: their answers were given up.
    pub late: Mutex<Vec<Batch>>,
    /// For how many more requests it is away.
    pub away: Mutex<u64>,
    /// How many of a hundred messages are lost.
    pub loses: Mutex<u64>,
    /// Under which identity each event was stored, at whatever time.
    pub batch_of: Mutex<BTreeMap<u64, BTreeSet<BatchId>>>,
    /// What became of each write since the last look, for the trace.
    pub log: Mutex<Vec<String>>,
    pub planted: Planted,
    pub chance: Chance,
}

/// The events of a batch, by number.
pub fn events_of(batch: &Batch) -> Vec<u64> {
    batch.iter().flatten().filter_map(|row| row.id.parse().ok()).collect()
}

fn away() -> SinkError {
    SinkError::new(SinkErrorKind::Unavailable, "away, for the simulation")
}

impl ModelStore {
    pub fn new(planted: Planted, chance: Chance) -> ModelStore {
        ModelStore {
            state: Mutex::default(),
            late: Mutex::default(),
            away: Mutex::default(),
            loses: Mutex::new(2),
            batch_of: Mutex::default(),
            log: Mutex::default(),
            planted,
            chance,
        }
    }

    /// On the way to the store, and on the way back: time passes, and a message may be lost.
    async fn travel(&self) -> Result<(), SinkError> {
        for _ in 0..self.chance.below(3) {
            pass().await;
        }
        let mut left = self.away.lock();
        if *left > 0 {
            *left -= 1;
            return Err(away());
        }
        drop(left);
        match self.chance.percent(*self.loses.lock()) {
            true => Err(away()),
            false => Ok(()),
        }
    }

    /// One transaction, except where the planted defect makes it two.
    pub fn commit(&self, batch: &Batch) -> Written {
        let written = self.state.lock().write(batch, self.planted);
        if matches!(written, Written::Stored { .. }) {
            let mut batch_of = self.batch_of.lock();
            for event in events_of(batch) {
                batch_of.entry(event).or_default().insert(batch.id);
            }
        }
        let (seq, events) = (batch.id.seq, events_of(batch));
        self.log.lock().push(format!("    store: batch {seq} with {events:?}: {written:?}"));
        written
    }

    /// A node drops ledger rows. `ours` is what its clock shows, `server` what the store's does.
    pub fn drop_ledger(&self, ours: Millis, server: Millis) {
        let now = if self.planted == Planted::DropByOwnClock { ours } else { ours.min(server) };
        let before = now - KEEP;
        self.state.lock().ledger.retain(|_, entry| {
            entry.sealed_at >= before || entry.delta.span().is_some_and(|(_, end)| end >= before)
        });
    }

    /// What the live side is rebuilt from: heads, and the deltas of all batches.
    pub fn sums(&self) -> (RunHeads, Vec<Arc<Delta>>) {
        let state = self.state.lock();
        (state.heads.clone(), state.ledger.values().map(|entry| entry.delta.clone()).collect())
    }
}

impl StoreState {
    fn head(&self, run: RunId, lane: u64) -> u64 {
        self.heads.get(&(run, lane)).copied().unwrap_or(0)
    }

    fn write(&mut self, batch: &Batch, planted: Planted) -> Written {
        let (id, lane) = (batch.id, batch.id.lane());
        let mut verdict = judge(|run| self.head(run, lane), id, batch.after);
        if let Some(after) = batch.after
            && verdict == Applied::Counted
            && planted != Planted::RestUnnoted
            && self.ledger.get(&after).is_some_and(|row| row.whole_events < batch.after_events)
        {
            verdict = Applied::Gap { last: self.head(id.run, lane) };
        }
        if let Some(of) = batch.rest_of
            && planted != Planted::RestUnnoted
        {
            match self.ledger.get_mut(&of.id) {
                Some(row) if row.whole_events == of.known => row.whole_events += batch.events,
                _ => return Written::Gap,
            }
        }
        if planted == Planted::LooseGuard && matches!(verdict, Applied::Gap { .. }) {
            verdict = Applied::Counted;
        }
        match verdict {
            Applied::Gap { .. } => Written::Gap,
            Applied::AlreadyCounted => match self.ledger.get(&id) {
                Some(entry)
                    if planted != Planted::SameRun
                        && batch.events > 0
                        && (entry.events, entry.whole_events, entry.delta.encode_cells())
                            != (batch.events, batch.events, batch.delta.encode_cells()) =>
                {
                    let (events, whole_events) = (entry.events, entry.whole_events);
                    Written::Differs { events, whole_events, delta: entry.delta.encode_cells() }
                }
                _ => Written::AlreadyStored,
            },
            Applied::Counted => {
                self.add_rows(batch);
                self.move_on(batch);
                Written::Stored { events: batch.events, poisoned: 0 }
            }
        }
    }

    fn add_rows(&mut self, batch: &Batch) {
        for event in events_of(batch) {
            *self.rows.entry(event).or_default() += 1;
        }
    }

    fn move_on(&mut self, batch: &Batch) {
        let Batch { id, sealed_at, events, delta, .. } = batch;
        self.heads.insert((id.run, id.lane()), id.seq);
        let (sealed_at, events, delta) = (*sealed_at, *events, delta.clone());
        let entry = LedgerEntry { sealed_at, events, whole_events: events, delta };
        self.ledger.insert(*id, entry);
    }
}

#[async_trait]
impl BatchStore for ModelStore {
    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        if self.chance.percent(*self.loses.lock()) {
            // The request is on its way still when its sender gives up.
            self.late.lock().push(batch.clone());
            return Err(away());
        }
        self.travel().await?;
        if self.planted == Planted::GuardApart && self.chance.percent(20) {
            // The rows are committed alone, and the connection ends before the guard moves.
            self.state.lock().add_rows(batch);
            return Err(away());
        }
        let written = self.commit(batch);
        // It may be committed, and the answer lost.
        self.travel().await?;
        Ok(written)
    }

    async fn heads(&self, run: RunId) -> Result<LaneHeads, SinkError> {
        self.travel().await?;
        let state = self.state.lock();
        Ok(std::array::from_fn(|lane| {
            let seq = state.head(run, lane as u64);
            let events = state.ledger.get(&BatchId { run, seq }).map(|entry| entry.whole_events);
            LaneHead { seq, events }
        }))
    }

    async fn events_of(&self, id: BatchId) -> Result<Option<u64>, SinkError> {
        self.travel().await?;
        Ok(self.state.lock().ledger.get(&id).map(|entry| entry.whole_events))
    }

    async fn skip(
        &self,
        missing: &Missing,
        _before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), SinkError> {
        self.travel().await?;
        let mut state = self.state.lock();
        let head = state.heads.entry((missing.last.run, missing.last.seq % LANES)).or_default();
        *head = (*head).max(missing.last.seq);
        if let Some(entry) = state.ledger.get_mut(&missing.last) {
            entry.whole_events = entry.whole_events.max(whole_events);
        }
        if self.planted != Planted::SkippedUnnamed && !state.missing.contains(missing) {
            state.missing.push(missing.clone());
        }
        Ok(())
    }

    async fn missing(&self, node: NodeId) -> Result<Vec<Missing>, SinkError> {
        let state = self.state.lock();
        Ok(state.missing.iter().filter(|missing| missing.node == node).cloned().collect())
    }
}

#[async_trait]
impl Ledger for ModelStore {
    async fn read(
        &self,
        _: LedgerSpan,
        _: mpsc::Sender<(u64, Delta)>,
    ) -> Result<LedgerHeads, SinkError> {
        Ok(LedgerHeads::default())
    }

    async fn delta(&self, id: BatchId) -> Result<Option<Delta>, SinkError> {
        self.travel().await?;
        Ok(self.state.lock().ledger.get(&id).map(|entry| (*entry.delta).clone()))
    }
}
