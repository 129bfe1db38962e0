//! How a target is doing, from what is known of it: no clock and no store.

use super::{
    PaceExpected, PaceForecast, PacePoint, TargetPace,
    history::{History, weekday},
};
use crate::domain::{
    delta::QUARTER_HOUR,
    metric::Unit,
    pace::{
        Curve, MetricTarget,
        forecast::{self, Coming, MARKS},
    },
    time::{BusinessDay, BusinessZone, DAY, HOUR, Millis},
};

/// The places in the standard normal distribution that have one tenth on each side.
const TENTH: f64 = 1.2816;

/// What is known of a target.
pub(super) struct Telling<'a> {
    target: &'a MetricTarget,
    unit: Unit,
    history: &'a History,
    from: Millis,
    to: Millis,
    now: Millis,
    today: BusinessDay,
    zone: &'a BusinessZone,
    /// What came today, of the span or before it.
    day_so_far: f64,
    /// What came in the span by the end of each quarter of an hour.
    by: Vec<(Millis, f64)>,
}

impl<'a> Telling<'a> {
    /// Of a target, its past, and the quarters of an hour of today up to `now`.
    pub fn new(
        (target, unit): (&'a MetricTarget, Unit),
        history: &'a History,
        today: &[(Millis, f64)],
        (from, to): (Millis, Millis),
        now: Millis,
        zone: &'a BusinessZone,
    ) -> Telling<'a> {
        let (mut sum, mut by) = (0.0, Vec::new());
        for (at, value) in history.before.iter().chain(today) {
            if (from..to).contains(at) {
                sum += value;
                by.push((at + QUARTER_HOUR, sum));
            }
        }
        let day_so_far = today.iter().map(|it| it.1).sum();
        let today = zone.day_of(now);
        Telling { target, unit, history, from, to, now, today, zone, day_so_far, by }
    }

    /// The answer.
    pub fn pace(&self, with_points: bool) -> TargetPace {
        let is_over = self.now >= self.to;
        let coming = if is_over { None } else { self.coming(self.to) };
        let (value, amount) = (self.value(), self.target.amount);
        let forecast = coming.filter(|_| self.now >= self.from).map(|coming| PaceForecast {
            value: self.round(value + coming.at(0.0)),
            low: self.round(value + coming.at(-TENTH)),
            high: self.round(value + coming.at(TENTH)),
            chance: (coming.reaches(amount - value) * 1000.0).round() / 1000.0,
        });
        let part = self.part(self.now);
        let why = match (part, forecast) {
            _ if self.now < self.from => Some("the span has not begun"),
            (None, _) if matches!(self.target.curve, Curve::Occasion(_)) => {
                Some("nothing is known of the occasion whose curve it is")
            }
            _ if is_over => None,
            (None, _) | (_, None) => {
                Some("too few days before today are known: 14, and two of each weekday")
            }
            (Some(_), Some(_)) => None,
        };
        TargetPace {
            target: self.target.name.clone(),
            title: self.target.title.clone(),
            metric: self.target.metric.clone(),
            unit: self.unit,
            span: self.target.span.name().to_owned(),
            curve: self.target.curve.name().to_owned(),
            from: self.from,
            to: self.to,
            as_of: self.now,
            amount,
            value: self.round(value),
            should: part.map(|part| self.round(part * amount)),
            forecast,
            why,
            points: with_points.then(|| self.points()),
        }
    }

    /// What came in the span by now.
    fn value(&self) -> f64 {
        self.by.last().map_or(0.0, |it| it.1)
    }

    /// Each quarter of an hour of a day or two; of longer spans midnight, and now.
    fn points(&self) -> Vec<PacePoint> {
        let moments = match self.to - self.from <= 2 * DAY + HOUR {
            true => {
                let first = self.from + QUARTER_HOUR - self.from.rem_euclid(QUARTER_HOUR);
                let quarters = (first..self.to).step_by(QUARTER_HOUR as usize);
                [self.from].into_iter().chain(quarters).collect()
            }
            false => {
                let next = |at: &Millis| Some(self.zone.day_of(*at).end);
                let days = std::iter::successors(Some(self.from), next);
                days.take_while(|at| *at < self.to).collect::<Vec<_>>()
            }
        };
        let is_on = (self.from..self.to).contains(&self.now);
        let mut moments: Vec<Millis> = moments;
        moments.extend(is_on.then_some(self.now));
        moments.push(self.to);
        moments.sort_unstable();
        moments.dedup();
        moments.into_iter().map(|at| self.point(at)).collect()
    }

