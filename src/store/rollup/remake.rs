//! The rollups of a day, made anew from its events: sums by minute, breakdowns, sketches. It is for what was
//! damaged, for what an earlier version did not keep, and for rules that have changed since: the day is then
//! counted by the rules of now.
//!
//! ```text
//!  fold all ─> one view of the store ─────────────────────────> alone, in one transaction
//!              which batches there are; is all of the day        has a batch come since that counts in
//!              folded? then all events of the day                the day? else the day is replaced
//!                     │ no                                              │ yes
//!  <──────────────────┴─────────────────────────────────────────────────┘
//! ```
//!
//! So a late event is in the day once: it was read with the others, or is folded onto them afterwards. Killed at
//! any point, the day is as it was before or as it is afterwards. An event that the store has refused
//! (`poisoned`) is not among its rows; what it counted is gone from the day then.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Fold, FoldLimits};
use crate::{
    domain::{
        aggregate::{Aggregator, CountedTypes, OwnTypes},
        bot,
        delta::{DeltaSum, Series},
        metric::MetricSet,
        row::{self, Row},
        time::{MAX_FUTURE, MINUTE, Millis},
    },
    sink::{SinkError, SinkErrorKind},
    store::{Stores, breakdowns::KeptTop, kept_minutes::KeptMinutes, sketches::KeptSketch},
};

/// Which day, and how it is counted.
#[derive(Clone)]
pub struct RemakeAsked {
    /// The start of the day, Unix ms: a full quarter of an hour.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
    /// The metrics and breakdowns in force.
    pub metric_set: Arc<MetricSet>,
    /// How many event types have counters of their own, where the day has none yet.
    pub max_types: usize,
    /// Where the events are that the store has no more; `None` for nowhere.
    pub archived: Option<Arc<dyn ArchivedRows>>,
}

/// Reads events that are in the archive.
pub trait ArchivedRows: Send + Sync + 'static {
    /// Those with an event time in `[from, until)` (Unix ms), encoded, in any order; an error is the last.
    fn rows(&self, from: Millis, until: Millis) -> mpsc::Receiver<Result<Vec<u8>, SinkError>>;
}

/// What a day consists of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remade {
    /// Events of the day.
    pub events: u64,
    /// Sums by minute and series.
    pub sums: usize,
    /// Summaries of breakdowns.
    pub breakdowns: usize,
    /// Sketches.
    pub sketches: usize,
}

/// Makes the rollups of a day anew.
#[async_trait]
pub trait Remake: Send + Sync + 'static {
    /// Replaces the rollups of a day; `None` where batches have come meanwhile that count in it, or others
    /// are not folded yet. Nothing is changed then.
    ///
    /// # Errors
    /// Events of the day were removed, or the store can't be read or written.
    async fn try_remake(&self, asked: &RemakeAsked) -> Result<Option<Remade>, SinkError>;
}

/// How often it is tried while late events of the day keep coming.
const TRIES: u32 = 20;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Folds what is there, and makes the rollups of a day anew.
///
/// # Errors
/// Those of [`Remake::try_remake`]; or events of the day keep coming.
pub async fn remake(stores: &Stores, asked: &RemakeAsked) -> Result<Remade, SinkError> {
    for _ in 0..TRIES {
        while !stores.rollups.fold(FoldLimits::default()).await?.done {}
        if let Some(remade) = stores.remake.try_remake(asked).await? {
            return Ok(remade);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let message =
        "events of that day keep coming, or are not folded: nothing was changed; try again";
    Err(SinkError::new(SinkErrorKind::Other, message))
}

/// The error of a day whose events are not all there any more.
pub(crate) fn removed() -> SinkError {
    let message =
        "events of that day were removed, so its rollups can't be made anew: they stay as they are";
    SinkError::new(SinkErrorKind::Other, message)
}

/// Rows that are added up before they go into the sums of the day.
const ROWS: u64 = 4_096;

/// Adds up the rows of a day.
pub(crate) struct Remaking {
    asked: RemakeAsked,
    aggregator: Aggregator,
    sum: DeltaSum,
    fold: Fold,
    events: u64,
}

/// The rollups of a day.
pub(crate) struct DayMade {
    /// (series, minute, value)
    pub sums: Vec<(String, Millis, i64)>,
    /// The breakdowns.
    pub tops: Vec<KeptTop>,
    /// The sketches.
    pub sketches: Vec<KeptSketch>,
    events: u64,
}

impl Remaking {
    /// No row yet. `counted` are the keys of the day's series: where types had counters of their own, these
    /// and no others have them again.
    pub fn new(asked: &RemakeAsked, counted: &[String]) -> Remaking {
        let kind = |key: &String| match Series::parse(key) {
            Some(Series::Count(kind)) => Some(kind),
            _ => None,
        };
        let types = CountedTypes {
            day: asked.from,
            today: counted.iter().filter_map(kind).collect(),
            yesterday: Vec::new(),
        };
        let mut aggregator = Aggregator::new(asked.metric_set.clone(), asked.max_types)
            .going_on(OwnTypes::default(), Arc::new(move || types.clone()));
        aggregator.look_around(asked.from);
        Remaking {
            asked: asked.clone(),
            aggregator,
            sum: DeltaSum::default(),
            fold: Fold::new(FoldLimits::default()),
            events: 0,
        }
    }

    /// The stretch of event time whose rows are needed. A visitor whose clock is ahead is counted at the
    /// moment of receipt, and may have come before midnight.
    pub fn stretch(asked: &RemakeAsked) -> (Millis, Millis) {
        (asked.from, asked.to + MAX_FUTURE)
    }

    /// Adds a row.
    pub fn add(&mut self, row: &Row<'_>) {
        // Postgres keeps properties in an order of its own.
        let properties = bot::labelled(row.properties.into(), row.kind, false);
        self.aggregator.add(&mut self.sum, &Row { properties: &properties, ..*row });
        self.events += u64::from((self.asked.from..self.asked.to).contains(&row.time));
        if self.sum.events() >= ROWS {
            self.settle();
        }
    }

    /// Adds encoded rows.
    pub fn add_encoded(&mut self, rows: &[u8]) -> Result<(), SinkError> {
        for row in row::rows(rows) {
            self.add(&row.map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?);
        }
        Ok(())
    }

    fn settle(&mut self) {
        let part = self.sum.finish().within(self.asked.from, self.asked.to);
        self.fold.add_cells(&part);
        self.fold.tops.add(&part);
        self.fold.sketches.add(&part);
    }

    /// All that was added up.
    pub fn finish(mut self) -> DayMade {
        self.settle();
        DayMade {
            sums: self.fold.sums(),
            tops: self.fold.tops.finish(),
            sketches: self.fold.sketches.finish(&[]),
            events: self.events,
        }
    }
}

impl DayMade {
    /// Leaves out the minutes before `forgotten` (Unix ms) of what is kept by minute only for some time.
    pub fn without_minutes(&mut self, kept: &KeptMinutes) {
        let is_kept = |span, at| span != MINUTE || kept.has(at, at + MINUTE);
        self.tops.retain(|it| is_kept(it.span, it.at));
        self.sketches.retain(|it| is_kept(it.span, it.at));
    }

    /// How much it is.
    pub fn told(&self) -> Remade {
        Remade {
            events: self.events,
            sums: self.sums.len(),
            breakdowns: self.tops.len(),
            sketches: self.sketches.len(),
        }
    }
}
