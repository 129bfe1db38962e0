//! One look at one alert: the metric over its windows, against threshold and baseline.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{
        Alert, Guard,
        condition::{Direction, Judgement, Usual},
        significance::{Sample, of_rates, of_shares},
        spec::Against,
    },
    metric::{Measures, Metric, Source},
    time::{HOUR, MINUTE, Millis, bucket},
    top::Top,
};

/// A baseline from less than this says nothing; the hour before has so much with events.
const MIN_BASELINE: Millis = 10 * MINUTE;
/// A baseline of another day is taken over so long at least, around the window.
const WIDE: Millis = 15 * MINUTE;

/// What a metric is made of in some span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// The value; of a ratio, what is divided.
    pub of: f64,
    /// Of a ratio: what it is divided by.
    pub per: Option<f64>,
}

impl Parts {
    /// Reads them from the sums of a span; `None` where not known.
    pub fn read(measures: &Measures, metric: &Metric, source: &impl Source) -> Option<Parts> {
        let volume = measures.volume(metric, source)?;
        if !measures.is_ratio(metric) {
            return Some(Parts { of: volume, per: None });
        }
        let value = measures.value(metric, source).as_f64().unwrap_or(0.0);
        Some(Parts { of: value * volume, per: Some(volume) })
    }

    fn value(self) -> Option<f64> {
        match self.per {
            None => Some(self.of),
            Some(per) => (per > 0.0).then(|| self.of / per),
        }
    }

    /// What `min_volume` looks at.
    fn volume(self) -> f64 {
        self.per.unwrap_or(self.of)
    }
}

/// Where the numbers come from: the mirror while it runs, or the rollups of the past.
pub trait Numbers {
    /// The latest moment up to `at` (Unix ms) that a span may begin or end at.
    fn floor(&self, at: Millis) -> Millis;
    /// A metric in `[from, to)`; `None` where not known.
    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Parts>;
    /// How much of `[from, to)` lies in minutes with any event, ms. What lies in others is
    /// not counted as quiet: nothing was sent, or nothing is known.
    fn covered(&self, from: Millis, to: Millis) -> Millis;
    /// A metric in the minutes around `[from, to)` a day or a week before.
    fn past(&self, metric: &Metric, against: Against, from: Millis, to: Millis) -> Option<Parts>;
    /// The most frequent values of a breakdown in the minutes of `[from, to)`.
    fn values(&self, breakdown: &str, from: Millis, to: Millis) -> Top;
    /// Events of one type in `[from, to)`.
    fn events(&self, kind: &str, from: Millis, to: Millis) -> i64;
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What it means.
    pub verdict: Verdict,
    /// Of the window that decided; `None` where nothing could be judged.
    pub reading: Option<Reading>,
}

/// What a look means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions hold.
    Breached,
    /// It is as it should be.
    Normal,
    /// Of an alert that fires: better, but not within the threshold by `clear`.
    Between,
    /// Too little to judge by.
    Unknown,
}

/// The numbers of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// From …
    pub from: Millis,
    /// … to, Unix ms.
    pub to: Millis,
    /// The window's length, ms.
    pub window: Millis,
    /// The metric.
    pub value: f64,
    /// What it was held against.
    pub threshold: f64,
    /// The metric in the baseline, scaled to the window.
    pub baseline: Option<f64>,
    /// What a ratio divides by, or the metric itself.
    pub volume: f64,
    /// By how many standard errors it is off the baseline, in the bad direction.
    pub sigma: Option<f64>,
}

/// What an alert that fires is held against until it is over: the threshold of the moment it
/// fired, since the hour before soon is the incident itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Over this window, ms.
    pub window: Millis,
    /// Against this.
    pub threshold: f64,
}

/// How an alert is to be looked at, by where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stand {
    /// It fires, and is held against this.
    pub held: Option<Held>,
    /// It was over at this moment (Unix ms): what was before is told already, and no window
    /// reaches back to it.
    pub over_at: Option<Millis>,
}

/// A metric over some time that is usual.
struct Baseline {
    parts: Parts,
    /// How long that time was, ms.
    time: Millis,
}

/// Looks at an alert at `now` (Unix ms).
pub fn evaluate(
    alert: &Alert,
    measures: &Measures,
    numbers: &impl Numbers,
    now: Millis,
    stand: Stand,
) -> Observation {
    let look = Look { alert, numbers, counted: measures.is_counted(&alert.metric) };
    let to = numbers.floor(now);
    if let Some(held) = &stand.held {
        return look.whether_over(held, to);
    }
    let mut seen = Observation { verdict: Verdict::Unknown, reading: None };
    let mut still_bad = false;
    for &window in &alert.windows {
        if stand.over_at.is_some_and(|over_at| to - window < over_at) {
            break;
        }
        let Some(Judged { judgement, reading }) = look.judge(window, to) else {
            continue;
        };
        // A long window remembers what is over by now: the shortest that says anything must
        // be bad too, if only by its value.
        if seen.reading.is_none() {
            seen = Observation { verdict: Verdict::Normal, reading: Some(reading) };
            still_bad = judgement.is_beyond;
        }
        if still_bad && judgement.is_beyond && judgement.is_sure {
            return Observation { verdict: Verdict::Breached, reading: Some(reading) };
        }
    }
    seen
}

/// What one window says.
struct Judged {
    judgement: Judgement,
    reading: Reading,
}

/// What every step of one look needs.
struct Look<'a, N> {
    alert: &'a Alert,
    numbers: &'a N,
    /// The metric is a number of events, so the standard error of a difference is known.
    counted: bool,
}

