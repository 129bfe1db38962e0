//! Baselines: what was counted at the same moment yesterday and last week, by the clock of
//! the business time zone. Held in memory for the hours around now, so that no reader waits
//! for the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use parking_lot::RwLock;

use crate::{
    config,
    domain::{
        delta::Series,
        time::{BusinessZone, HOUR, MINUTE, Millis, bucket, now_ms},
        totals::Totals,
    },
    retry::Backoff,
    store::{Store, StoreError, rollup::Known},
};

/// How far before now a minute may lie whose baseline is held, in ms.
pub const BASELINE_BEFORE: Millis = 2 * HOUR;
/// … and how far after now: what is to come, and time for a store that is down.
pub const BASELINE_AFTER: Millis = HOUR;

/// Read on both sides: by so much the clock may be set between then and now.
const TURN: Millis = HOUR;

/// Which past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// One day back.
    Yesterday,
    /// Seven days back.
    LastWeek,
}

impl Shift {
    /// Both.
    pub const ALL: [Shift; 2] = [Shift::Yesterday, Shift::LastWeek];

    /// Days back.
    pub fn days(self) -> u16 {
        match self {
            Shift::Yesterday => 1,
            Shift::LastWeek => 7,
        }
    }
}

/// Read access to the baselines. Cheap to clone, never waits for the store.
#[derive(Clone)]
pub struct Baselines(Arc<Shared>);

struct Shared {
    zone: BusinessZone,
    pasts: [RwLock<Option<Arc<Past>>>; 2],
    freshness: RwLock<Freshness>,
}

struct Freshness {
    /// The last time it worked, Unix ms; before that, the start.
    read_at: Millis,
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

/// What was read of one past: `from..to` of its own time.
struct Past {
    from: Millis,
    to: Millis,
    known: Known,
    minutes: HashMap<Millis, BTreeMap<Series, i64>>,
}

impl Past {
    /// Whether what is not there is zero. Where an hour of an import from before the first
    /// batch has events in most of its minutes, it is taken to be whole.
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
        Baselines(Arc::new(Shared {
            zone,
            pasts: Default::default(),
            freshness: RwLock::new(Freshness { read_at: now, trouble }),
        }))
    }

    /// What `series` counted in the minute that is to `minute` (Unix ms, today's) what the
    /// shift says. `None`: not known, since it lies too far from now, nothing was taken in
    /// yet then, or the store has not been read. `Some(0)`: nothing of this series happened.
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

    /// All series of the minutes that start in `[from, to)`, as [`Baselines::sum`].
    pub fn totals(&self, shift: Shift, from: Millis, to: Millis) -> Option<Totals> {
        let mut totals = Totals::default();
        self.sum_where(shift, from, to, |found| {
            found.iter().for_each(|(series, value)| totals.add(series, *value));
            0
        })?;
        Some(totals)
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
        let past = self.0.pasts[shift as usize].read().clone()?;
        let mut sum = 0i64;
        let mut minute = bucket(from + MINUTE - 1, MINUTE);
        while minute < to {
            let then = self.0.zone.same_moment(minute, shift.days());
            if !past.knows(then) {
                return None;
            }
            sum = sum.saturating_add(past.minutes.get(&then).map_or(0, &mut value));
            minute += MINUTE;
        }
        Some(sum)
    }

    /// Since when and why what is held is not up to date; `None` while it is.
    pub fn stale(&self) -> Option<Stale> {
        let freshness = self.0.freshness.read();
        let reason = freshness.trouble.clone()?;
        Some(Stale { since: freshness.read_at, reason })
    }

    /// Reads the hours around `now` (Unix ms) again. On an error what was held stays.
    pub async fn refresh(&self, store: &dyn Store, now: Millis) -> Result<(), StoreError> {
        for shift in Shift::ALL {
            match self.read(store, shift, now).await {
                Ok(past) => *self.0.pasts[shift as usize].write() = Some(Arc::new(past)),
                Err(e) => {
                    self.0.freshness.write().trouble = Some(e.to_string());
                    return Err(e);
                }
            }
        }
        *self.0.freshness.write() = Freshness { read_at: now, trouble: None };
        Ok(())
    }

    async fn read(&self, store: &dyn Store, shift: Shift, now: Millis) -> Result<Past, StoreError> {
        let then = |at| bucket(self.0.zone.same_moment(at, shift.days()), HOUR);
        let from = then(now - BASELINE_BEFORE) - TURN;
        let to = then(now + BASELINE_AFTER) + HOUR + TURN;
        // Known first: what is folded in between is more than it says.
        let known = store.rollup_known().await?;
        let mut minutes: HashMap<Millis, BTreeMap<Series, i64>> = HashMap::new();
        for (minute, series, value) in store.rollup(from, to, None).await? {
            minutes.entry(minute).or_default().insert(series, value);
        }
        Ok(Past { from, to, known, minutes })
    }
}

/// Reads the baselines again, every minute.
///
/// - Gets no messages and sends none; whoever holds the [`Baselines`] sees what it read.
/// - Bounded by: one read at a time, of six hours of each past.
pub struct BaselineReader {
    /// What it fills.
    pub baselines: Baselines,
    /// Where the rollups are.
    pub store: Arc<dyn Store>,
    backoff: Backoff,
}

const READ_EVERY: Duration = Duration::from_secs(60);

impl BaselineReader {
    /// Tries again as `[retry]` says.
    pub fn new(
        baselines: Baselines,
        store: Arc<dyn Store>,
        retry: &config::RetryConfig,
    ) -> BaselineReader {
        BaselineReader { baselines, store, backoff: Backoff::new(retry) }
    }

    fn read(&mut self, ctx: &mut Context<Self>) {
        let (baselines, store) = (self.baselines.clone(), self.store.clone());
        let read = async move { baselines.refresh(&*store, now_ms()).await };
        ctx.spawn(read.into_actor(self).map(|read, reader, ctx| {
            let pause = match read {
                Ok(()) => {
                    reader.backoff.reset();
                    READ_EVERY
                }
                // The store's own actors report it; here it is in `Baselines::stale`.
                Err(e) => {
                    tracing::debug!(error = %e, "can't read the baselines");
                    reader.backoff.pause()
                }
            };
            ctx.run_later(pause, Self::read);
        }));
    }
}

impl Actor for BaselineReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.read(ctx);
    }
}
