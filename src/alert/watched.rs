//! One alert and where it stands, looked at again and again: once a second while the server runs,
//! once a minute of the past in a test of the rules. Both are the same look.

use crate::domain::{
    alert::{Alert, Change, Firing, Machine, MetricReader, evaluate},
    metric::MetricSet,
    time::{BusinessZone, Millis},
};

/// Where one alert stands, with what fires.
#[derive(Clone, Default)]
pub struct Watched {
    machine: Machine,
    firing: Option<Firing>,
}

/// What all alerts are looked at with, at one moment.
pub struct Moment<'a, N> {
    /// What is counted.
    pub metric_set: &'a MetricSet,
    /// The numbers.
    pub numbers: &'a N,
    /// Up to here (Unix ms) the numbers are whole.
    pub until: Millis,
    /// The moment, Unix ms.
    pub now: Millis,
    /// By its clock an alert may be silent.
    pub zone: &'a BusinessZone,
    /// What money is in.
    pub currency: &'a str,
}

impl Watched {
    /// An alert that fires.
    pub fn fires(firing: Firing) -> Watched {
        Watched { machine: Machine::firing(firing.since, firing.held()), firing: Some(firing) }
    }

    /// An alert that was over at this moment (Unix ms).
    pub fn over(at: Millis) -> Watched {
        Watched { machine: Machine::over(at), firing: None }
    }

    /// Looks at the alert. Returns what has changed: that it fires, with an id of `new_id`, or
    /// with `cleared_at` that it is over.
    pub fn look<N: MetricReader>(
        &mut self,
        alert: &Alert,
        moment: &Moment<'_, N>,
        new_id: impl FnOnce() -> String,
    ) -> Option<Firing> {
        let Moment { metric_set, numbers, until, now, zone, currency } = *moment;
        let seen = evaluate(alert, metric_set, numbers, until, self.machine.stand(now));
        let silent = alert.silence.is_some_and(|silence| silence.covers(zone.time_of_day(now)));
        match self.machine.step(alert, &seen, now, silent)? {
            Change::Fired(reading) => {
                let firing = Firing::new(alert, numbers, &reading, new_id(), now, currency);
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
