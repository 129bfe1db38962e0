//! The live counters in memory: the seconds of the last hour, the minutes of the last 24 hours and
//! the business days around now, each summed by series, and the breakdowns of these minutes. There
//! is no I/O in here.
//!
//! This is the side that writes. It adds deltas, forgets what is old, and hands the buckets out as
//! they are. How a number over a span of time is made of them is said in `numbers/`.

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;

use crate::domain::{
    delta::{Delta, Series},
    pool::Pool,
    time::{BusinessDay, BusinessZone, DAY, HOUR, MINUTE, Millis, bucket},
    top::Top,
    totals::Totals,
};

/// How long a second stays, in ms.
pub const SECONDS_KEPT: Millis = HOUR;
/// How long a minute stays, in ms.
pub const MINUTES_KEPT: Millis = DAY;
/// How long a business day's total stays after its end, in ms.
pub const DAYS_KEPT: Millis = DAY;

/// All live counters. A live store starts a feed with them, and every node keeps a copy.
#[derive(Clone, Debug)]
pub struct Counters {
    zone: BusinessZone,
    /// By the start of the second, Unix ms.
    seconds: BTreeMap<Millis, Totals>,
    /// By the start of the minute, Unix ms.
    minutes: BTreeMap<Millis, Totals>,
    days: BTreeMap<Date, Totals>,
    /// The names of the breakdowns seen so far. They are few, since only rules make them.
    names: Vec<String>,
    /// By minute, breakdown (its index in `names`) and lane. Each lane is summed by itself,
    /// batch by batch in its order, so that what a full summary drops is the same in every
    /// mirror.
    tops: BTreeMap<(Millis, usize, u64), Top>,
    /// Each series once: the minutes of a day name the same ones again and again.
    series: Pool<Series>,
    /// Each value of a breakdown once, for the same reason.
    values: Pool<str>,
}

impl Counters {
    /// Nothing counted yet.
    pub fn new(zone: BusinessZone) -> Counters {
        Counters {
            zone,
            seconds: BTreeMap::new(),
            minutes: BTreeMap::new(),
            days: BTreeMap::new(),
            names: Vec::new(),
            tops: BTreeMap::new(),
            series: Pool::default(),
            values: Pool::default(),
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

    /// Adds all counters of another copy.
    pub fn merge(&mut self, other: Counters) {
        for (second, totals) in &other.seconds {
            totals.iter().for_each(|(series, value)| self.add_second(*second, series, value));
        }
        for (minute, totals) in &other.minutes {
            totals.iter().for_each(|(series, value)| self.add_minute(*minute, series, value));
        }
        for (date, totals) in &other.days {
            totals.iter().for_each(|(series, value)| self.add_day(*date, series, value));
        }
        for (minute, name, lane, top) in other.tops() {
            self.add_top(minute, name, lane, top);
        }
    }

    /// Adds to the second that starts at `second` (Unix ms).
    pub fn add_second(&mut self, second: Millis, series: &Series, value: i64) {
        let totals = self.seconds.entry(second).or_default();
        totals.add_shared(series, value, |series| shared(&mut self.series, series));
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
        let name = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let kept = self.tops.entry((minute, name, lane)).or_default();
        kept.merge_shared(top, |value| self.values.share(value, || value.into()));
    }

    /// Forgets a series of a second.
    pub fn clear_second(&mut self, second: Millis, series: &Series) {
        if let Some(totals) = self.seconds.get_mut(&second) {
            totals.clear(series);
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
        if let Some(name) = self.names.iter().position(|known| known == name) {
            self.tops.remove(&(minute, name, lane));
        }
    }

    /// Every minute of every breakdown and lane: (start in Unix ms, name, lane, values).
    pub fn tops(&self) -> impl Iterator<Item = (Millis, &str, u64, &Top)> {
        let named = |name: usize| self.names[name].as_str();
        self.tops.iter().map(move |(&(minute, name, lane), top)| (minute, named(name), lane, top))
    }

    /// The values of a breakdown in the minutes that start in `[from, to)` (Unix ms), by minute
    /// and lane, in an order that is the same on every node.
    pub fn tops_of(&self, name: &str, from: Millis, to: Millis) -> impl Iterator<Item = &Top> {
        let name = self.names.iter().position(|known| known == name);
        let found = self.tops.range((from, 0, 0)..(to.max(from), 0, 0));
        found.filter(move |((_, of, _), _)| Some(*of) == name).map(|(_, top)| top)
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
        self.seconds = self.seconds.split_off(&(now - SECONDS_KEPT));
        self.minutes = self.minutes.split_off(&bucket(now - MINUTES_KEPT, MINUTE));
        self.tops = self.tops.split_off(&(bucket(now - MINUTES_KEPT, MINUTE), 0, 0));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        delta::DeltaSum,
        time::{SECOND, parse_rfc3339},
    };

    fn counters(zone: &str) -> Counters {
        Counters::new(BusinessZone::named(zone).unwrap())
    }

    fn one(kind: &str, at: Millis) -> Delta {
        let mut sum = DeltaSum::default();
        sum.count(kind, at);
        sum.finish()
    }

    #[test]
    fn an_event_goes_to_the_buckets_of_its_own_time() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut counters = counters("UTC");
        counters.apply(0, &one("page_view", now), now);
        counters.apply(0, &one("page_view", now - 10 * SECOND), now);
        counters.apply(0, &one("page_view", now - 2 * HOUR), now);
        counters.apply(0, &one("page_view", now - 15 * HOUR), now);
        counters.apply(0, &one("page_view", now - 50 * HOUR), now);

        let today = counters.day(counters.zone().day_of(now).date).unwrap();
        assert_eq!(today.count("page_view"), 3);
        let seconds: Vec<_> = counters.seconds_in(now - MINUTE, now + SECOND).collect();
        let starts: Vec<_> = seconds.iter().map(|(start, _)| *start).collect();
        assert_eq!(starts, [now - 10 * SECOND, now]);
        assert!(seconds.iter().all(|(_, totals)| totals.count("page_view") == 1));
        let day = counters.minutes_in(bucket(now, MINUTE) - DAY, now + MINUTE);
        assert_eq!(day.map(|(_, totals)| totals.events()).sum::<u64>(), 4);
    }

    #[test]
    fn what_many_buckets_name_is_held_once() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut counters = counters("UTC");
        for back in [0, 1, 2] {
            let at = now - back * MINUTE;
            let mut sum = DeltaSum::default();
            sum.count("error", at);
            sum.top("error/code", at, "E1", 1);
            counters.apply(back as u64, &sum.finish(), now);
        }
        let values: Vec<_> = counters.tops().flat_map(|(.., top)| top.iter()).collect();
        assert_eq!(values.len(), 3);
        assert!(values.iter().all(|(value, _)| value.as_ptr() == values[0].0.as_ptr()));
        let all = counters.seconds().chain(counters.minutes());
        let series: Vec<_> = all.flat_map(|(_, totals)| totals.iter()).collect();
        assert_eq!(series.len(), 6);
        assert!(series.iter().all(|(one, _)| std::ptr::eq(*one, series[0].0)));
    }

    #[test]
    fn old_buckets_are_forgotten() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut counters = counters("UTC");
        counters.apply(0, &one("error", now), now);
        counters.prune(now + 3 * DAY);
        assert!(
            counters.seconds.is_empty() && counters.minutes.is_empty() && counters.days.is_empty()
        );
    }
}
