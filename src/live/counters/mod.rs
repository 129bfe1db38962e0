//! The live counters in memory: the seconds of the last hour, the minutes of the last 24 hours and
//! the business days around now, each summed by series, and the breakdowns of these minutes. There
//! is no I/O in here.
//!
//! This is the side that writes. It adds deltas, forgets what is old, and hands the buckets out as
//! they are. How a number over a span of time is made of them is said in `numbers/`.
//!
//! They are bounded ([`CounterLimits`]). Where the seconds reach their limit, the oldest go before
//! their hour is over, and [`Counters::seconds_from`] says so. Where the breakdowns do, those of old
//! minutes keep fewer values ([`tops`]). Minutes and days need no limit: there are so many of them,
//! each with so many series.

#[cfg(test)]
mod tests;
mod tops;

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;

use self::tops::Tops;
use crate::{
    config::MemoryShares,
    domain::{
        delta::{Delta, Series},
        pool::Pool,
        time::{BusinessDay, BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, bucket},
        top::Top,
        totals::Totals,
    },
};

/// How long a second stays, in ms.
pub const SECONDS_KEPT: Millis = HOUR;
/// How long a minute stays, in ms.
pub const MINUTES_KEPT: Millis = DAY;
/// How long a business day's total stays after its end, in ms.
pub const DAYS_KEPT: Millis = DAY;

/// How much counters may hold. By default that is as much as comes.
#[derive(Clone, Copy, Debug)]
pub struct CounterLimits {
    /// Sums by second and series.
    pub second_sums: usize,
    /// Bytes of breakdowns.
    pub breakdown_bytes: usize,
}

impl Default for CounterLimits {
    fn default() -> CounterLimits {
        CounterLimits { second_sums: usize::MAX, breakdown_bytes: usize::MAX }
    }
}

impl CounterLimits {
    /// The limits of one copy of the counters.
    pub fn of(shares: &MemoryShares) -> CounterLimits {
        CounterLimits {
            second_sums: shares.second_sums(),
            breakdown_bytes: shares.breakdowns as usize,
        }
    }
}

/// All live counters. A live store starts a feed with them, and every node keeps a copy.
#[derive(Clone, Debug)]
pub struct Counters {
    zone: BusinessZone,
    /// By the start of the second, Unix ms.
    seconds: BTreeMap<Millis, Totals>,
    /// By the start of the minute, Unix ms.
    minutes: BTreeMap<Millis, Totals>,
    days: BTreeMap<Date, Totals>,
    tops: Tops,
    /// Each series once: the minutes of a day name the same ones again and again.
    series: Pool<Series>,
    limits: CounterLimits,
    /// How many sums all seconds have.
    second_sums: usize,
    /// Seconds before this one (Unix ms) went before their time, since there were too many sums.
    seconds_from: Millis,
}

impl Counters {
    /// Nothing counted yet, and no limits.
    pub fn new(zone: BusinessZone) -> Counters {
        Counters::within(zone, CounterLimits::default())
    }

    /// Nothing counted yet.
    pub fn within(zone: BusinessZone, limits: CounterLimits) -> Counters {
        Counters {
            zone,
            seconds: BTreeMap::new(),
            minutes: BTreeMap::new(),
            days: BTreeMap::new(),
            tops: Tops::within(limits.breakdown_bytes),
            series: Pool::default(),
            limits,
            second_sums: 0,
            seconds_from: Millis::MIN,
        }
    }

    /// The business time zone.
    pub fn zone(&self) -> &BusinessZone {
        &self.zone
    }

    /// Adds the delta of a batch of `lane`. Buckets that are no longer kept at `now` (Unix ms) are
    /// left out.
    pub fn apply(&mut self, lane: u64, delta: &Delta, now: Millis) {
        // Most cells are of the same day, and to find a day by the zone costs more than a sum.
        let mut day: Option<BusinessDay> = None;
        for (second, series, value) in delta.cells() {
            if second >= now - SECONDS_KEPT {
                self.add_second(second, series, value);
            }
            if second >= bucket(now - MINUTES_KEPT, MINUTE) {
                self.add_minute(bucket(second, MINUTE), series, value);
            }
            let day = match day {
                Some(known) if known.contains(second) => known,
                _ => *day.insert(self.zone.day_of(second)),
            };
            if day.end + DAYS_KEPT > now {
                self.add_day(day.date, series, value);
            }
        }
        for (minute, name, top) in delta.tops() {
            if minute >= bucket(now - MINUTES_KEPT, MINUTE) {
                self.add_top(minute, name, lane, top);
            }
        }
    }

    /// Adds all counters of another copy, which gives its memory back meanwhile.
    pub fn merge(&mut self, other: Counters) {
        self.seconds_from = self.seconds_from.max(other.seconds_from);
        for (second, totals) in other.seconds {
            totals.iter().for_each(|(series, value)| self.add_second(second, series, value));
        }
        for (minute, totals) in other.minutes {
            totals.iter().for_each(|(series, value)| self.add_minute(minute, series, value));
        }
        for (date, totals) in other.days {
            totals.iter().for_each(|(series, value)| self.add_day(date, series, value));
        }
        self.tops.merge(other.tops);
    }

    /// Adds to the second that starts at `second` (Unix ms).
    pub fn add_second(&mut self, second: Millis, series: &Series, value: i64) {
        if second < self.seconds_from {
            return;
        }
        let totals = self.seconds.entry(second).or_default();
        let before = totals.len();
        totals.add_shared(series, value, |series| shared(&mut self.series, series));
        self.second_sums += totals.len() - before;
        if self.second_sums > self.limits.second_sums {
            self.drop_oldest_seconds();
        }
    }

