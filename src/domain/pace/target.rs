//! Targets: what a metric is to come to (`[[target]]`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    delta::QUARTER_HOUR,
    metric::MetricSet,
    occasion::{Occasion, Occasions},
    rule::{Fault, List, MAX_RULES, check_name},
    time::{BusinessZone, Millis},
};

/// The largest amount.
const MAX_AMOUNT: f64 = 1e12;

/// `[[target]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// 1 to 64 characters of `a-z 0-9 _`.
    pub name: String,
    /// What people read; the name without it.
    #[serde(default)]
    pub title: Option<String>,
    /// A metric that can be added up over time.
    #[serde(default)]
    pub metric: String,
    /// `day`, `week`, `month`, or the name of an occasion; `day` without it.
    #[serde(default)]
    pub span: Option<String>,
    /// What the metric is to come to, in its unit.
    #[serde(default)]
    pub amount: f64,
    /// `usual`, `straight`, or the name of an occasion; `usual` without it.
    #[serde(default)]
    pub curve: Option<String>,
    /// `true` takes the entry of the same name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// What a metric is to come to.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricTarget {
    /// What it is asked for by.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The metric.
    pub metric: String,
    /// In which span of time.
    pub span: TargetSpan,
    /// What the metric is to come to, in its unit.
    pub amount: f64,
    /// How much of that is to be there by when.
    pub curve: Curve,
}

/// The span of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpan {
    /// Each business day.
    Day,
    /// Each week, from Monday.
    Week,
    /// Each month.
    Month,
    /// That of an occasion, once.
    Occasion(Occasion),
}

/// How much of a target is to be there by when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Curve {
    /// As on the usual days of the same weekdays.
    Usual,
    /// In step with the clock.
    Straight,
    /// As on an occasion.
    Occasion(Occasion),
}

impl TargetSpan {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            TargetSpan::Day => "day",
            TargetSpan::Week => "week",
            TargetSpan::Month => "month",
            TargetSpan::Occasion(occasion) => &occasion.name,
        }
    }

    /// Start and end (Unix ms) of the one at a moment; of an occasion whatever the moment is.
    pub fn around(&self, at: Millis, zone: &BusinessZone) -> (Millis, Millis) {
        match self {
            TargetSpan::Day => {
                let day = zone.day_of(at);
                (day.start, day.end)
            }
            TargetSpan::Week => zone.week_of(at),
            TargetSpan::Month => zone.month_of(at),
            TargetSpan::Occasion(occasion) => (occasion.start, occasion.end),
        }
    }
}

impl Curve {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Curve::Usual => "usual",
            Curve::Straight => "straight",
            Curve::Occasion(occasion) => &occasion.name,
        }
    }
}

/// All targets. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets(Arc<[MetricTarget]>);

impl Targets {
    /// Compiles the list.
    ///
    /// # Errors
    /// What is wrong with each that can't be used.
    pub fn compile(
        specs: &[TargetSpec],
        metric_set: &MetricSet,
        occasions: &Occasions,
    ) -> Result<Targets, Vec<Fault>> {
        let (mut targets, mut faults) = (Vec::<MetricTarget>::new(), Vec::new());
        let mut wrong = |index, message| faults.push(Fault { list: List::Targets, index, message });
        if specs.len() > MAX_RULES {
            wrong(MAX_RULES, format!("there are more than {MAX_RULES}"));
        }
        for (index, spec) in specs.iter().enumerate() {
            match compile(spec, metric_set, occasions) {
                Ok(it) if targets.iter().any(|known| known.name == it.name) => {
                    wrong(index, format!("{}: another target has this name", it.name));
                }
                Ok(it) => targets.push(it),
                Err(message) => wrong(index, message),
            }
        }
        match faults.is_empty() {
            true => Ok(Targets(targets.into())),
            false => Err(faults),
        }
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[MetricTarget] {
        &self.0
    }
}

fn compile(
    spec: &TargetSpec,
    metric_set: &MetricSet,
    occasions: &Occasions,
) -> Result<MetricTarget, String> {
    let name = &spec.name;
    check_name(name)?;
    let wrong = |key: &str, message: String| Err(format!("{name}: {key}: {message}"));
    let Some(metric) = metric_set.metric(&spec.metric) else {
        return wrong("metric", format!("there is no metric {:?}", spec.metric));
    };
    if metric_set.is_ratio(metric) || metric_set.is_by_day_only(metric) {
        let message = format!("{} can't be added up over time", metric.name);
        return wrong("metric", message);
    }
    // A NaN is no amount either.
    if !(spec.amount > 0.0 && spec.amount <= MAX_AMOUNT) {
        return wrong("amount", format!("it is more than 0 and at most {MAX_AMOUNT:.0}"));
    }
    let named = |key: &str, text: &str, words: &str| match occasions.named(text) {
        Some(occasion) => Ok(occasion.clone()),
        None => Err(format!("{name}: {key}: {text:?} is none of {words}, and no occasion")),
    };
    let span = match spec.span.as_deref() {
        None | Some("day") => TargetSpan::Day,
        Some("week") => TargetSpan::Week,
        Some("month") => TargetSpan::Month,
        Some(text) => TargetSpan::Occasion(named("span", text, "day, week, month")?),
    };
    let curve = match spec.curve.as_deref() {
        None | Some("usual") => Curve::Usual,
        Some("straight") => Curve::Straight,
        Some(text) => Curve::Occasion(named("curve", text, "usual, straight")?),
    };
    let is_whole = |of: &Occasion| of.start % QUARTER_HOUR == 0 && of.end % QUARTER_HOUR == 0;
    if let TargetSpan::Occasion(of) = &span
        && !is_whole(of)
    {
        // What has come is known by quarters of an hour.
        let message = format!("{}: it begins and ends at a full quarter of an hour", of.name);
        return wrong("span", message);
    }
    if let Curve::Occasion(of) = &curve {
        let fits = match &span {
            TargetSpan::Day => true,
            TargetSpan::Occasion(occasion) => of.end <= occasion.start && is_whole(of),
            TargetSpan::Week | TargetSpan::Month => false,
        };
        if !fits {
            return wrong(
                "curve",
                "an occasion's goes with a day; or, of full quarters of an hour, with a later occasion".to_owned(),
            );
        }
    }
    let title = spec.title.clone().unwrap_or_else(|| name.clone());
    Ok(MetricTarget {
        name: name.clone(),
        title,
        metric: spec.metric.clone(),
        span,
        amount: spec.amount,
        curve,
    })
}
