//! The model of a live side: the sum of each second, and a guard. Each event of the simulation has a
//! second of its own, so a sum says how often one event was counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::civil::Date;
use parking_lot::Mutex;

use super::{
    chance::{Chance, pass},
    store::ModelStore,
};
use crate::{
    domain::{
        batch::{BatchId, RunId},
        delta::Delta,
        time::Millis,
    },
    live::{Applied, LiveStore, NotesVisitors, Population, judge},
    sink::{Lease, SinkError, SinkErrorKind},
};

/// What the live side has counted.
#[derive(Clone, Default)]
pub struct LiveState {
    pub heads: BTreeMap<(RunId, u64), u64>,
    /// By second, Unix ms.
    pub sums: BTreeMap<Millis, i64>,
    /// It was emptied, and takes nothing until it is rebuilt.
    pub is_empty: bool,
}

/// A live side that several nodes count on.
pub struct ModelLive {
    pub state: Mutex<LiveState>,
    pub store: Arc<ModelStore>,
    /// For how many more requests it is away.
    pub away: Mutex<u64>,
    /// How many of a hundred messages are lost.
    pub loses: Mutex<u64>,
    pub chance: Chance,
}

impl LiveState {
    fn add(&mut self, delta: &Delta) {
        for (second, _, n) in delta.cells() {
            *self.sums.entry(second).or_default() += n;
        }
    }
}

impl ModelLive {
    pub fn new(store: Arc<ModelStore>, chance: Chance) -> ModelLive {
        ModelLive {
            state: Mutex::default(),
            store,
            away: Mutex::default(),
            loses: Mutex::new(2),
            chance,
        }
    }

    async fn travel(&self) -> Result<(), SinkError> {
        for _ in 0..self.chance.below(3) {
            pass().await;
        }
        let unavailable = SinkErrorKind::Unavailable;
        let mut left = self.away.lock();
        if *left > 0 || self.chance.percent(*self.loses.lock()) {
            *left = left.saturating_sub(1);
            return Err(SinkError::new(unavailable, "away, for the simulation"));
        }
        Ok(())
    }

    fn taken(&self) -> Result<(), SinkError> {
        match self.state.lock().is_empty {
            true => Err(SinkError::new(SinkErrorKind::Rebuilding, "emptied, for the simulation")),
            false => Ok(()),
        }
    }

    /// Puts what the ledger says in the place of all counters.
    pub fn rebuild_now(&self) {
        let (heads, deltas) = self.store.sums();
        let mut state = LiveState { heads, ..LiveState::default() };
        deltas.iter().for_each(|delta| state.add(delta));
        *self.state.lock() = state;
    }
}

#[async_trait]
impl Lease for ModelLive {
    async fn lead(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn resign(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl LiveStore for ModelLive {
    fn name(&self) -> &'static str {
        "model"
    }

    async fn apply(
        &self,
        id: BatchId,
        after: Option<BatchId>,
        _: Millis,
        delta: &Arc<Delta>,
    ) -> Result<Applied, SinkError> {
        self.travel().await?;
        self.taken()?;
        let verdict = {
            let mut state = self.state.lock();
            let head = |run| state.heads.get(&(run, id.lane())).copied().unwrap_or(0);
            let verdict = judge(head, id, after);
            if verdict == Applied::Counted {
                state.add(delta);
                state.heads.insert((id.run, id.lane()), id.seq);
            }
            verdict
        };
        self.travel().await?;
        Ok(verdict)
    }

    async fn touch(&self, _: &Delta) -> Result<(), SinkError> {
        Ok(())
    }

    async fn population(&self, _: Millis, _: Date) -> Result<Population, SinkError> {
        Ok(Population::default())
    }

    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError> {
        self.taken()?;
        Ok(self.state.lock().heads.get(&(run, lane)).copied().unwrap_or(0))
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Visitors are not looked at here.
#[async_trait]
impl NotesVisitors for ModelLive {
    async fn note(&self, _: &Arc<Delta>) -> Result<(), SinkError> {
        Ok(())
    }
}
