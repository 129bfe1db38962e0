//! One alert and its state, which is evaluated again and again: once a second while the server
//! runs, and once for each minute of the past in a test of the rules. Both use the same code.

use crate::domain::{
    alert::{Alert, Change, Firing, Machine, MetricReader, Verdict, evaluate},
    mark::Mark,
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
    /// Where it fires: the last moment at which its conditions held, Unix ms.
    breached_at: Option<Millis>,
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
    /// The last marks.
    pub marks: &'a [Mark],
}

impl Watched {
    /// The state of an alert that fires.
    pub fn fires(firing: Firing) -> Watched {
        Watched {
            machine: Machine::firing(firing.since, firing.held()),
            breached_at: Some(firing.since),
            firing: Some(firing),
        }
    }

    /// The state of an alert that fired and was over at this moment (Unix ms).
    pub fn over(at: Millis) -> Watched {
        Watched { machine: Machine::over(at), firing: None, breached_at: None }
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
        let Moment { metric_set, reader, until, now, zone, currency, marks } = *moment;
        let seen = evaluate(alert, metric_set, reader, until, self.machine.stand(now));
        if seen.verdict == Verdict::Breached {
            self.breached_at = Some(now);
        }
        let silent = alert.silence.is_some_and(|silence| silence.covers(zone.time_of_day(now)));
        match self.machine.step(alert, &seen, now, silent)? {
            Change::Fired(reading) => {
                let firing = Firing::new(alert, reader, &reading, new_id(), now, currency);
                let firing = firing.after(marks);
                self.firing = Some(firing.clone());
                Some(firing)
            }
            Change::Cleared(_) => {
                let firing = self.firing.take()?;
                let breached_until = self.breached_at.take();
                Some(Firing { cleared_at: Some(now), breached_until, ..firing })
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
            delta::{DeltaSum, Series},
            time::{HOUR, MINUTE, SECOND, parse_rfc3339},
        },
        numbers::{Baselines, Mirror, Spans},
    };

    const START: &str = "2026-11-27T12:00:00Z";

    /// What becomes of one of the shipped alerts while `send` says what comes in each second, from the first
    /// event on. `send` is given the second and its moment, Unix ms.
    fn changes(name: &str, until: i64, send: impl Fn(i64, Millis, &mut DeltaSum)) -> Vec<Firing> {
        let config = Config::default();
        let (zone, rules) = (BusinessZone::named("UTC").unwrap(), &config.rules);
        let alert = rules.alerts.alerts.iter().find(|it| it.name == name).unwrap();
        let start = parse_rfc3339(START).unwrap();
        let clock = std::sync::Arc::new(move || start);
        let (mirror, mut writer) = Mirror::new(zone.clone(), rules.metric_set.clone(), 300, clock);
        let baselines = Baselines::new(zone.clone(), start);
        let mut watched = Watched::default();
        let mut changes = Vec::new();
        for second in 0..until {
            let now = start + second * SECOND;
            let mut sum = DeltaSum::default();
            send(second, now, &mut sum);
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
                marks: &[],
            };
            changes.extend(watched.look(alert, &moment, || "id".to_owned()));
        }
        changes
    }

    /// The second of a moment.
    fn second(at: Millis) -> i64 {
        (at - parse_rfc3339(START).unwrap()) / SECOND
    }

    /// When "Orders have stopped" fires or clears. Pages are viewed all the time; orders come 100 s late, and
    /// none is placed in `stopped`.
    fn stalls(stopped: std::ops::Range<i64>, until: i64) -> Vec<(i64, bool)> {
        let changes = changes("revenue_stall", until, |at, now, sum| {
            (0..20).for_each(|_| sum.count("page_view", now));
            if !stopped.contains(&(at - 100)) {
                sum.count("purchase", now - 100 * SECOND);
            }
        });
        let all = changes.iter();
        all.map(|it| (second(it.cleared_at.unwrap_or(it.since)), it.cleared_at.is_none())).collect()
    }

    #[test]
    fn a_shop_that_went_silent_was_not_bad_for_as_long_as_it_was_silent() {
        let (hour, silent) = (HOUR / SECOND, 16 * MINUTE / SECOND);
        let changes = changes("checkout_errors", hour + silent + 900, |at, now, sum| {
            let is_burst = (hour..hour + 40).contains(&at);
            if at < hour + 40 || at >= hour + 40 + silent {
                (0..10).for_each(|_| sum.count("purchase", now));
                let errors = if is_burst { 10 } else { at % 2 };
                (0..errors).for_each(|_| {
                    sum.count("error", now);
                    sum.sum(&Series::Matching("checkout_errors".into()), now, 1);
                });
            }
        });
        let [fired, over] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((fired.breached_until, fired.cleared_at), (None, None));
        let bad_until = second(over.breached_until.unwrap());
        // The window still holds the burst for a while after it.
        assert!((hour + 39..hour + 40 + 120).contains(&bad_until), "{}", bad_until - hour);
        // Nothing says that it is over until it has been silent for too long to be judged.
        let told = second(over.cleared_at.unwrap()) - bad_until;
        assert!((14 * 60..=16 * 60).contains(&told), "{told}");
    }

    /// Which of the two alerts fire where, after an hour, orders of the books or of the tracking stop. Pages
    /// are viewed all the time; the tracking's orders are what `purchases` counts.
    fn of_orders(books_go_on: bool, tracking_goes_on: bool, has_books: bool) -> Vec<&'static str> {
        let hour = HOUR / SECOND;
        let fires = |name: &&str| {
            let changes = changes(name, hour + 600, |at, now, sum| {
                (0..20).for_each(|_| sum.count("page_view", now));
                if has_books && (books_go_on || at < hour) {
                    sum.sum(&Series::Matching("orders_booked".into()), now, 1);
                }
                if tracking_goes_on || at < hour {
                    sum.count("purchase", now);
                    sum.sum(&Series::Matching("orders_tracked".into()), now, 1);
                }
            });
            changes.iter().any(|it| it.cleared_at.is_none())
        };
        ["revenue_stall", "tracking_stopped"].into_iter().filter(fires).collect()
    }

    #[test]
    fn tracking_that_stops_is_told_apart_from_orders_that_stop() {
        assert_eq!(of_orders(true, true, true), [""; 0]);
        assert_eq!(of_orders(true, false, true), ["tracking_stopped"]);
        assert_eq!(of_orders(false, false, true), ["revenue_stall"]);
        // Nobody's books say anything of the tracking.
        assert_eq!(of_orders(false, false, false), ["revenue_stall"]);
    }

    #[test]
    fn orders_that_stop_at_last_end_no_alert_and_webhooks_that_come_back_do() {
        let hour = HOUR / SECOND;
        let changes = changes("revenue_stall", hour + 1_500, |at, now, sum| {
            (0..20).for_each(|_| sum.count("page_view", now));
            if at < hour {
                sum.count("purchase", now);
            }
            // The shop sells again, and its tracking is still away.
            if at < hour || at >= hour + 600 {
                sum.sum(&Series::Matching("orders_booked".into()), now, 1);
            }
        });
        let [fired, over] = &changes[..] else { panic!("{changes:?}") };
        assert!((hour..hour + 600).contains(&second(fired.since)));
        assert!(second(over.cleared_at.unwrap()) >= hour + 600);
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
