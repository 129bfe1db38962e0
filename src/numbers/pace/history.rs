//! What is read of the past to tell a pace by.

use super::PaceReader;
use crate::{
    domain::{
        delta::QUARTER_HOUR,
        pace::{
            Curve, MetricTarget, TargetSpan,
            forecast::{DayTotal, MARKS, PATTERN_DAYS, PastDay},
        },
        time::{BusinessDay, BusinessZone, MINUTE, Millis},
    },
    numbers::{Interval, Point, SeriesQuery, Unavailable, What},
    store::rollup::Known,
};

/// For so long what was read is used again: late events change it little.
const GOOD_FOR: Millis = 10 * MINUTE;
/// The days that tell how days follow each other.
const TOTAL_DAYS: u16 = 364;

/// What a metric came to in stretches of time, each with its start (Unix ms), in order.
pub(super) type Stretches = Vec<(Millis, f64)>;

/// The past of a target.
pub(super) struct History {
    read_at: Millis,
    /// The start of the day that was in progress.
    today: Millis,
    /// The start of the span.
    from: Millis,
    /// Usual days of eight weeks.
    pub days: Vec<PastDay>,
    /// What usual days of a year came to, by their age; only for spans that go on behind midnight.
    pub totals: Vec<DayTotal>,
    /// The quarters of an hour of the span before today.
    pub before: Stretches,
    /// Those of the occasion whose curve it is, from where it lies under the start of the span.
    pub curve: Stretches,
}

impl History {
    /// Whether it may still be used, on a day that started at `today`, for a span that begins at `from`.
    pub fn is_good(&self, from: Millis, today: Millis, now: Millis) -> bool {
        let is_young = (0..GOOD_FOR).contains(&(now - self.read_at));
        is_young && (self.from, self.today) == (from, today)
    }
}

impl PaceReader {
    pub(super) async fn read_history(
        &self,
        target: &MetricTarget,
        (from, to): (Millis, Millis),
        now: Millis,
    ) -> Result<History, Unavailable> {
        let zone = self.mirror.zone();
        let (today, metric) = (zone.day_of(now), &target.metric);
        let known = self.past.known().await?;
        let start = |days_back| zone.day_of(zone.same_moment(today.start, days_back)).start;
        let quarters =
            async |from, to| self.read(metric, Interval::QuarterHour, from, to, now).await;
        let days = quarters(start(PATTERN_DAYS as u16), today.start).await?;
        let days = by_day(&days, zone).into_iter().filter(|(day, quarters)| {
            self.is_usual(day, quarters.iter().map(|it| it.1).sum(), &known)
        });
        let days = days.map(|(day, quarters)| past_day(&day, quarters, &today, zone)).collect();
        let mut totals = Vec::new();
        // An occasion may be shorter than a day and go on behind midnight.
        if zone.day_of(from).end < to {
            let read =
                self.read(metric, Interval::Day, start(TOTAL_DAYS), today.start, now).await?;
            let of = read.into_iter().map(|(at, total)| (zone.day_of(at), total)).rev();
            let usual = of.filter(|(day, total)| self.is_usual(day, *total, &known));
            totals = usual.map(|(day, total)| day_total(&day, total, &today)).collect();
        }
        let before = match from < today.start {
            true => quarters(from, today.start.min(to)).await?,
            false => Vec::new(),
        };
        let curve = match (&target.curve, &target.span) {
            (Curve::Occasion(of), TargetSpan::Occasion(_)) => {
                quarters(of.start, of.start + (to - from)).await?
            }
            (Curve::Occasion(of), _) => {
                let start = zone.day_of(of.start).start;
                quarters(start, start + (to - from)).await?
            }
            _ => Vec::new(),
        };
        Ok(History { read_at: now, today: today.start, from, days, totals, before, curve })
    }

    /// What a metric came to in each bucket of `[from, to)`.
    pub(super) async fn read(
        &self,
        metric: &str,
        interval: Interval,
        from: Millis,
        to: Millis,
        now: Millis,
    ) -> Result<Stretches, Unavailable> {
        let what = What::Metric(metric.to_owned());
        let query = SeriesQuery { what, interval, from, to, baseline: None };
        let points = self.series.points(&query, now).await?;
        let value = |point: &Point| point.count.as_f64().unwrap_or_default();
        Ok(points.iter().map(|point| (point.timestamp, value(point))).collect())
    }

    /// Whether a day tells what others are like: all of it is known, or was imported, and it is no occasion's.
    fn is_usual(&self, day: &BusinessDay, total: f64, known: &Known) -> bool {
        let is_known = total > 0.0 || known.covers(day.start, day.end);
        is_known && !self.occasions.all().iter().any(|it| it.start < day.end && it.end > day.start)
    }
}

/// The stretches of each day.
fn by_day<'a>(
    stretches: &'a [(Millis, f64)],
    zone: &BusinessZone,
) -> Vec<(BusinessDay, &'a [(Millis, f64)])> {
    let mut days = Vec::new();
    let mut rest = stretches;
    while let Some((at, _)) = rest.first() {
        let day = zone.day_of(*at);
        let (of_day, later) = rest.split_at(rest.partition_point(|it| it.0 < day.end));
        days.push((day, of_day));
        rest = later;
    }
    days
}

fn past_day(
    day: &BusinessDay,
    quarters: &[(Millis, f64)],
    today: &BusinessDay,
    zone: &BusinessZone,
) -> PastDay {
    let mut by = vec![0.0; MARKS];
    for (at, value) in quarters {
        by[(zone.time_of_day(*at) / QUARTER_HOUR) as usize + 1] += value;
    }
    for mark in 1..MARKS {
        by[mark] += by[mark - 1];
    }
    PastDay { age: age(day, today), weekday: weekday(day), by }
}

fn day_total(day: &BusinessDay, total: f64, today: &BusinessDay) -> DayTotal {
    DayTotal { age: age(day, today), weekday: weekday(day), total }
}

/// How many days before today.
fn age(day: &BusinessDay, today: &BusinessDay) -> u32 {
    let days = day.date.until(today.date).map_or(0, |span| span.get_days());
    days.unsigned_abs()
}

/// 0 is Monday.
pub(super) fn weekday(day: &BusinessDay) -> usize {
    day.date.weekday().to_monday_zero_offset().unsigned_abs().into()
}
