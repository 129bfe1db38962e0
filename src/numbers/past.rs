//! The past: what the rollups of the rollups say of minutes that the mirror does not have.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    domain::{
        time::{BusinessZone, HOUR, MINUTE, Millis},
        top::Top,
        totals::Totals,
    },
    numbers::{
        Shift, Unavailable,
        span::{Buckets, Earlier},
    },
    sink::SinkError,
    store::{
        Rollups,
        rollup::{Known, Summed},
    },
};

/// How long a reader waits for the rollups.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Hours of one read of minutes, in ms: a read has a limit of rows.
const READ: Millis = 6 * HOUR;

/// The rollups, asked with a limit of time. A clone asks the same rollups, which answers on
/// connections that only readers use.
#[derive(Clone)]
pub struct Past {
    rollups: Arc<dyn Rollups>,
}

impl Past {
    /// Asks this rollups.
    pub fn new(rollups: Arc<dyn Rollups>) -> Past {
        Past { rollups }
    }

    /// Which stretch of time the rollups tell the whole truth about.
    ///
    /// # Errors
    /// The rollups does not answer in time.
    pub async fn known(&self) -> Result<Known, Unavailable> {
        answer(self.rollups.known()).await
    }

    /// The sum of the minutes that start in each span `[from, to)` (Unix ms); `None` where no
    /// minute has anything.
    ///
    /// # Errors
    /// The rollups does not answer in time.
    pub async fn sums(
        &self,
        spans: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, Unavailable> {
        // No series has such a name, and Postgres takes none.
        if summed.key().contains('\0') {
            return Ok(vec![None; spans.len()]);
        }
        answer(self.rollups.sums(spans, summed)).await
    }
}

async fn answer<T>(answer: impl Future<Output = Result<T, SinkError>>) -> Result<T, Unavailable> {
    let why = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} ms", ANSWER_WITHIN.as_millis()),
    };
    tracing::warn!(why, "the rollups can't be read");
    Err(Unavailable { why })
}

/// Minutes of the rollups, read into memory: a stretch of time, and the same stretch of the days
/// that it is held against.
pub struct Minutes {
    zone: BusinessZone,
    held: BTreeMap<Millis, Totals>,
}

impl Minutes {
    /// These minutes, by their start in Unix ms.
    pub fn new(zone: BusinessZone, minutes: BTreeMap<Millis, Totals>) -> Minutes {
        Minutes { zone, held: minutes }
    }

    /// Reads what starts in `[from, to)` (Unix ms), and what it is held against by each shift.
    ///
    /// # Errors
    /// The rollups's.
    pub async fn read(
        rollups: &dyn Rollups,
        zone: BusinessZone,
        shifts: &[Shift],
        from: Millis,
        to: Millis,
    ) -> Result<Minutes, SinkError> {
        let shifted = |shift: &Shift| {
            let then = |at| zone.same_moment(at, shift.days());
            // The clock may be set by an hour between then and now.
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
                // Spans may overlap: a minute is read whole, so the last read will do.
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

    /// Breakdowns are kept for a day, and not in the rollups.
    fn top(&self, _: &str, _: Millis, _: Millis) -> Top {
        Top::default()
    }
}

impl Earlier for Minutes {
    fn earlier(&self, shift: Shift, from: Millis, to: Millis) -> Option<Totals> {
        let mut sum = Totals::default();
        for minute in (from..to).step_by(MINUTE as usize) {
            let then = self.zone.same_moment(minute, shift.days());
            self.minutes_in(then, then + MINUTE).for_each(|(_, totals)| sum.merge(totals));
        }
        // Without a single event there was no such day.
        (sum.events() > 0).then_some(sum)
    }
}
