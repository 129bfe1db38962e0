//! Whether a mark had an effect: what a metric was before it against what it is since, judged by the statistics
//! of alerts.
//!
//! ```text
//!        before             since
//!   |--------------|M|-----------------|          today
//!   |--------------|.|-----------------|          the same hours of each of the seven days before
//! ```
//!
//! The day has its shape: orders rise in the morning whatever was deployed. So the change is compared with the
//! change at the same hours of other days. A shop of one order a minute and one of 500 a second differ in what
//! chance does; large shops also differ from day to day by more than chance, and how much is measured on the
//! same days. docs/MARKS.md says how often this is right.

use serde::Serialize;

use crate::domain::{
    alert::{Operands, Sample, of_rates, of_shares},
    metric::Unit,
    student::as_normal,
    time::{DAY, HOUR, MINUTE, Millis, bucket},
};

/// By how many standard errors a change has to be beyond chance. A mark is looked at again and again, and by
/// several metrics.
pub const SURE: f64 = 3.5;
/// A change by less is no effect that anybody would act on, and large shops always have some.
const LEAST_CHANGE: f64 = 0.03;
/// The same where other days are not known: the shape of the day may make so much of it.
const LEAST_UNSEEN: f64 = 0.15;
/// The same over whole days, of which each has its own shape in it.
const LEAST_WHOLE: f64 = 0.05;
/// Where a change of this part could be there unseen, nothing is known yet.
const LARGEST_UNSEEN: f64 = 0.2;
/// So many other days have to be known, or what is usual is not.
const LEAST_DAYS: usize = 4;
/// The days that are looked at.
pub const OTHER_DAYS: u16 = 7;
/// Less time since the mark says nothing.
pub const LEAST_SINCE: Millis = 5 * MINUTE;
/// What was before is taken over so long at least.
const LEAST_BEFORE: Millis = HOUR;
/// Counts are judged over so long at most; beyond, the weekday shows.
const LONGEST: Millis = DAY;
/// Ratios are over so long, since small shops need it.
const LONGEST_OF_RATIOS: Millis = 3 * DAY;
/// Marks that are closer are judged as one: between them there is too little to tell them apart.
pub const APART: Millis = 10 * MINUTE;

/// Which metrics are judged: their names, and what they are divided by, if they are no ratio by themselves.
/// Those that the configuration does not have are left out.
pub const JUDGED: [(&str, Option<&str>); 4] = [
    ("purchases", Some("page_views")),
    ("checkout_error_rate", None),
    ("purchases", None),
    ("revenue", None),
];

/// A stretch before a mark or since.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkSide {
    /// The metric over it.
    pub parts: Operands,
    /// How long it is, ms.
    pub length: Millis,
}

/// Both stretches of one day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkSides {
    /// Before the mark.
    pub before: MarkSide,
    /// Since the mark.
    pub since: MarkSide,
}

/// Where the stretches lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkWindows {
    /// Before the mark, Unix ms; the end is no part of it.
    pub before: (Millis, Millis),
    /// Since the mark.
    pub since: (Millis, Millis),
}

/// What is known of an effect on one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectVerdict {
    /// There is too little to judge by: a change by a fifth might be there.
    Unknown,
    /// No change that is beyond chance and worth a word.
    None,
    /// It is higher since.
    Higher,
    /// It is lower since.
    Lower,
}

/// The effect of a mark on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricEffect {
    /// The metric.
    pub metric: String,
    /// What it is divided by; null where it is taken as it is.
    pub per: Option<String>,
    /// What the values are.
    pub unit: Unit,
    /// What it is since; of a count or an amount, an hour of it.
    pub value: Option<f64>,
    /// What it would be, had it gone on as before and as on other days.
    pub was: Option<f64>,
    /// `value` against `was`: -0.15 is 15 % less; `None` also where `was` is 0.
    pub change: Option<f64>,
    /// How many more since the mark, below 0 fewer: events, or the amount.
    pub difference: Option<f64>,
    /// By how many standard errors it is off; below 0 where it is lower.
    pub sigma: Option<f64>,
    /// What that means.
    pub verdict: EffectVerdict,
}