impl<N: Numbers> Look<'_, N> {
    /// Judges one window; `None` where there is too little to judge by.
    fn judge(&self, window: Millis, to: Millis) -> Option<Judged> {
        let alert = self.alert;
        let from = self.numbers.floor(to - window);
        let parts = self.numbers.parts(&alert.metric, from, to)?;
        let (value, volume) = (parts.value()?, parts.volume());
        if let Some(guard) = &alert.guard
            && !self.guarded(guard, from, to)?
        {
            return None;
        }
        let usual = match alert.conditions.against() {
            Some(against) => Some(self.usual(parts, against, from, to)?),
            None => None,
        };
        let enough = match (alert.is_ratio, alert.direction()) {
            // A count that has fallen is small by its nature: what it usually is must be enough.
            (false, Direction::Down) => usual.map_or(f64::INFINITY, |usual| usual.value),
            _ => volume,
        };
        if enough < alert.min_volume {
            return None;
        }
        let judgement = alert.conditions.judge(value, usual)?;
        let reading = Reading {
            from,
            to,
            window,
            value,
            threshold: judgement.threshold,
            baseline: usual.map(|usual| usual.value),
            volume,
            sigma: usual.and_then(|usual| usual.sigma),
        };
        Some(Judged { judgement, reading })
    }

    /// Says whether an alert that fires is over.
    fn whether_over(&self, held: &Held, to: Millis) -> Observation {
        self.held_against(held, to)
            .unwrap_or(Observation { verdict: Verdict::Unknown, reading: None })
    }

    /// The same; `None` where there is too little to judge by.
    fn held_against(&self, held: &Held, to: Millis) -> Option<Observation> {
        let (alert, direction) = (self.alert, self.alert.direction());
        let from = self.numbers.floor(to - held.window);
        let parts = self.numbers.parts(&alert.metric, from, to)?;
        let (value, volume) = (parts.value()?, parts.volume());
        if alert.is_ratio && volume < alert.min_volume {
            return None;
        }
        // A guard that is not known lets the alert clear: it asks whether to fire, and a
        // baseline that is missing must not keep an alert burning.
        if let Some(guard) = &alert.guard
            && self.guarded(guard, from, to) == Some(false)
        {
            return None;
        }
        let verdict = if direction.is_clear_of(value, held.threshold, alert.clear) {
            Verdict::Normal
        } else if direction.reaches(value, held.threshold) {
            Verdict::Breached
        } else {
            Verdict::Between
        };
        let reading = Reading {
            from,
            to,
            window: held.window,
            value,
            threshold: held.threshold,
            baseline: None,
            volume,
            sigma: None,
        };
        Some(Observation { verdict, reading: Some(reading) })
    }

    /// Whether `while` holds; `None` where that is not known.
    fn guarded(&self, guard: &Guard, from: Millis, to: Millis) -> Option<bool> {
        let value = self.numbers.parts(&guard.metric, from, to)?.value()?;
        let usual = match guard.against() {
            Some(against) => {
                let base = self.baseline(&guard.metric, against, from, to)?;
                Some(base.over(to - from)?)
            }
            None => None,
        };
        guard.holds(value, usual)
    }

    /// What the watched metric usually is, where `now` is what it is in `[from, to)`; `None`
    /// where too little is known.
    fn usual(&self, now: Parts, against: Against, from: Millis, to: Millis) -> Option<Usual> {
        let base = self.baseline(&self.alert.metric, against, from, to)?;
        if base.parts.volume() < self.alert.min_volume {
            return None;
        }
        let off = || self.alert.direction().signed(base.standard_errors(now, to - from));
        Some(Usual { value: base.over(to - from)?, sigma: self.counted.then(off) })
    }

    fn baseline(
        &self,
        metric: &Metric,
        against: Against,
        from: Millis,
        to: Millis,
    ) -> Option<Baseline> {
        if against == Against::LastHour {
            let begin = self.numbers.floor(from - HOUR);
            let time = self.numbers.covered(begin, from);
            // A baseline shorter than the window would be the less certain of the two.
            if time < MIN_BASELINE.max(to - from) {
                return None;
            }
            return Some(Baseline { parts: self.numbers.parts(metric, begin, from)?, time });
        }
        let more = (WIDE - (to - from)).max(0) / 2;
        // The past is kept by whole minutes.
        let (begin, end) = (bucket(from - more, MINUTE), bucket(to + more + MINUTE - 1, MINUTE));
        let parts = self.numbers.past(metric, against, begin, end)?;
        Some(Baseline { parts, time: end - begin })
    }
}

impl Baseline {
    /// The metric's value over a window of so many ms, were all as usual.
    fn over(&self, window: Millis) -> Option<f64> {
        match self.parts.per {
            // A quotient is the same over any time.
            Some(_) => self.parts.value(),
            None => Some(self.parts.of * window as f64 / self.time as f64),
        }
    }

    /// By how many standard errors `now`, taken over a window of so many ms, is above this.
    fn standard_errors(&self, now: Parts, window: Millis) -> f64 {
        match (now.per, self.parts.per) {
            (Some(per), Some(base_per)) => of_shares(
                Sample { hits: now.of, of: per },
                Sample { hits: self.parts.of, of: base_per },
            ),
            _ => of_rates(
                Sample { hits: now.of, of: window as f64 },
                Sample { hits: self.parts.of, of: self.time as f64 },
            ),
        }
    }
}