    fn point(&self, at: Millis) -> PacePoint {
        let value = match at < self.now {
            true => {
                let come = self.by.partition_point(|it| it.0 <= at);
                Some(if come == 0 { 0.0 } else { self.by[come - 1].1 })
            }
            false => (at == self.now).then(|| self.value()),
        };
        let is_to_come = at > self.now && self.now >= self.from;
        let coming = if is_to_come { self.coming(at) } else { None };
        let by = |normal: f64| coming.map(|coming| self.round(self.value() + coming.at(normal)));
        let expected = match (by(0.0), by(-TENTH), by(TENTH)) {
            (Some(expected), Some(low), Some(high)) => Some(PaceExpected { expected, low, high }),
            _ => None,
        };
        let should = self.part(at).map(|part| self.round(part * self.target.amount));
        PacePoint { timestamp: at, should, value: value.map(|it| self.round(it)), expected }
    }

    /// Which part of the target is to be there by a moment; `None` where that is not known.
    fn part(&self, at: Millis) -> Option<f64> {
        let at = at.clamp(self.from, self.to);
        match &self.target.curve {
            Curve::Straight => Some((at - self.from) as f64 / (self.to - self.from) as f64),
            Curve::Usual => {
                let whole = self.usual(self.from, self.to)?;
                (whole > 0.0).then_some(self.usual(self.from, at)? / whole)
            }
            Curve::Occasion(_) => {
                let curve = &self.history.curve;
                let start = curve.first()?.0;
                let end = start + (at - self.from);
                let come = |(quarter, value): &(Millis, f64)| {
                    let part = (end - quarter) as f64 / QUARTER_HOUR as f64;
                    value * part.clamp(0.0, 1.0)
                };
                let whole: f64 = curve.iter().map(|it| it.1).sum();
                (whole > 0.0).then(|| curve.iter().map(come).sum::<f64>() / whole)
            }
        }
    }

    /// What usual days have between two moments.
    fn usual(&self, from: Millis, to: Millis) -> Option<f64> {
        let (mut sum, mut at) = (0.0, from);
        while at < to {
            let day = self.zone.day_of(at);
            let quarters = (self.quarters(&day, at), self.quarters(&day, to.min(day.end)));
            sum += forecast::usual(&self.history.days, weekday(&day), quarters)?;
            at = day.end;
        }
        Some(sum)
    }

    /// What will come from now to a moment of the span.
    fn coming(&self, to: Millis) -> Option<Coming> {
        let (today, days) = (&self.today, &self.history.days);
        let quarters = (self.quarters(today, self.now), self.quarters(today, to.min(today.end)));
        let rest = forecast::rest(days, weekday(today), quarters, self.day_so_far)?;
        if to <= today.end {
            return Some(rest);
        }
        // The last day may end with the span, before its midnight.
        let last = self.zone.day_of(to - 1);
        let mut count = 0;
        let mut day = *today;
        while day.end < last.end {
            day = self.zone.day_of(day.end);
            count += 1;
        }
        let first = self.zone.day_of(today.end);
        let whole = self.usual(first.start, last.end)?;
        let part = self.usual(first.start, to)? / whole;
        let later = forecast::days_ahead(&self.history.totals, weekday(&first), count)?;
        Some(rest.and(&later.scaled(part)))
    }

    /// Quarters of an hour that the clock on the wall shows at a moment of a day.
    fn quarters(&self, day: &BusinessDay, at: Millis) -> f64 {
        match at >= day.end {
            true => (MARKS - 1) as f64,
            false => self.zone.time_of_day(at) as f64 / QUARTER_HOUR as f64,
        }
    }

    /// As people read it: a count is whole, an amount has cents.
    fn round(&self, value: f64) -> f64 {
        match self.unit {
            Unit::Count => value.round(),
            _ => (value * 100.0).round() / 100.0,
        }
    }
}
