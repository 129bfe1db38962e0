//! The past: what the rollups of the store say of minutes that the mirror does not have.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    domain::{
        sketch::Estimate,
        time::{BusinessZone, HOUR, MINUTE, Millis},
        top::{Top, TopAnswer},
        totals::Totals,
    },
    numbers::{
        Shift, Unavailable,
        span::{Buckets, Earlier},
    },
    sink::SinkError,
    store::{
        Rollups, Stores,
        breakdowns::{Breakdowns, KeptSince, TopsAsked},
        events::{
            EventReader,
            visitors::{SeenVisitor, VisitorsAsked},
        },
        rollup::{Known, Summed},
        sketches::{SketchedSince, Sketches, SketchesAsked},
    },
};

/// How long a reader waits for the rollups.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How much time one read of minutes spans, in ms. It is limited because a read may return only
/// so many rows.
const READ: Millis = 6 * HOUR;

/// Asks the rollups, and waits no longer than [`ANSWER_WITHIN`]. A clone asks the same rollups.
/// They answer on connections that only readers use, so a question never delays a writer.
#[derive(Clone)]
pub struct Past {
    rollups: Arc<dyn Rollups>,
    breakdowns: Arc<dyn Breakdowns>,
    sketches: Arc<dyn Sketches>,
}

impl Past {
    /// Asks the rollups, breakdowns and sketches of these stores.
    pub fn new(stores: &Stores) -> Past {
        Past {
            rollups: stores.rollups.clone(),
            breakdowns: stores.breakdowns.clone(),
            sketches: stores.sketches.clone(),
        }
    }

    /// How many different values there are in each stretch.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn different(&self, asked: &SketchesAsked) -> Result<Vec<Estimate>, Unavailable> {
        answer(self.sketches.different(asked)).await
    }

    /// Of which time different values are known.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn sketched_since(&self) -> Result<SketchedSince, Unavailable> {
        answer(self.sketches.sketched_since()).await
    }

    /// The most frequent values of a breakdown.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn tops(&self, asked: &TopsAsked) -> Result<TopAnswer, Unavailable> {
        answer(self.breakdowns.sum(asked)).await
    }

    /// How far back breakdowns are known.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn breakdowns_since(&self) -> Result<KeptSince, Unavailable> {
        answer(self.breakdowns.since()).await
    }

    /// The stretch of time for which the rollups are complete.
    ///
    /// # Errors
    /// The rollups do not answer in time.
    pub async fn known(&self) -> Result<Known, Unavailable> {
        answer(self.rollups.known()).await
    }

    /// Every series of the minutes that start in `[from, to)` (Unix ms), summed up.
    ///
    /// # Errors
    /// The rollups do not answer in time.
    pub async fn totals(&self, from: Millis, to: Millis) -> Result<Totals, Unavailable> {
        answer(self.rollups.span_totals(from, to)).await
    }

    /// Every series of each minute that starts in `[from, to)` (Unix ms), oldest first, without empty ones.
    ///
    /// # Errors
    /// The rollups do not answer in time.
    pub async fn minutes(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<(Millis, Totals)>, Unavailable> {
        let mut found: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (minute, series, value) in answer(self.rollups.minutes(from, to, None)).await? {
            found.entry(minute).or_default().add(&series, value);
        }
        Ok(found.into_iter().collect())
    }

    /// Who was seen in a span; `None` where that would take too long.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn visitors(
        &self,
        events: &dyn EventReader,
        asked: &VisitorsAsked,
    ) -> Result<Option<Vec<SeenVisitor>>, Unavailable> {
        answer(events.visitors(asked)).await
    }

    /// The sum of the minutes that start in each span `[from, to)` (Unix ms); `None` where no
    /// minute has anything.
    ///
    /// # Errors
    /// The rollups do not answer in time.
    pub async fn sums(
        &self,
        spans: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, Unavailable> {
        // A name with the character NUL is refused at intake, so nothing was counted under it. It
        // is not asked for, since Postgres takes no text with NUL and would answer with an error.
        if summed.key().contains('\0') {
            return Ok(vec![None; spans.len()]);
        }
        answer(self.rollups.sums(spans, summed)).await
    }
}

/// The answer, if it comes in time.
async fn answer<T>(answer: impl Future<Output = Result<T, SinkError>>) -> Result<T, Unavailable> {
    let why = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} ms", ANSWER_WITHIN.as_millis()),
    };
    tracing::warn!(why, "the rollups can't be read");
    Err(Unavailable { why })
}

/// Minutes of the rollups, read into memory: those of a stretch of time, and those of the same
/// stretch on the days that it is compared with.
pub struct Minutes {
    zone: BusinessZone,
    held: BTreeMap<Millis, Totals>,
}

impl Minutes {
    /// Holds these minutes, by their start in Unix ms.
    pub fn new(zone: BusinessZone, minutes: BTreeMap<Millis, Totals>) -> Minutes {
        Minutes { zone, held: minutes }
    }

    /// Reads the minutes that start in `[from, to)` (Unix ms), and those that they are compared
    /// with by each of `shifts`.
    ///
    /// # Errors
    /// The rollups can't be read.
    pub async fn read(
        rollups: &dyn Rollups,
        zone: BusinessZone,
        shifts: &[Shift],
        from: Millis,
        to: Millis,
    ) -> Result<Minutes, SinkError> {
        let shifted = |shift: &Shift| {
            let then = |at| shift.then(at, &zone);
            // The clock of the zone may have been set by an hour between that day and this one.
            (then(from) - HOUR, then(to) + HOUR)
        };
        let mut spans: Vec<_> = shifts.iter().map(shifted).collect();
        spans.push((from, to));
        let mut held: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (mut at, end) in spans {
            while at < end {
                let until = (at + READ).min(end);
                let mut found: BTreeMap<Millis, Totals> = BTreeMap::new();
                for (minute, series, value) in rollups.minutes(at, until, None).await? {
                    found.entry(minute).or_default().add(&series, value);
                }
                // Spans may overlap. Each read has all series of a minute, so a minute that is
                // read twice replaces itself.
                held.extend(found);
                at = until;
            }
        }
        Ok(Minutes { zone, held })
    }

    /// Whether nothing starts in `[from, to)`.
    pub fn is_empty(&self, from: Millis, to: Millis) -> bool {
        self.minutes_in(from, to).next().is_none()
    }
}

impl Buckets for Minutes {
    fn seconds_in(&self, _: Millis, _: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        std::iter::empty()
    }

    fn minutes_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        self.held.range(from..to.max(from)).map(|(start, totals)| (*start, totals))
    }

    /// Nothing: minutes are read for alerts, which do not look at breakdowns of the past.
    fn top(&self, _: &str, _: Millis, _: Millis) -> Top {
        Top::default()
    }
}

impl Earlier for Minutes {
    fn earlier(&self, shift: Shift, from: Millis, to: Millis) -> Option<Totals> {
        let mut sum = Totals::default();
        for minute in (from..to).step_by(MINUTE as usize) {
            let then = shift.then(minute, &self.zone);
            self.minutes_in(then, then + MINUTE).for_each(|(_, totals)| sum.merge(totals));
        }
        // A span without a single event is taken as one on which the shop did not run yet, rather
        // than as a baseline of zero.
        (sum.events() > 0).then_some(sum)
    }
}
