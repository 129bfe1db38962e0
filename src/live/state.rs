//! The mirror: seconds of the last hour, minutes of the last 24 hours and the business
//! days around now, summed by series, and the breakdowns of these minutes. Pure; every number
//! that Floodmark shows comes from one of these.

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;

pub use crate::domain::totals::Totals;
use crate::domain::{
    delta::{Delta, Series},
    pool::Pool,
    time::{BusinessDay, BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, bucket},
    top::Top,
};

/// How long a second stays, in ms.
pub const SECONDS_KEPT: Millis = HOUR;
/// How long a minute stays, in ms.
pub const MINUTES_KEPT: Millis = DAY;
/// How long a business day's total stays after its end, in ms.
pub const DAYS_KEPT: Millis = DAY;

/// The mirror of the live counters.
#[derive(Clone, Debug)]
pub struct LiveState {
    zone: BusinessZone,
    seconds: BTreeMap<Millis, Totals>,
    minutes: BTreeMap<Millis, Totals>,
    days: BTreeMap<Date, Totals>,
    /// Breakdowns seen so far; few, since only rules make them.
    names: Vec<String>,
    /// By minute, breakdown (its index in `names`) and lane. Each lane is summed by itself,
    /// batch by batch in its order, so that what a full summary drops is the same in every
    /// mirror.
    tops: BTreeMap<(Millis, usize, u64), Top>,
    /// What the keys of all these are held by: a day of minutes names the same again and again.
    series: Pool<Series>,
    values: Pool<str>,
}

