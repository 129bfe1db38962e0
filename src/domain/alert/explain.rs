//! Which values of properties explain an alert: those that make up the events that came
//! more (or came less) than before.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{Alert, Numbers, Reading},
    time::{HOUR, MINUTE, Millis, bucket},
};

/// A value is named if it makes up so much of the difference.
const LEAST_SHARE: f64 = 0.2;
/// Values named at most.
const MOST: usize = 5;

/// A value that explains an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explains {
    /// `gateway`
    pub property: String,
    /// `adyen`
    pub value: String,
    /// Of the events that came more (or less) than before, 0 to 1.
    pub share: f64,
    /// The type of these events.
    pub event: String,
}

/// Compares the window's minutes with the hour before, value by value. The largest share
/// first.
pub fn explain(alert: &Alert, numbers: &impl Numbers, reading: &Reading) -> Vec<Explains> {
    // Breakdowns are kept by minute, so it is the minutes that the window touches.
    let (from, to) = (bucket(reading.from, MINUTE), reading.to);
    let before = from - HOUR;
    let base_time = numbers.covered(before, from).max(MINUTE);
    let scale = (to - from) as f64 / base_time as f64;
    // What came more counts for an alert that looks up, what came less for the other.
    let sign = if alert.is_rising() { 1.0 } else { -1.0 };
    let off = |now: f64, base: f64| (sign * (now - base * scale)).max(0.0);
    let mut found = Vec::new();
    for breakdown in &alert.explain {
        let now = numbers.values(&breakdown.name, from, to);
        let base = numbers.values(&breakdown.name, before, from);
        let names = now.iter().chain(base.iter()).map(|(value, _)| value);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let offs: Vec<(&str, f64)> = names
            .into_iter()
            .map(|name| (name, off(now.count(name) as f64, base.count(name) as f64)))
            .collect();
        let events = |from: Millis, to| numbers.events(&breakdown.event, from, to) as f64;
        // Events without the property count too, else "100 %" of next to nothing would do.
        let all = off(events(from, to), events(before, from));
        let all = all.max(offs.iter().map(|(_, off)| off).sum());
        if all < 1.0 {
            continue;
        }
        found.extend(offs.into_iter().filter(|(_, off)| off / all >= LEAST_SHARE).map(
            |(value, off)| Explains {
                property: breakdown.property.clone(),
                value: value.to_owned(),
                share: (off / all * 1000.0).round() / 1000.0,
                event: breakdown.event.clone(),
            },
        ));
    }
    // Equal shares stay in the order of the configuration.
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    found.truncate(MOST);
    found
}

/// "gateway=adyen: 94 % of the new errors".
pub fn in_words(explains: &Explains, is_rising: bool) -> String {
    let Explains { property, value, share, event } = explains;
    let which = if is_rising { "new" } else { "missing" };
    let percent = (share * 100.0).round();
    let events = event.replace('_', " ");
    format!("{property}={value}: {percent} % of the {which} {events}s")
}