    /// Makes room among the seconds, an eighth of it at once, so that this is rare.
    fn drop_oldest_seconds(&mut self) {
        let enough = self.limits.second_sums / 8 * 7;
        while self.second_sums > enough
            && let Some((second, totals)) = self.seconds.pop_first()
        {
            self.second_sums -= totals.len();
            self.seconds_from = second + SECOND;
        }
    }

    /// Adds to the minute that starts at `minute` (Unix ms).
    pub fn add_minute(&mut self, minute: Millis, series: &Series, value: i64) {
        let totals = self.minutes.entry(minute).or_default();
        totals.add_shared(series, value, |series| shared(&mut self.series, series));
    }

    /// Adds to a business day.
    pub fn add_day(&mut self, date: Date, series: &Series, value: i64) {
        let totals = self.days.entry(date).or_default();
        totals.add_shared(series, value, |series| shared(&mut self.series, series));
    }

    /// Adds to a breakdown's minute (its start in Unix ms) of one lane.
    pub fn add_top(&mut self, minute: Millis, name: &str, lane: u64, top: &Top) {
        self.tops.add(minute, name, lane, top);
    }

    /// Forgets a series of a second.
    pub fn clear_second(&mut self, second: Millis, series: &Series) {
        if let Some(totals) = self.seconds.get_mut(&second) {
            let before = totals.len();
            totals.clear(series);
            self.second_sums -= before - totals.len();
        }
    }

    /// Forgets a series of a minute.
    pub fn clear_minute(&mut self, minute: Millis, series: &Series) {
        if let Some(totals) = self.minutes.get_mut(&minute) {
            totals.clear(series);
        }
    }

    /// Forgets a series of a business day.
    pub fn clear_day(&mut self, date: Date, series: &Series) {
        if let Some(totals) = self.days.get_mut(&date) {
            totals.clear(series);
        }
    }

    /// Forgets a breakdown's minute of one lane.
    pub fn clear_top(&mut self, minute: Millis, name: &str, lane: u64) {
        self.tops.clear(minute, name, lane);
    }

    /// Every minute of every breakdown and lane: (start in Unix ms, name, lane, values).
    pub fn tops(&self) -> impl Iterator<Item = (Millis, &str, u64, &Top)> {
        self.tops.iter(Millis::MIN, Millis::MAX)
    }

    /// The same, of the minutes that start in `[from, to)` (Unix ms).
    pub fn tops_in(
        &self,
        from: Millis,
        to: Millis,
    ) -> impl Iterator<Item = (Millis, &str, u64, &Top)> {
        self.tops.iter(from, to)
    }

    /// The values of a breakdown in the minutes that start in `[from, to)` (Unix ms), by minute
    /// and lane, in an order that is the same on every node.
    pub fn tops_of(&self, name: &str, from: Millis, to: Millis) -> impl Iterator<Item = &Top> {
        let of_name = move |(_, of, _, _): &(Millis, &str, u64, &Top)| *of == name;
        self.tops.iter(from, to).filter(of_name).map(|(.., top)| top)
    }

    /// Bytes that the breakdowns take.
    pub fn breakdown_bytes(&self) -> usize {
        self.tops.bytes()
    }

    /// The newest minute (its start in Unix ms) of which breakdowns have fewer values than there
    /// were, for want of room; `None` where none has.
    pub fn shortened_to(&self) -> Option<Millis> {
        self.tops.shortened_to()
    }

    /// From this second on (Unix ms) all seconds are there that [`SECONDS_KEPT`] promises.
    pub fn seconds_from(&self) -> Millis {
        self.seconds_from
    }

    /// Every second that has something, oldest first.
    pub fn seconds(&self) -> impl Iterator<Item = (Millis, &Totals)> {
        self.seconds.iter().map(|(start, totals)| (*start, totals))
    }

    /// Every minute that has something, oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = (Millis, &Totals)> {
        self.minutes.iter().map(|(start, totals)| (*start, totals))
    }

    /// The seconds that start in `[from, to)` (Unix ms) and have something, oldest first.
    pub fn seconds_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        within(&self.seconds, from, to)
    }

    /// The minutes that start in `[from, to)` (Unix ms) and have something, oldest first.
    pub fn minutes_in(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Millis, &Totals)> {
        within(&self.minutes, from, to)
    }

    /// A business day; `None` where nothing of it was counted.
    pub fn day(&self, date: Date) -> Option<&Totals> {
        self.days.get(&date)
    }

    /// Every business day that has something, oldest first.
    pub fn days(&self) -> impl Iterator<Item = (Date, &Totals)> {
        self.days.iter().map(|(date, totals)| (*date, totals))
    }

    /// Forgets what is no longer kept at `now` (Unix ms).
    pub fn prune(&mut self, now: Millis) {
        while let Some(oldest) = self.seconds.first_entry()
            && *oldest.key() < now - SECONDS_KEPT
        {
            self.second_sums -= oldest.remove().len();
        }
        self.minutes = self.minutes.split_off(&bucket(now - MINUTES_KEPT, MINUTE));
        self.tops.prune(bucket(now - MINUTES_KEPT, MINUTE));
        let oldest = self.zone.day_of(now - DAYS_KEPT).date;
        self.days = self.days.split_off(&oldest);
    }
}

/// A series as the pool holds it.
fn shared(pool: &mut Pool<Series>, series: &Series) -> Arc<Series> {
    pool.share(series, || Arc::new(series.clone()))
}

/// The buckets that start in `[from, to)`. `range` panics where `to` lies before `from`.
fn within(
    buckets: &BTreeMap<Millis, Totals>,
    from: Millis,
    to: Millis,
) -> impl Iterator<Item = (Millis, &Totals)> {
    buckets.range(from..to.max(from)).map(|(start, totals)| (*start, totals))
}
