//! One look at one alert. The metric is read over the alert's windows, with what is usual where a
//! condition compares with that, and the conditions judge it. A look remembers nothing; what came
//! before is handed in as a [`Stand`].

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{
        Alert, Guard,
        condition::{Direction, Judgement, Usual},
        reader::{MetricReader, Operands},
        significance::{Sample, of_rates, of_shares},
        spec::Against,
    },
    metric::{Metric, MetricSet},
    time::{HOUR, MINUTE, Millis, bucket},
};

/// The hour before the window is no baseline unless so much of it had events: less says nothing
/// of what is usual.
const MIN_BASELINE: Millis = 10 * MINUTE;
/// A baseline of another day is taken over so long at least, around the window. A short window
/// of one day would be a baseline of few events.
const WIDE: Millis = 15 * MINUTE;

/// What a look saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What it means.
    pub verdict: Verdict,
    /// The numbers of the window that decided; `None` where nothing could be judged.
    pub reading: Option<Reading>,
}

/// What a look means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions hold.
    Breached,
    /// It is as it should be.
    Normal,
    /// Only of an alert that fires: it is better, but not within the threshold by `clear`.
    Between,
    /// Too little to judge by.
    Unknown,
}

/// The numbers of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Where the window begins, Unix ms.
    pub from: Millis,
    /// Where it ends, Unix ms; this moment is not part of it.
    pub to: Millis,
    /// The length that the rule asks for, ms. `to - from` may be a little less or more, where
    /// the numbers are kept by minute.
    pub window: Millis,
    /// The metric's value.
    pub value: f64,
    /// The threshold that it was held against.
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
    /// The length of the window that decided, ms.
    pub window: Millis,
    /// The threshold of that moment.
    pub threshold: f64,
}

/// What a look has to know of the alert's past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stand {
    /// Where it fires: what it is held against.
    pub held: Option<Held>,
    /// Where it has fired before: when it was over, Unix ms. What was before that moment is
    /// told already, so no window reaches back to it.
    pub over_at: Option<Millis>,
}

/// A metric over some time that is usual.
struct Baseline {
    parts: Operands,
    /// How long that time was, ms.
    time: Millis,
}

/// Looks at an alert at `now` (Unix ms), up to which the numbers are complete but for events that arrive
/// late. An alert that fires is held against the threshold of the
/// moment it fired. Any other is judged over each of its windows in turn, the shortest first, until
/// one meets all conditions.
pub fn evaluate(
    alert: &Alert,
    metric_set: &MetricSet,
    reader: &impl MetricReader,
    now: Millis,
    stand: Stand,
) -> Observation {
    let look = Look { alert, reader, counted: metric_set.is_counted(&alert.metric) };
    // Events that are late are not missing, so a window ends where they have arrived.
    let guards = alert.guard.iter().chain(&alert.unless).map(|guard| &guard.metric);
    let metrics = [&alert.metric].into_iter().chain(guards);
    let late_by = metrics.map(|metric| reader.late_by(metric)).max().unwrap_or(0);
    let to = reader.floor(now - late_by);
    if let Some(held) = &stand.held {
        return look.whether_over(held, to);
    }
    let mut seen = Observation { verdict: Verdict::Unknown, reading: None };
    let mut still_bad = false;
    for &window in &alert.windows {
        // The windows ascend, so all that follow reach back as well.
        if stand.over_at.is_some_and(|over_at| to - window < over_at) {
            break;
        }
        let Some(Judged { judgement, reading }) = look.judge(window, to) else {
            continue;
        };
        // A long window still contains what is over by now. So the shortest window that says
        // anything must be bad as well, though it may be too short to be sure.
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
struct Look<'a, R> {
    alert: &'a Alert,
    reader: &'a R,
    /// The metric is a number of events, so the standard error of a difference is known.
    counted: bool,
}

impl<R: MetricReader> Look<'_, R> {
    /// Judges one window; `None` where there is too little to judge by.
    fn judge(&self, window: Millis, to: Millis) -> Option<Judged> {
        let alert = self.alert;
        let from = self.reader.floor(to - window);
        let parts = self.reader.parts(&alert.metric, from, to)?;
        let (value, volume) = (parts.value()?, parts.volume());
        if let Some(guard) = &alert.guard
            && !self.guarded(guard, from, to)?
        {
            return None;
        }
        if self.is_excluded(from, to) {
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
        let from = self.reader.floor(to - held.window);
        let parts = self.reader.parts(&alert.metric, from, to)?;
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
        // What speaks against an alert that fires ends it, whatever the value is.
        let verdict = if self.is_excluded(from, to)
            || direction.is_clear_of(value, held.threshold, alert.clear)
        {
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

    /// Whether `unless` holds, so that there is nothing to judge.
    fn is_excluded(&self, from: Millis, to: Millis) -> bool {
        let unless = self.alert.unless.as_ref();
        unless.is_some_and(|unless| self.guarded(unless, from, to) == Some(true))
    }

    /// Whether a guard holds; `None` where that is not known.
    fn guarded(&self, guard: &Guard, from: Millis, to: Millis) -> Option<bool> {
        let value = self.reader.parts(&guard.metric, from, to)?.value()?;
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
    fn usual(&self, now: Operands, against: Against, from: Millis, to: Millis) -> Option<Usual> {
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
            let begin = self.reader.floor(from - HOUR);
            let time = self.reader.covered(begin, from);
            // A baseline shorter than the window would be the less certain of the two.
            if time < MIN_BASELINE.max(to - from) {
                return None;
            }
            return Some(Baseline { parts: self.reader.parts(metric, begin, from)?, time });
        }
        let more = (WIDE - (to - from)).max(0) / 2;
        // The past is kept by whole minutes.
        let (begin, end) = (bucket(from - more, MINUTE), bucket(to + more + MINUTE - 1, MINUTE));
        let parts = self.reader.past(metric, against, begin, end)?;
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
    fn standard_errors(&self, now: Operands, window: Millis) -> f64 {
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
