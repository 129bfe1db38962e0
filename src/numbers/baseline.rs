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
        time::{BusinessZone, HOUR, MINUTE, Millis, bucket},
        totals::Totals,
    },
    numbers::span::Earlier,
    sink::SinkError,
    store::{Rollups, rollup::Known},
};

/// How far before now a minute may lie whose baseline is held, in ms.
pub const BASELINE_BEFORE: Millis = 2 * HOUR;
/// How far after now, in ms: a chart shows what is to come, and a store may be down for a while.
pub const BASELINE_AFTER: Millis = HOUR;

/// So much more is read on both sides: by so much the clock may be set between then and now.
const TURN: Millis = HOUR;

/// Which other day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// One day back.
    Yesterday,
    /// Seven days back.
    LastWeek,
}

impl Shift {
    /// Both of them.
    pub const ALL: [Shift; 2] = [Shift::Yesterday, Shift::LastWeek];

    /// The day that a baseline of an alert is read from; none for the hour before.
    pub fn of(against: Against) -> Option<Shift> {
        match against {
            Against::LastHour => None,
            Against::Yesterday => Some(Shift::Yesterday),
            Against::LastWeek => Some(Shift::LastWeek),
        }
    }

    /// Days back.
    pub fn days(self) -> u16 {
        match self {
            Shift::Yesterday => 1,
            Shift::LastWeek => 7,
        }
    }
}

/// The baselines of the hours around now. A clone is the same one; reading never waits for the
/// store.
#[derive(Clone)]
pub struct Baselines(Arc<HeldDays>);

struct HeldDays {
    zone: BusinessZone,
    /// By [`Shift`].
    days: [RwLock<Option<Arc<OtherDay>>>; 2],
    last_read: RwLock<LastRead>,
}

/// How the last read went.
struct LastRead {
    /// The last time it worked, Unix ms; before that, the start.
    worked_at: Millis,
    trouble: Option<String>,
}

/// Since when the baselines could not be read again, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The last time it worked, Unix ms; the start of the process where it never did.
    pub since: Millis,
    /// In words.
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
    /// Whether a minute without any event had none, so that it counts as zero. An import may
    /// bring hours from before the first batch: such an hour is taken to be whole where most of
    /// its minutes have events.
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

    fn sum_where(
        &self,
        shift: Shift,
        from: Millis,
        to: Millis,
        mut value: impl FnMut(&BTreeMap<Series, i64>) -> i64,
    ) -> Option<i64> {
        // What can't be held is not looked for, minute by minute.
        if to - from > BASELINE_BEFORE + BASELINE_AFTER + 2 * TURN {
            return None;
        }
        let day = self.0.days[shift as usize].read().clone()?;
        let mut sum = 0i64;
        let mut minute = bucket(from + MINUTE - 1, MINUTE);
        while minute < to {
            let then = self.0.zone.same_moment(minute, shift.days());
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
        for shift in Shift::ALL {
            match self.read(rollups, shift, now).await {
                Ok(day) => *self.0.days[shift as usize].write() = Some(Arc::new(day)),
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
        let then = |at| bucket(self.0.zone.same_moment(at, shift.days()), HOUR);
        let from = then(now - BASELINE_BEFORE) - TURN;
        let to = then(now + BASELINE_AFTER) + HOUR + TURN;
        // Known first: what is folded in between is more than it says.
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
