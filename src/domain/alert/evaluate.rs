//! One look at one alert: the metric over its windows, against threshold and baseline.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{
        Alert, Guard,
        significance::{Sample, of_rates, of_shares},
        spec::Against,
    },
    metric::{Measures, Metric, Source},
    time::{HOUR, MINUTE, Millis},
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

struct Baseline {
    parts: Parts,
    /// Its length, ms.
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
    let mut still = false;
    for &window in &alert.windows {
        if stand.over_at.is_some_and(|over_at| to - window < over_at) {
            break;
        }
        let Some(judged) = look.judge(window, to) else {
            continue;
        };
        // A long window remembers what is over by now: the shortest that says anything must
        // be bad too, if only by its value.
        if seen.reading.is_none() {
            seen = Observation { verdict: Verdict::Normal, reading: Some(judged.reading) };
            still = judged.is_beyond;
        }
        if still && judged.is_beyond && judged.is_sure {
            return Observation { verdict: Verdict::Breached, reading: Some(judged.reading) };
        }
    }
    seen
}

/// What one window says.
struct Judged {
    is_beyond: bool,
    /// … and not by chance, as far as the rule asks.
    is_sure: bool,
    reading: Reading,
}

struct Look<'a, N> {
    alert: &'a Alert,
    numbers: &'a N,
    counted: bool,
}

impl<N: Numbers> Look<'_, N> {
    /// One window; `None` where there is too little to judge by.
    fn judge(&self, window: Millis, to: Millis) -> Option<Judged> {
        let alert = self.alert;
        let from = self.numbers.floor(to - window);
        let parts = self.numbers.parts(&alert.metric, from, to)?;
        let (value, volume) = (parts.value()?, parts.per.unwrap_or(parts.of));
        if let Some(guard) = &alert.guard
            && !self.guarded(guard, from, to)?
        {
            return None;
        }
        let relative = alert.rises.or(alert.falls);
        let mut baseline = None;
        let mut sigma = None;
        if let Some(against) = alert.against.filter(|_| relative.is_some()) {
            let base = self.baseline(&alert.metric, against, from, to)?;
            let usual = base.parts.per.unwrap_or(base.parts.of);
            if usual < alert.min_volume {
                return None;
            }
            baseline = Some(self.scaled(&base, to - from)?);
            sigma = self.counted.then(|| self.sigma(parts, &base, to - from));
        }
        let enough = match (alert.is_ratio, alert.is_rising()) {
            (false, false) => baseline.unwrap_or(f64::INFINITY),
            _ => volume,
        };
        if enough < alert.min_volume {
            return None;
        }
        let times = |factor: f64| Some(factor * baseline?);
        let threshold = match alert.is_rising() {
            true => {
                [alert.above, alert.rises.and_then(times)].into_iter().flatten().reduce(f64::max)
            }
            false => {
                [alert.below, alert.falls.and_then(times)].into_iter().flatten().reduce(f64::min)
            }
        }?;
        let is_beyond = if alert.is_rising() { value >= threshold } else { value <= threshold };
        let is_sure = match alert.sigma {
            Some(least) => sigma.is_some_and(|sigma| sigma >= least),
            None => true,
        };
        let reading = Reading { from, to, window, value, threshold, baseline, volume, sigma };
        Some(Judged { is_beyond, is_sure, reading })
    }

    /// Whether an alert that fires is over.
    fn whether_over(&self, held: &Held, to: Millis) -> Observation {
        let alert = self.alert;
        let from = self.numbers.floor(to - held.window);
        let unknown = Observation { verdict: Verdict::Unknown, reading: None };
        let Some(parts) = self.numbers.parts(&alert.metric, from, to) else {
            return unknown;
        };
        let Some(value) = parts.value() else {
            return unknown;
        };
        let volume = parts.per.unwrap_or(parts.of);
        let nobody =
            alert.guard.as_ref().is_some_and(|guard| self.guarded(guard, from, to) == Some(false));
        if alert.is_ratio && volume < alert.min_volume || nobody {
            return unknown;
        }
        let verdict = match alert.is_rising() {
            true if value <= held.threshold * alert.clear => Verdict::Normal,
            true if value >= held.threshold => Verdict::Breached,
            false if value > held.threshold && value >= held.threshold / alert.clear => {
                Verdict::Normal
            }
            false if value <= held.threshold => Verdict::Breached,
            _ => Verdict::Between,
        };
        let threshold = held.threshold;
        let window = held.window;
        let reading =
            Reading { from, to, window, value, threshold, baseline: None, volume, sigma: None };
        Observation { verdict, reading: Some(reading) }
    }

    /// Whether `while` holds.
    fn guarded(&self, guard: &Guard, from: Millis, to: Millis) -> Option<bool> {
        let value = self.numbers.parts(&guard.metric, from, to)?.value()?;
        let mut holds = guard.above.is_none_or(|above| value >= above);
        if let (Some(times), Some(against)) = (guard.holds, self.alert.against) {
            let base = self.baseline(&guard.metric, against, from, to)?;
            holds &= value >= times * self.scaled(&base, to - from)?;
        }
        Some(holds)
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
            if time < MIN_BASELINE.max(to - from) {
                return None;
            }
            return Some(Baseline { parts: self.numbers.parts(metric, begin, from)?, time });
        }
        let more = (WIDE - (to - from)).max(0) / 2;
        let (begin, end) = (minute(from - more), minute(to + more + MINUTE - 1));
        let parts = self.numbers.past(metric, against, begin, end)?;
        Some(Baseline { parts, time: end - begin })
    }

    /// The baseline as the window would have it.
    fn scaled(&self, base: &Baseline, window: Millis) -> Option<f64> {
        match base.parts.per {
            Some(_) => base.parts.value(),
            None => Some(base.parts.of * window as f64 / base.time as f64),
        }
    }

    fn sigma(&self, now: Parts, base: &Baseline, window: Millis) -> f64 {
        let sigma = match (now.per, base.parts.per) {
            (Some(per), Some(base_per)) => of_shares(
                Sample { hits: now.of, of: per },
                Sample { hits: base.parts.of, of: base_per },
            ),
            _ => of_rates(
                Sample { hits: now.of, of: window as f64 },
                Sample { hits: base.parts.of, of: base.time as f64 },
            ),
        };
        if self.alert.is_rising() { sigma } else { -sigma }
    }
}

fn minute(at: Millis) -> Millis {
    crate::domain::time::bucket(at, MINUTE)
}
