//! Tests the alerts on the past: when each would have fired and cleared, by the minutes that the
//! rollups have. `floodmark alerts test` prints the result.

use crate::{
    alert::watched::{Moment, Watched},
    domain::{
        alert::{Against, Alert, AlertRules, Firing},
        metric::MetricSet,
        time::{BusinessZone, HOUR, MINUTE, Millis, bucket},
    },
    numbers::{Minutes, Shift, Spans},
    sink::SinkError,
    store::Rollups,
};

/// How far before the first minute the rules look, in ms: the longest window, the hour before it,
/// and some minutes around a baseline of another day.
const LOOK_BACK: Millis = 2 * HOUR + 30 * MINUTE;

/// The alerts of a configuration, and the stretch of the past that they are tested on.
pub struct Backtest<'a> {
    /// The alerts.
    pub rules: &'a AlertRules,
    /// The metrics that they watch.
    pub metric_set: &'a MetricSet,
    /// The business time zone.
    pub zone: &'a BusinessZone,
    /// The currency of money, such as `EUR`.
    pub currency: &'a str,
    /// The first moment of the stretch, Unix ms.
    pub from: Millis,
    /// The last moment of the stretch, Unix ms.
    pub to: Millis,
}

impl Backtest<'_> {
    /// Reads the minutes that the rules look at.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn read(&self, rollups: &dyn Rollups) -> Result<Minutes, SinkError> {
        let alerts = &self.rules.alerts;
        let is_asked = |wanted: &Against| alerts.iter().any(|it| it.against() == Some(*wanted));
        let others = [Against::Yesterday, Against::LastWeek].into_iter().filter(is_asked);
        let shifts: Vec<Shift> = others.filter_map(Shift::of).collect();
        let (from, to) = ((self.from - LOOK_BACK).max(0), self.to + HOUR);
        Minutes::read(rollups, self.zone.clone(), &shifts, from, to).await
    }

    /// Every change, in the order in which it happened: an alert that fired, or, with
    /// `cleared_at`, one that was over.
    pub fn replay(&self, minutes: &Minutes) -> Vec<Firing> {
        let spans = Spans::past(self.metric_set, minutes);
        // When a look first sees a condition, the condition has held for the whole minute that the
        // look is about. So `for` and `clear_for` are shorter by that minute here.
        let seen = |ms: Millis| (ms - MINUTE).max(0);
        let alerts = self.rules.alerts.iter().cloned();
        let alerts: Vec<Alert> = alerts
            .map(|it| Alert { lasting: seen(it.lasting), clear_for: seen(it.clear_for), ..it })
            .collect();
        let mut watched = vec![Watched::default(); alerts.len()];
        let mut changes: Vec<Firing> = Vec::new();
        let first = bucket(self.from, MINUTE) + MINUTE;
        for now in (first..=self.to).step_by(MINUTE as usize) {
            let moment = Moment {
                metric_set: self.metric_set,
                reader: &spans,
                until: now,
                now,
                zone: self.zone,
                currency: self.currency,
                // Marks of the past are in the store, which is not asked for what nobody is told.
                marks: &[],
            };
            for (alert, watched) in alerts.iter().zip(&mut watched) {
                let changed = watched.look(alert, &moment, || changes.len().to_string());
                changes.extend(changed);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        config::Config,
        domain::{delta::Series, time::parse_rfc3339, totals::Totals},
    };

    #[test]
    fn the_past_fires_and_clears_by_the_minute() {
        let config = Config::default();
        let zone = BusinessZone::named("UTC").unwrap();
        let start = parse_rfc3339("2026-11-27T12:00:00Z").unwrap();
        let mut minutes = BTreeMap::new();
        for minute in 0..180 {
            let fails = (120..140).contains(&minute);
            let mut totals = Totals::default();
            totals.add(&Series::Count("page_view".into()), 4_000);
            totals.add(&Series::Count("purchase".into()), if fails { 150 } else { 190 });
            totals.add(&Series::Count("error".into()), if fails { 50 } else { 10 });
            let errors = Series::Matching("checkout_errors".into());
            totals.add(&errors, if fails { 50 } else { 10 });
            minutes.insert(start + minute * MINUTE, totals);
        }
        let backtest = Backtest {
            rules: &config.rules.alerts,
            metric_set: &config.rules.metric_set,
            zone: &zone,
            currency: &config.currency,
            from: start,
            to: start + 180 * MINUTE,
        };
        let changes = backtest.replay(&Minutes::new(zone.clone(), minutes));
        let seen: Vec<_> = changes
            .iter()
            .map(|it| {
                let at = it.cleared_at.unwrap_or(it.since);
                (it.name.as_str(), (at - start) / MINUTE, it.cleared_at.is_some())
            })
            .collect();
        let name = "checkout_errors";
        assert_eq!(seen, [(name, 121, false), (name, 141, true)], "{changes:#?}");
    }
}
