//! One time that an alert fired: what is kept of it, shown and sent.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{
        Against, Alert, Direction, Explains, Held, MetricReader, Reading, Severity, Span,
        explain::{explain, in_words},
    },
    cause::NamedCause,
    mark::{Mark, cited::CitedMark},
    metric::Unit,
    time::{Millis, SECOND},
};

/// One time that an alert fired. The numbers are those of the moment it fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    /// A random id, the same in both notices of this firing.
    pub id: String,
    /// The alert's name.
    pub name: String,
    /// What people read.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The metric that is watched.
    pub metric: String,
    /// What the metric's values are.
    pub unit: Unit,
    /// When it fired, Unix ms.
    pub since: Millis,
    /// When it was over, Unix ms; `None` while it fires.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cleared_at: Option<Millis>,
    /// The last moment at which the conditions were seen to hold, Unix ms; said once it is over. It may be
    /// long before that: a shop that has gone silent shows neither that it is over nor that it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breached_until: Option<Millis>,
    /// The length of the window that decided, seconds.
    pub window_seconds: i64,
    /// The metric's value.
    pub value: f64,
    /// The threshold that the value was beyond. It is held against this until it is over.
    pub threshold: f64,
    /// What the value usually is, where a condition of the rule compares with that.
    pub baseline: Option<f64>,
    /// What counts as usual, where the rule names it.
    pub against: Option<Against>,
    /// What a ratio divides by; of another metric the value itself.
    pub volume: f64,
    /// The values of properties that explain it most, the largest share first.
    pub explains: Vec<Explains>,
    /// What accounts for the change, as far as the stored events tell.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub causes: Vec<NamedCause>,
    /// The last mark in the hour before it fired; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mark: Option<CitedMark>,
    /// All of this in a sentence or two, in English.
    pub summary: String,
    /// The fields that are hidden from who reads this ([`Firing::seen_by`]); none in what is kept.
    #[serde(skip_serializing_if = "<[_]>::is_empty", skip_deserializing)]
    pub hidden: &'static [&'static str],
}

impl Firing {
    /// Puts together what there is to say of an alert that fires at `now` (Unix ms). `currency`
    /// is the base currency's code.
    pub fn new(
        alert: &Alert,
        reader: &impl MetricReader,
        reading: &Reading,
        id: String,
        now: Millis,
        currency: &str,
    ) -> Firing {
        let explains = explain(alert, reader, reading);
        let mut firing = Firing {
            id,
            name: alert.name.clone(),
            title: alert.title.clone(),
            severity: alert.severity,
            metric: alert.metric.name.clone(),
            unit: alert.metric.unit,
            since: now,
            cleared_at: None,
            breached_until: None,
            window_seconds: reading.window / SECOND,
            value: reading.value,
            threshold: reading.threshold,
            baseline: reading.baseline,
            against: alert.against(),
            volume: reading.volume,
            explains,
            causes: Vec::new(),
            mark: None,
            summary: String::new(),
            hidden: &[],
        };
        firing.summary = firing.in_words(alert.direction(), currency);
        firing
    }

    /// Names the last of these marks that came before it.
    #[must_use]
    pub fn after(mut self, marks: &[Mark]) -> Firing {
        self.mark = CitedMark::before(self.since, marks);
        if let Some(mark) = &self.mark {
            self.summary.push_str(&format!(" {}.", mark.in_words(self.since)));
        }
        self
    }

    /// Says what accounts for it: some causes, or that it is alike everywhere.
    pub fn caused_by(&mut self, causes: Vec<NamedCause>, general: bool, currency: &str) {
        let number = |value: f64| shown(value, self.unit, currency);
        for cause in &causes {
            let (name, value, was) = (cause.name(), number(cause.value), number(cause.was));
            let percent = (cause.share * 100.0).round();
            self.summary.push_str(&format!(
                " Cause: {name}, {value} against {was} before: {percent} % of the change."
            ));
        }
        if general {
            self.summary.push_str(" It is alike everywhere: no part of the shop stands out.");
        }
        self.causes = causes;
    }

    /// What it is held against until it is over.
    pub fn held(&self) -> Held {
        Held { window: self.window_seconds * SECOND, threshold: self.threshold }
    }

    fn in_words(&self, direction: Direction, currency: &str) -> String {
        let number = |value: f64| shown(value, self.unit, currency);
        let window = Span(self.window_seconds * SECOND);
        let mut words = format!("{} is {} over {window}", self.metric, number(self.value));
        if let (Some(baseline), Some(against)) = (self.baseline, self.against) {
            words.push_str(&format!(", against {} {against}", number(baseline)));
        }
        words.push_str(&format!(" (threshold {}).", number(self.threshold)));
        for explains in &self.explains {
            words.push_str(&format!(" {}.", in_words(explains, direction)));
        }
        words
    }
}

/// A value as people read it.
fn shown(value: f64, unit: Unit, currency: &str) -> String {
    match unit {
        Unit::Count => format!("{}", value.round()),
        Unit::Number => format!("{}", (value * 100.0).round() / 100.0),
        Unit::Money => format!("{value:.2} {currency}"),
        Unit::Ratio => format!("{} %", (value * 1000.0).round() / 10.0),
    }
}