impl MarkWindows {
    /// The stretches of a mark at `at` up to `end`, of which everything is known (Unix ms); `None` where too
    /// little has passed. Marks before and after it bound them. Everything is by the minute.
    pub fn of(
        at: Millis,
        end: Millis,
        (earlier, later): (Option<Millis>, Option<Millis>),
        is_ratio: bool,
    ) -> Option<MarkWindows> {
        let longest = if is_ratio { LONGEST_OF_RATIOS } else { LONGEST };
        let mark = bucket(at, MINUTE);
        let from = mark + MINUTE;
        let end = end.min(later.unwrap_or(Millis::MAX)).min(from + longest);
        let to = bucket(end, MINUTE);
        let length = to - from;
        if length < LEAST_SINCE {
            return None;
        }
        let begin = mark - length.max(LEAST_BEFORE);
        let begin = earlier.map_or(begin, |earlier| begin.max(bucket(earlier, MINUTE) + MINUTE));
        (mark - begin >= LEAST_SINCE)
            .then_some(MarkWindows { before: (begin, mark), since: (from, to) })
    }

    /// Whether other days are compared with: over more than a day their weekdays would show.
    pub fn has_other_days(&self) -> bool {
        self.since.1 - self.since.0 <= DAY && self.before.1 - self.before.0 <= DAY
    }
}

/// Judges a metric whose events are counted, so that it is known what chance does. `others` are the same
/// hours of other days, as many as are known.
pub fn judge_counted(today: &MarkSides, others: &[MarkSides]) -> JudgedEffect {
    let is_ratio = today.since.parts.per.is_some();
    let usual = (others.len() >= LEAST_DAYS).then(|| UsualChange::of(others)).flatten();
    if usual.is_none() && !is_ratio {
        return JudgedEffect::UNKNOWN;
    }
    let UsualChange { growth, apart, events } = usual.unwrap_or(UsualChange::NOT_KNOWN);
    let (rate, before) = (rate(&today.since), rate(&today.before));
    let (Some(value), Some(was)) = (rate, before.map(|it| it * growth)) else {
        return JudgedEffect::UNKNOWN;
    };
    let variance = 1.0 / hits(&today.since) + 1.0 / hits(&today.before);
    let known_by = 1.0 + events / variance;
    let off = standard_errors(today, growth) / known_by.sqrt();
    let sigma = match apart {
        None => off,
        // The days tell how far they are apart by a few numbers, so less is sure.
        Some(apart) => {
            let doubted = as_normal(off / apart.sqrt(), others.len() as f64 - 1.0);
            if doubted.abs() < off.abs() { doubted } else { off }
        }
    };
    let least = match (usual.is_some(), today.since.length >= DAY) {
        (true, _) => LEAST_CHANGE,
        (false, true) => LEAST_WHOLE,
        (false, false) => LEAST_UNSEEN,
    };
    let error = (variance * known_by * apart.unwrap_or(1.0)).sqrt();
    JudgedEffect::of(value, was, sigma, (least, error))
}

/// Judges a metric of which only other days say what chance does, as of an amount.
pub fn judge_by_days(today: &MarkSides, others: &[MarkSides]) -> JudgedEffect {
    let change = |sides: &MarkSides| {
        let (since, before) = (rate(&sides.since)?, rate(&sides.before)?);
        (since > 0.0 && before > 0.0).then(|| (since / before).ln())
    };
    let changes: Vec<f64> = others.iter().filter_map(change).collect();
    let days = changes.len() as f64;
    let (Some(now), Some(before), true) =
        (change(today), rate(&today.before), changes.len() > LEAST_DAYS)
    else {
        return JudgedEffect::UNKNOWN;
    };
    let mean = changes.iter().sum::<f64>() / days;
    let spread = changes.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (days - 1.0);
    let error = (spread * (1.0 + 1.0 / days)).sqrt();
    if error <= 0.0 {
        return JudgedEffect::UNKNOWN;
    }
    let sigma = as_normal((now - mean) / error, days - 1.0);
    let was = before * mean.exp();
    JudgedEffect::of(before * now.exp(), was, sigma, (LEAST_CHANGE, error))
}

