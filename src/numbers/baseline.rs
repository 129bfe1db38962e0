//! Baselines: what was counted at the same moment yesterday and last week, by the clock of
//! the business time zone. Those of the hours around now are held in memory, so that no reader
//! waits for the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{
    domain::{
        alert::Against,
        delta::Series,
        occasion::Alignment,
        time::{BusinessZone, HOUR, MINUTE, Millis, bucket},
        totals::Totals,
    },
    numbers::span::Earlier,
    sink::SinkError,
    store::{Rollups, rollup::Known},
};

/// How far before now a minute may lie for its baseline to be held, in ms.
pub const BASELINE_BEFORE: Millis = 2 * HOUR;
/// How far after now a minute may lie for its baseline to be held, in ms. The hour ahead is held
/// because charts show it, and because the store may be down when it has come.
pub const BASELINE_AFTER: Millis = HOUR;

/// How much more is read on both sides, in ms. The clock of the zone may have been set by an hour
/// between that day and today.
const TURN: Millis = HOUR;

/// The other day that today is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// One day back.
    Yesterday,
    /// Seven days back.
    LastWeek,
    /// The same date of the year before; of 29 February the day before it.
    LastYear,
    /// So many days back.
    Days(u16),
    /// So many ms back, whatever the clock on the wall shows.
    Elapsed(Millis),
}

impl Shift {
    /// Those that are held in memory.
    pub const HELD: [Shift; 2] = [Shift::Yesterday, Shift::LastWeek];

    /// The day that a baseline of an alert is read from; `None` where it is the hour before, which
    /// is today.
    pub fn of(against: Against) -> Option<Shift> {
        match against {
            Against::LastHour => None,
            Against::Yesterday => Some(Shift::Yesterday),
            Against::LastWeek => Some(Shift::LastWeek),
        }
    }

    /// The shift by which a span lies over an occasion.
    pub fn aligned(alignment: Alignment) -> Shift {
        match alignment {
            Alignment::Days(days) => Shift::Days(days),
            Alignment::Elapsed(span) => Shift::Elapsed(span),
        }
    }

    /// Where the moment `at` (Unix ms) lies on the other day, by the clock on the wall.
    pub fn then(self, at: Millis, zone: &BusinessZone) -> Millis {
        match self {
            Shift::Yesterday => zone.same_moment(at, 1),
            Shift::LastWeek => zone.same_moment(at, 7),
            Shift::LastYear => zone.same_moment_last_year(at),
            Shift::Days(days) => zone.same_moment(at, days),
            Shift::Elapsed(span) => at - span,
        }
    }

    /// Its place among those that are held.
    fn place(self) -> Option<usize> {
        Shift::HELD.iter().position(|held| *held == self)
    }
}

/// The baselines of the hours around now. A clone holds the same ones, and a reader never waits
/// for the store.
#[derive(Clone)]
pub struct Baselines(Arc<HeldDays>);

struct HeldDays {
    zone: BusinessZone,
    /// One entry for each of [`Shift::HELD`], in their order; `None` before the first read.
    days: [RwLock<Option<Arc<OtherDay>>>; 2],
    last_read: RwLock<LastRead>,
}

/// How the last read went.
struct LastRead {
    /// When a read last worked, Unix ms; before that, when the process started.
    worked_at: Millis,
    /// Why the last read failed; `None` where it worked.
    trouble: Option<String>,
}

/// Since when the baselines could not be read again, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// When a read last worked, Unix ms; the start of the process where none has worked yet.
    pub since: Millis,
    /// Why reading fails, in words.
    pub reason: String,
}

/// What was read of one other day: `from..to` of its own time.
struct OtherDay {
    from: Millis,
    to: Millis,
    known: Known,
    minutes: HashMap<Millis, BTreeMap<Series, i64>>,
}

impl OtherDay {
    /// Whether a minute that has no row here really had no event, so that it counts as zero. An
    /// import may bring hours from before the first batch. Such an hour is taken to be complete
    /// where more than half of its minutes have events.
    fn knows(&self, minute: Millis) -> bool {
        if minute < self.from || minute >= self.to {
            return false;
        }
        let minute_end = minute + MINUTE;
        if self.known.covers(minute, minute_end) {
            return true;
        }
        let hour = bucket(minute, HOUR);
        let filled = (hour..hour + HOUR)
            .step_by(MINUTE as usize)
            .filter(|at| self.minutes.contains_key(at))
            .count() as Millis;
        self.known.until.is_none_or(|until| minute_end <= until) && filled > HOUR / MINUTE / 2
    }
}

