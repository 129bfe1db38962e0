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