/// What is found out of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedEffect {
    /// What it is since: a quotient, or so much a ms.
    pub value: Option<f64>,
    /// What it would be.
    pub was: Option<f64>,
    /// By how many standard errors it is off.
    pub sigma: Option<f64>,
    /// What that means.
    pub verdict: EffectVerdict,
}

impl JudgedEffect {
    /// Nothing is known.
    pub const UNKNOWN: JudgedEffect =
        JudgedEffect { value: None, was: None, sigma: None, verdict: EffectVerdict::Unknown };

    fn of(value: f64, was: f64, sigma: f64, (least, error): (f64, f64)) -> JudgedEffect {
        if was <= 0.0 {
            // No share of zero says how large the change is, but that it is beyond chance is known all the same.
            let has_risen = was == 0.0 && value > 0.0 && sigma >= SURE;
            let (verdict, sigma) = (EffectVerdict::Higher, Some(sigma));
            let risen = JudgedEffect { value: Some(value), was: Some(was), sigma, verdict };
            return if has_risen { risen } else { JudgedEffect::UNKNOWN };
        }
        let change = value / was - 1.0;
        let verdict = match () {
            () if sigma.abs() >= SURE && change >= least => EffectVerdict::Higher,
            () if sigma.abs() >= SURE && change <= -least => EffectVerdict::Lower,
            () if SURE * error <= LARGEST_UNSEEN => EffectVerdict::None,
            () => EffectVerdict::Unknown,
        };
        JudgedEffect { value: Some(value), was: Some(was), sigma: Some(sigma), verdict }
    }
}

/// How a metric changes at these hours on other days.
#[derive(Clone, Copy, Debug)]
struct UsualChange {
    /// By what factor.
    growth: f64,
    /// How much more the days differ than chance would have it, as a factor of the variance; `None` where they
    /// don't.
    apart: Option<f64>,
    /// The variance of `growth`, as a part of its square.
    events: f64,
}

impl UsualChange {
    const NOT_KNOWN: UsualChange = UsualChange { growth: 1.0, apart: None, events: 0.0 };

    fn of(others: &[MarkSides]) -> Option<UsualChange> {
        let all = |side: fn(&MarkSides) -> &MarkSide| {
            let mut sum = MarkSide { parts: Operands::default(), length: 0 };
            for side in others.iter().map(side) {
                sum.parts.of += side.parts.of;
                if let Some(per) = side.parts.per {
                    *sum.parts.per.get_or_insert(0.0) += per;
                }
                sum.length += side.length;
            }
            sum
        };
        let (since, before) = (all(|it| &it.since), all(|it| &it.before));
        let growth = rate(&since)? / rate(&before)?;
        if !(growth.is_finite() && growth > 0.0) {
            return None;
        }
        let free = others.len() as f64 - 1.0;
        let squares = others.iter().map(|day| standard_errors(day, growth).powi(2));
        let apart = squares.sum::<f64>() / free;
        // Nine of ten samples of days that differ by chance alone are below (Wilson and Hilferty, "The
        // distribution of chi-square").
        let by_chance = (1.0 - 2.0 / (9.0 * free) + 1.2816 * (2.0 / (9.0 * free)).sqrt()).powi(3);
        let events = 1.0 / hits(&since) + 1.0 / hits(&before);
        Some(UsualChange { growth, apart: (apart > by_chance).then_some(apart), events })
    }
}

/// The value: a quotient, or so much a ms; `None` where nothing is divided by.
fn rate(side: &MarkSide) -> Option<f64> {
    let per = side.parts.per.unwrap_or(side.length as f64);
    (per > 0.0).then(|| side.parts.of / per)
}

/// How many events were counted, at least a half.
fn hits(side: &MarkSide) -> f64 {
    side.parts.of.max(0.5)
}

/// By how many standard errors the metric is above what it was before, times `growth`.
fn standard_errors(sides: &MarkSides, growth: f64) -> f64 {
    let sample = |side: &MarkSide, growth: f64| {
        let of = side.parts.per.unwrap_or(side.length as f64);
        Sample { hits: side.parts.of, of: of / growth }
    };
    let (since, before) = (sample(&sides.since, 1.0), sample(&sides.before, growth));
    match sides.since.parts.per {
        Some(_) => of_shares(since, before),
        None => of_rates(since, before),
    }
}

#[cfg(test)]
mod tests;
