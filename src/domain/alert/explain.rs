//! Which values of properties explain an alert. Where more events came than usual, these are the
//! values that the additional events have; where fewer came, those of the missing ones.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alert::{Alert, Direction, MetricReader, Reading},
    time::{HOUR, MINUTE, Millis, bucket},
};

/// A value is named if it makes up at least this share of the difference.
const LEAST_SHARE: f64 = 0.2;
/// How many values are named at most.
const MOST: usize = 5;

/// A value that explains an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explains {
    /// The property: `gateway`.
    pub property: String,
    /// Its value: `adyen`.
    pub value: String,
    /// The part of the additional (or missing) events that have this value, 0 to 1.
    pub share: f64,
    /// The type of the events.
    pub event: String,
}

/// Compares the window's minutes with the hour before, value by value. The largest share
/// first.
pub fn explain(alert: &Alert, reader: &impl MetricReader, reading: &Reading) -> Vec<Explains> {
    // Breakdowns are kept by minute, so all minutes are taken that the window touches.
    let (from, to) = (bucket(reading.from, MINUTE), reading.to);
    let before = from - HOUR;
    let scale = scale(alert, reader, before, from, to);
    // Additional events matter where large values are bad, missing ones where small values are.
    let off = |now: f64, base: f64| alert.direction().signed(now - base * scale).max(0.0);
    let mut found = Vec::new();
    for breakdown in &alert.explain {
        let now = reader.values(&breakdown.name, from, to);
        let base = reader.values(&breakdown.name, before, from);
        let names = now.iter().chain(base.iter()).map(|(value, _)| value);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let offs: Vec<(&str, f64)> = names
            .into_iter()
            .map(|name| (name, off(now.count(name) as f64, base.count(name) as f64)))
            .collect();
        let events = |from: Millis, to| reader.events(&breakdown.event, from, to) as f64;
        // Events without the property count too. Otherwise a property that few events have
        // would explain "100 %" of the little that it is there.
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

/// By what to multiply the events of `[before, from)` for what would be usual in `[from, to)`.
/// Where the alert watches a ratio, events are expected to follow what it divides by: with three
/// times the orders, three times as many declined cards are nothing new. Otherwise they follow
/// the length of time.
fn scale(
    alert: &Alert,
    reader: &impl MetricReader,
    before: Millis,
    from: Millis,
    to: Millis,
) -> f64 {
    let volume = |from, to| reader.parts(&alert.metric, from, to).and_then(|parts| parts.per);
    if let (Some(now), Some(base)) = (volume(from, to), volume(before, from))
        && base > 0.0
    {
        return now / base;
    }
    let base_time = reader.covered(before, from).max(MINUTE);
    (to - from) as f64 / base_time as f64
}

/// "gateway=adyen: 94 % of the new errors".
pub(super) fn in_words(explains: &Explains, direction: Direction) -> String {
    let Explains { property, value, share, event } = explains;
    let which = match direction {
        Direction::Up => "new",
        Direction::Down => "missing",
    };
    let percent = (share * 100.0).round();
    let events = event.replace('_', " ");
    format!("{property}={value}: {percent} % of the {which} {events}s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        domain::{
            alert::{Against, Operands},
            metric::Metric,
            top::Top,
        },
    };

    const NOW: Millis = 1_795_521_600_000;

    /// An hour of a hundred payments a minute, then a minute of a thousand, in which adyen
    /// fails. Of every hundred, three are declined and five pages are not found.
    struct Rush;

    impl Rush {
        fn payments(from: Millis) -> u64 {
            if from < NOW { 6_000 } else { 1_000 }
        }

        fn failed(from: Millis) -> u64 {
            if from < NOW { 0 } else { 130 }
        }
    }

    impl MetricReader for Rush {
        fn floor(&self, at: Millis) -> Millis {
            at
        }

        fn late_by(&self, _: &Metric) -> Millis {
            0
        }

        fn parts(&self, _: &Metric, from: Millis, _: Millis) -> Option<Operands> {
            let payments = Rush::payments(from);
            let errors = payments * 3 / 100 + Rush::failed(from);
            Some(Operands { of: errors as f64, per: Some(payments as f64) })
        }

        fn covered(&self, from: Millis, to: Millis) -> Millis {
            to - from
        }

        fn past(&self, _: &Metric, _: Against, _: Millis, _: Millis) -> Option<Operands> {
            None
        }

        fn values(&self, breakdown: &str, from: Millis, _: Millis) -> Top {
            let mut top = Top::default();
            let payments = Rush::payments(from);
            match breakdown {
                "error/gateway" => {
                    top.add("adyen", payments / 200 + Rush::failed(from));
                    top.add("stripe", payments / 40);
                }
                "error/code" => {
                    top.add("404", payments / 20);
                    top.add("gateway_timeout", Rush::failed(from));
                }
                _ => {}
            }
            top
        }

        fn events(&self, _: &str, from: Millis, _: Millis) -> i64 {
            (Rush::payments(from) * 8 / 100 + Rush::failed(from)) as i64
        }
    }

    #[test]
    fn what_grows_with_the_traffic_explains_nothing() {
        let rules = Config::default().rules.alerts;
        let alert = rules.alert("checkout_errors").expect("it is shipped");
        let reading = Reading {
            from: NOW,
            to: NOW + MINUTE,
            window: MINUTE,
            value: 0.16,
            threshold: 0.06,
            baseline: Some(0.03),
            volume: 1_000.0,
            sigma: None,
        };
        let found = explain(alert, &Rush, &reading);
        let found: Vec<_> = found.iter().map(|it| (it.value.as_str(), it.share)).collect();
        assert_eq!(found, [("adyen", 1.0), ("gateway_timeout", 1.0)]);
    }
}