impl Baselines {
    /// Nothing known yet, at `now` (Unix ms).
    pub fn new(zone: BusinessZone, now: Millis) -> Baselines {
        let trouble = Some("baselines have not been read yet".to_owned());
        Baselines(Arc::new(HeldDays {
            zone,
            days: Default::default(),
            last_read: RwLock::new(LastRead { worked_at: now, trouble }),
        }))
    }

    /// What `series` counted in the minute that the shift puts at `minute` (Unix ms, today's).
    /// `None` where that is not known: it lies too far from now, the shop had not sent anything
    /// yet, or the store has not been read. `Some(0)` where nothing of this series happened.
    pub fn minute(&self, series: &Series, shift: Shift, minute: Millis) -> Option<i64> {
        self.sum(series, shift, bucket(minute, MINUTE), bucket(minute, MINUTE) + MINUTE)
    }

    /// The sum of the minutes that start in `[from, to)` (Unix ms, today's), shifted each by
    /// itself. `None` where any of them is not known.
    pub fn sum(&self, series: &Series, shift: Shift, from: Millis, to: Millis) -> Option<i64> {
        self.sum_where(shift, from, to, |found| found.get(series).copied().unwrap_or(0))
    }

    /// The events of all types, as [`Baselines::sum`].
    pub fn events(&self, shift: Shift, from: Millis, to: Millis) -> Option<i64> {
        self.sum_where(shift, from, to, |found| {
            let counts = found.iter().filter(|(series, _)| matches!(series, Series::Count(_)));
            counts.map(|(_, value)| value).sum()
        })
    }

    /// Sums `value` of each minute, of which it gets all series. `None` where a minute is not
    /// known.
    fn sum_where(
        &self,
        shift: Shift,
        from: Millis,
        to: Millis,
        mut value: impl FnMut(&BTreeMap<Series, i64>) -> i64,
    ) -> Option<i64> {
        // A span that is longer than all that is held can't be known, so its minutes are not
        // looked up one by one.
        if to - from > BASELINE_BEFORE + BASELINE_AFTER + 2 * TURN {
            return None;
        }
        let day = self.0.days[shift.place()?].read().clone()?;
        let mut sum = 0i64;
        let mut minute = bucket(from + MINUTE - 1, MINUTE);
        while minute < to {
            let then = shift.then(minute, &self.0.zone);
            if !day.knows(then) {
                return None;
            }
            sum = sum.saturating_add(day.minutes.get(&then).map_or(0, &mut value));
            minute += MINUTE;
        }
        Some(sum)
    }

    /// Since when and why what is held is not up to date; `None` while it is.
    pub fn stale(&self) -> Option<Stale> {
        let last_read = self.0.last_read.read();
        let reason = last_read.trouble.clone()?;
        Some(Stale { since: last_read.worked_at, reason })
    }

    /// Reads the hours around `now` (Unix ms) again.
    ///
    /// # Errors
    /// The store's. What was held stays, and [`Baselines::stale`] says why it is old.
    pub async fn refresh(&self, rollups: &dyn Rollups, now: Millis) -> Result<(), SinkError> {
        for (shift, held) in Shift::HELD.into_iter().zip(&self.0.days) {
            match self.read(rollups, shift, now).await {
                Ok(day) => *held.write() = Some(Arc::new(day)),
                Err(e) => {
                    self.0.last_read.write().trouble = Some(e.to_string());
                    return Err(e);
                }
            }
        }
        *self.0.last_read.write() = LastRead { worked_at: now, trouble: None };
        Ok(())
    }

    async fn read(
        &self,
        rollups: &dyn Rollups,
        shift: Shift,
        now: Millis,
    ) -> Result<OtherDay, SinkError> {
        let then = |at| bucket(shift.then(at, &self.0.zone), HOUR);
        let from = then(now - BASELINE_BEFORE) - TURN;
        let to = then(now + BASELINE_AFTER) + HOUR + TURN;
        // `known` is read before the minutes. What is folded between the two reads is then missing
        // from `known` only, which is safe: it claims less than the minutes have.
        let known = rollups.known().await?;
        let mut minutes: HashMap<Millis, BTreeMap<Series, i64>> = HashMap::new();
        for (minute, series, value) in rollups.minutes(from, to, None).await? {
            minutes.entry(minute).or_default().insert(series, value);
        }
        Ok(OtherDay { from, to, known, minutes })
    }
}

impl Earlier for Baselines {
    fn earlier(&self, shift: Shift, from: Millis, to: Millis) -> Option<Totals> {
        let mut totals = Totals::default();
        self.sum_where(shift, from, to, |found| {
            found.iter().for_each(|(series, value)| totals.add(series, *value));
            0
        })?;
        Some(totals)
    }
}
