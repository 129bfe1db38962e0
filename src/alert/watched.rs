//! One alert and its state, which is evaluated again and again: once a second while the server
//! runs, and once for each minute of the past in a test of the rules. Both use the same code.

use crate::domain::{
    alert::{Alert, Change, Firing, Machine, MetricReader, evaluate},
    metric::MetricSet,
    time::{BusinessZone, Millis},
};

/// The state of one alert.
#[derive(Clone, Default)]
pub struct Watched {
    /// When it fires and when it is over.
    machine: Machine,
    /// What was said when it fired; `None` while it does not fire.
    firing: Option<Firing>,
}

/// What all alerts are evaluated with at one moment.
pub struct Moment<'a, R> {
    /// The metrics.
    pub metric_set: &'a MetricSet,
    /// Reads the numbers.
    pub reader: &'a R,
    /// Up to this moment (Unix ms) the numbers are complete.
    pub until: Millis,
    /// The moment itself, Unix ms.
    pub now: Millis,
    /// The zone by whose clock an alert is silent at some times of the day.
    pub zone: &'a BusinessZone,
    /// The currency of money, such as `EUR`.
    pub currency: &'a str,
}

impl Watched {
    /// The state of an alert that fires.
    pub fn fires(firing: Firing) -> Watched {
        Watched { machine: Machine::firing(firing.since, firing.held()), firing: Some(firing) }
    }

    /// The state of an alert that fired and was over at this moment (Unix ms).
    pub fn over(at: Millis) -> Watched {
        Watched { machine: Machine::over(at), firing: None }
    }

    /// Notes what else was said of the alert when it fired.
    pub fn said(&mut self, firing: &Firing) {
        self.firing = self.firing.take().map(|_| firing.clone());
    }

    /// Evaluates the alert. Returns what has changed: that it fires, with an id of `new_id`, or,
    /// with `cleared_at`, that it is over. `None` where nothing has changed.
    pub fn look<R: MetricReader>(
        &mut self,
        alert: &Alert,
        moment: &Moment<'_, R>,
        new_id: impl FnOnce() -> String,
    ) -> Option<Firing> {
        let Moment { metric_set, reader, until, now, zone, currency } = *moment;
        let seen = evaluate(alert, metric_set, reader, until, self.machine.stand(now));
        let silent = alert.silence.is_some_and(|silence| silence.covers(zone.time_of_day(now)));
        match self.machine.step(alert, &seen, now, silent)? {
            Change::Fired(reading) => {
                let firing = Firing::new(alert, reader, &reading, new_id(), now, currency);
                self.firing = Some(firing.clone());
                Some(firing)
            }
            Change::Cleared(_) => {
                let firing = self.firing.take()?;
                Some(Firing { cleared_at: Some(now), ..firing })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        domain::{
            delta::DeltaSum,
            time::{HOUR, MINUTE, SECOND, parse_rfc3339},
        },
        numbers::{Baselines, Mirror, Spans},
    };

    /// The seconds, from the first event on, in which "Orders have stopped" fires or clears. Pages are
    /// viewed all the time; orders come 100 s late, and none is placed in `stopped`.
    fn stalls(stopped: std::ops::Range<i64>, until: i64) -> Vec<(i64, bool)> {
        let config = Config::default();
        let (zone, rules) = (BusinessZone::named("UTC").unwrap(), &config.rules);
        let alert = rules.alerts.alerts.iter().find(|it| it.name == "revenue_stall").unwrap();
        let start = parse_rfc3339("2026-11-27T12:00:00Z").unwrap();
        let clock = std::sync::Arc::new(move || start);
        let (mirror, mut writer) = Mirror::new(zone.clone(), rules.metric_set.clone(), 300, clock);
        let baselines = Baselines::new(zone.clone(), start);
        let mut watched = Watched::default();
        let mut changes = Vec::new();
        for second in 0..until {
            let now = start + second * SECOND;
            let mut sum = DeltaSum::default();
            (0..20).for_each(|_| sum.count("page_view", now));
            if !stopped.contains(&(second - 100)) {
                sum.count("purchase", now - 100 * SECOND);
            }
            writer.apply(0, &sum.finish(), now, now);
            let counters = mirror.counters();
            let spans =
                Spans::live(&rules.metric_set, &counters, &baselines, mirror.lateness(), now);
            let moment = Moment {
                metric_set: &rules.metric_set,
                reader: &spans,
                until: now - SECOND,
                now,
                zone: &zone,
                currency: "USD",
            };
            let change = watched.look(alert, &moment, || "id".to_owned());
            changes.extend(change.map(|firing| (second, firing.cleared_at.is_none())));
        }
        changes
    }

    #[test]
    fn orders_that_are_late_have_not_stopped_and_those_that_stop_are_missed() {
        let hour = HOUR / SECOND;
        assert_eq!(stalls(0..0, hour + 600), []);
        let changes = stalls(hour..2 * hour, hour + 600);
        let [(fired, true)] = changes[..] else { panic!("{changes:?}") };
        // It is known 128 s later, at most, than if they came at once.
        let within = (100..100 + 128 + 2 * MINUTE / SECOND).contains(&(fired - hour));
        assert!(within, "{} s after the last order was placed", fired - hour);
    }
}