impl LiveState {
    /// Nothing counted yet.
    pub fn new(zone: BusinessZone) -> LiveState {
        LiveState {
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

    /// Adds the delta of a batch of `lane`, where `now` says which of its buckets are still
    /// kept.
    pub fn apply(&mut self, lane: u64, delta: &Delta, now: Millis) {
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

    /// Every minute of every breakdown and lane: (start in Unix ms, name, lane, values).
    pub fn tops(&self) -> impl Iterator<Item = (Millis, &str, u64, &Top)> {
        let named = |name: usize| self.names[name].as_str();
        self.tops.iter().map(move |(&(minute, name, lane), top)| (minute, named(name), lane, top))
    }

    /// The most frequent values of a breakdown in the minutes `[from, to)`, all lanes
    /// together.
    pub fn breakdown(&self, name: &str, from: Millis, to: Millis) -> Top {
        let mut sum = Top::default();
        let Some(name) = self.names.iter().position(|known| known == name) else { return sum };
        let start = |at| (bucket(at, MINUTE), 0, 0);
        let minutes = self.tops.range(start(from)..start(to.max(from) + MINUTE - 1));
        minutes.filter(|((_, of, _), _)| *of == name).for_each(|(_, top)| sum.merge(top));
        sum
    }

    /// Every second that has something, oldest first.
    pub fn seconds(&self) -> impl Iterator<Item = (Millis, &Totals)> {
        self.seconds.iter().map(|(start, totals)| (*start, totals))
    }

    /// Every minute that has something, oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = (Millis, &Totals)> {
        self.minutes.iter().map(|(start, totals)| (*start, totals))
    }

    /// Every business day that has something, oldest first.
    pub fn days(&self) -> impl Iterator<Item = (Date, &Totals)> {
        self.days.iter().map(|(date, totals)| (*date, totals))
    }

    /// Forgets what is older than it is kept.
    pub fn prune(&mut self, now: Millis) {
        self.seconds = self.seconds.split_off(&(now - SECONDS_KEPT));
        self.minutes = self.minutes.split_off(&bucket(now - MINUTES_KEPT, MINUTE));
        self.tops = self.tops.split_off(&(bucket(now - MINUTES_KEPT, MINUTE), 0, 0));
        let oldest = self.zone.day_of(now - DAYS_KEPT).date;
        self.days = self.days.split_off(&oldest);
    }

    /// The business day of `now` and its totals so far.
    pub fn today(&self, now: Millis) -> (BusinessDay, Totals) {
        let day = self.zone.day_of(now);
        (day, self.days.get(&day.date).cloned().unwrap_or_default())
    }

    /// `n` seconds, oldest first, empty ones included; the last is the one in progress.
    pub fn last_seconds(&self, now: Millis, n: usize) -> Vec<(Millis, Totals)> {
        last(&self.seconds, now, SECOND, n)
    }

    /// `n` minutes, oldest first, empty ones included; the last is the one in progress.
    pub fn last_minutes(&self, now: Millis, n: usize) -> Vec<(Millis, Totals)> {
        last(&self.minutes, now, MINUTE, n)
    }

    /// What lies in `[from, to)`, which begins and ends at a second, or at a minute where it
    /// lies further back than seconds are kept: whole minutes, and the seconds before and
    /// after them.
    pub fn stretch(&self, from: Millis, to: Millis) -> impl Iterator<Item = &Totals> {
        let first = bucket(from + MINUTE - 1, MINUTE).min(to);
        let last = bucket(to, MINUTE).max(first);
        let head = self.seconds.range(from.min(first)..first);
        let minutes = self.minutes.range(first..last);
        let tail = self.seconds.range(last..to.max(last));
        head.chain(minutes).chain(tail).map(|(_, totals)| totals)
    }

    /// How much of `[from, to)` lies in minutes with any event, ms.
    pub fn covered(&self, from: Millis, to: Millis) -> Millis {
        let minutes = self.minutes.range(bucket(from, MINUTE)..to.max(bucket(from, MINUTE)));
        let lively = minutes.filter(|(_, totals)| totals.events() > 0);
        lively.map(|(start, _)| (start + MINUTE).min(to) - (*start).max(from)).sum()
    }

    /// Totals of `[from, to)` in buckets of `width` ms (a multiple of a second) that start
    /// at `from`; taken from seconds where `width` is under a minute, else from minutes.
    pub fn range(&self, from: Millis, to: Millis, width: Millis) -> Vec<(Millis, Totals)> {
        let source = if width < MINUTE { &self.seconds } else { &self.minutes };
        let mut out = Vec::new();
        let mut start = from;
        while start < to {
            let end = (start + width).min(to);
            let mut totals = Totals::default();
            source.range(start..end).for_each(|(_, found)| totals.merge(found));
            out.push((start, totals));
            start += width;
        }
        out
    }
}

/// A series as the pool holds it.
fn shared(pool: &mut Pool<Series>, series: &Series) -> Arc<Series> {
    pool.share(series, || Arc::new(series.clone()))
}

fn last(
    buckets: &BTreeMap<Millis, Totals>,
    now: Millis,
    width: Millis,
    n: usize,
) -> Vec<(Millis, Totals)> {
    let newest = bucket(now, width);
    (0..n as i64)
        .rev()
        .map(|back| newest - back * width)
        .map(|start| (start, buckets.get(&start).cloned().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{delta::DeltaSum, time::parse_rfc3339};

    fn state(zone: &str) -> LiveState {
        LiveState::new(BusinessZone::named(zone).unwrap())
    }

    fn one(kind: &str, at: Millis) -> Delta {
        let mut sum = DeltaSum::default();
        sum.count(kind, at);
        sum.finish()
    }

    #[test]
    fn an_event_goes_to_the_buckets_of_its_own_time() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut state = state("UTC");
        state.apply(0, &one("page_view", now), now);
        state.apply(0, &one("page_view", now - 10 * SECOND), now);
        state.apply(0, &one("page_view", now - 2 * HOUR), now);
        state.apply(0, &one("page_view", now - 15 * HOUR), now);
        state.apply(0, &one("page_view", now - 50 * HOUR), now);

        assert_eq!(state.today(now).1.count("page_view"), 3);
        let seconds = state.last_seconds(now, 60);
        assert_eq!(seconds.len(), 60);
        assert_eq!(seconds[59].1.count("page_view"), 1);
        assert_eq!(seconds[49].1.count("page_view"), 1);
        let day = state.range(bucket(now, MINUTE) - DAY, now + MINUTE, MINUTE);
        assert_eq!(day.iter().map(|m| m.1.events()).sum::<u64>(), 4);
    }

    #[test]
    fn today_turns_over_at_the_zones_midnight() {
        let before = parse_rfc3339("2026-11-27T22:59:59Z").unwrap();
        let mut state = state("Europe/Berlin");
        state.apply(0, &one("error", before), before);
        assert_eq!(state.today(before).1.count("error"), 1);
        let (day, totals) = state.today(before + SECOND);
        assert_eq!(day.date.to_string(), "2026-11-28");
        assert!(totals.is_empty());
    }

    #[test]
    fn what_many_buckets_name_is_held_once() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut state = state("UTC");
        for back in [0, 1, 2] {
            let at = now - back * MINUTE;
            let mut sum = DeltaSum::default();
            sum.count("error", at);
            sum.top("error/code", at, "E1", 1);
            state.apply(back as u64, &sum.finish(), now);
        }
        let values: Vec<_> = state.tops().flat_map(|(.., top)| top.iter()).collect();
        assert_eq!(values.len(), 3);
        assert!(values.iter().all(|(value, _)| value.as_ptr() == values[0].0.as_ptr()));
        let all = state.seconds().chain(state.minutes());
        let series: Vec<_> = all.flat_map(|(_, totals)| totals.iter()).collect();
        assert_eq!(series.len(), 6);
        assert!(series.iter().all(|(one, _)| std::ptr::eq(*one, series[0].0)));
    }

    #[test]
    fn a_breakdown_is_summed_over_its_minutes_and_lanes() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let code = |at: Millis, code: &str| {
            let mut sum = DeltaSum::default();
            sum.top("error/code", at, code, 2);
            sum.top("error/path", at, "/", 1);
            sum.finish()
        };
        let mut state = state("UTC");
        state.apply(0, &code(now, "502"), now);
        state.apply(1, &code(now, "502"), now);
        state.apply(1, &code(now - MINUTE, "404"), now);
        state.apply(0, &code(now - 25 * HOUR, "502"), now);
        let of = |from, to| {
            let top = state.breakdown("error/code", from, to);
            top.iter().map(|(value, n)| (value.to_owned(), n)).collect::<Vec<_>>()
        };
        assert_eq!(of(now - MINUTE, now), [("404".into(), 2), ("502".into(), 4)]);
        assert_eq!(of(now - MINUTE, bucket(now, MINUTE)), [("404".into(), 2)]);
        assert_eq!(of(now - 30 * HOUR, now - DAY), []);
        state.prune(now + DAY + 2 * MINUTE);
        assert_eq!(state.tops().count(), 0);
    }

    #[test]
    fn a_stretch_is_its_seconds_and_minutes_each_once() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut state = state("UTC");
        for second in 0..=300 {
            state.apply(0, &one("page_view", now - second * SECOND), now);
        }
        let of = |from, to| state.stretch(from, to).map(|it| it.count("page_view")).sum::<u64>();
        for (from, to) in [(300, 0), (299, 1), (45, 5), (45, 29), (30, 29), (91, 30), (7, 7)] {
            let (from, to) = (now - from * SECOND, now - to * SECOND);
            assert_eq!(of(from, to), ((to - from) / SECOND) as u64, "{from} {to}");
        }
        assert_eq!(state.covered(now - HOUR, now), 5 * MINUTE + 30 * SECOND);
        assert_eq!(state.covered(now - 20 * SECOND, now - 5 * SECOND), 15 * SECOND);
    }

    #[test]
    fn old_buckets_are_forgotten() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let mut state = state("UTC");
        state.apply(0, &one("error", now), now);
        state.prune(now + 3 * DAY);
        assert!(state.seconds.is_empty() && state.minutes.is_empty() && state.days.is_empty());
    }
}
