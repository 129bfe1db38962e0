//! The shipped alerts over whole simulated days: a quiet day fires nothing, whatever the
//! shop's size; an incident is found as soon as its size allows.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    config::Config,
    domain::{
        alert::{
            Against, AlertRules, Change, Firing, Machine, MetricReader, Operands, Reading, evaluate,
        },
        metric::{Metric, MetricSet},
        time::{HOUR, MINUTE, Millis, SECOND, bucket},
        top::Top,
    },
};

const DAY_S: usize = 86_400;
/// How often the rules are looked at, seconds: as often as `for` needs it.
const EVERY_S: usize = 5;
const VIEWS_AN_ORDER: f64 = 20.0;
const GATEWAYS: [(&str, f64); 4] =
    [("stripe", 0.52), ("paypal", 0.29), ("adyen", 0.13), ("klarna", 0.06)];
/// Of payments that fail on a good day.
const DECLINED: f64 = 0.035;

/// What goes wrong in a day.
#[derive(Clone, Copy, Default)]
struct Incident {
    /// From which second to which.
    at: (usize, usize),
    /// The gateway that fails, and of how many of its payments.
    gateway: Option<(usize, f64)>,
    /// Times as many visitors.
    crowd: Option<f64>,
}

/// A day by second, as sums from its start.
struct Day {
    views: Vec<i64>,
    orders: Vec<i64>,
    errors: [Vec<i64>; 4],
    /// Minutes with any view.
    lively: Vec<i64>,
}

/// A number of events of a Poisson process.
fn poisson(rng: &mut StdRng, mean: f64) -> i64 {
    if mean > 50.0 {
        // Box and Muller.
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        let normal = (-2.0 * u.ln()).sqrt() * (v * std::f64::consts::TAU).cos();
        return (mean + mean.sqrt() * normal).round().max(0.0) as i64;
    }
    let (mut n, mut p, limit) = (0, rng.random::<f64>(), (-mean).exp());
    while p > limit {
        n += 1;
        p *= rng.random::<f64>();
    }
    n
}

impl Day {
    /// A day with so many orders a minute at its average.
    fn new(seed: u64, orders_a_minute: f64, incident: Incident) -> Day {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut day = Day {
            views: vec![0],
            orders: vec![0],
            errors: std::array::from_fn(|_| vec![0]),
            lively: vec![0],
        };
        // How lively it is, slowly wandering about 1.
        let mut mood = 0.0f64;
        for second in 0..DAY_S {
            mood = mood * 0.999 + 0.01 * (rng.random::<f64>() - 0.5);
            // A tenth of the noon's traffic at night, twice the average in the evening.
            let turn = (second as f64 / DAY_S as f64 - 0.3) * std::f64::consts::TAU;
            let wave = (1.0 + 0.85 * turn.sin()) * mood.exp();
            let on = (incident.at.0..incident.at.1).contains(&second);
            let crowd = incident.crowd.filter(|_| on).unwrap_or(1.0);
            let tries = orders_a_minute / 60.0 * wave;
            // A visitor looks at some pages in a row, so views come in clumps of four.
            let views = 4 * poisson(&mut rng, tries * VIEWS_AN_ORDER * crowd / 4.0);
            let mut orders = 0;
            for (gateway, (_, share)) in GATEWAYS.iter().enumerate() {
                let fails = match incident.gateway {
                    Some((failing, chance)) if on && failing == gateway => chance,
                    _ => DECLINED,
                };
                let tried = poisson(&mut rng, tries * share);
                // Somebody whose payment fails tries once more as often as not.
                let failed: i64 = match tried {
                    0..200 => (0..tried).filter(|_| rng.random_bool(fails)).count() as i64,
                    _ => poisson(&mut rng, tried as f64 * fails).min(tried),
                };
                orders += tried - failed;
                let again = if rng.random_bool(0.5) { failed } else { 0 };
                push(&mut day.errors[gateway], failed + again);
            }
            push(&mut day.views, views);
            push(&mut day.orders, orders);
        }
        day.look_for_life();
        day
    }

    fn look_for_life(&mut self) {
        self.lively = vec![0];
        for minute in self.views.windows(61).step_by(60) {
            let is_lively = minute[60] > minute[0];
            push(&mut self.lively, i64::from(is_lively));
        }
    }
}

fn push(sums: &mut Vec<i64>, more: i64) {
    sums.push(sums.last().copied().unwrap_or(0) + more);
}

fn between(sums: &[i64], from: Millis, to: Millis) -> i64 {
    let at = |ms: Millis| sums[(ms / SECOND).clamp(0, DAY_S as i64) as usize];
    at(to) - at(from)
}

impl MetricReader for Day {
    fn floor(&self, at: Millis) -> Millis {
        bucket(at, SECOND)
    }

    fn late_by(&self, _: &Metric) -> Millis {
        0
    }

    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Operands> {
        let orders = between(&self.orders, from, to) as f64;
        let errors: i64 = self.errors.iter().map(|sums| between(sums, from, to)).sum();
        let errors = errors as f64;
        Some(match metric.name.as_str() {
            "page_views" => Operands { of: between(&self.views, from, to) as f64, per: None },
            // Every order is in the books, and the tracking sees it.
            "purchases" | "orders_booked" | "orders_tracked" => Operands { of: orders, per: None },
            "checkout_error_rate" => Operands { of: errors, per: Some(errors + orders) },
            other => panic!("a shipped alert watches {other}"),
        })
    }

    fn covered(&self, from: Millis, to: Millis) -> Millis {
        // Whole minutes: a few seconds more or less of an hour change nothing.
        let at = |ms: Millis| self.lively[(ms / MINUTE).clamp(0, 1440) as usize];
        (at(to) - at(from)) * MINUTE
    }

    fn past(&self, _: &Metric, _: Against, _: Millis, _: Millis) -> Option<Operands> {
        None
    }

    fn values(&self, breakdown: &str, from: Millis, to: Millis) -> Top {
        let mut top = Top::default();
        if breakdown == "error/gateway" {
            for ((name, _), sums) in GATEWAYS.iter().zip(&self.errors) {
                top.add(name, between(sums, from, to) as u64);
            }
        }
        top
    }

    fn events(&self, kind: &str, from: Millis, to: Millis) -> i64 {
        assert!(["error", "purchase", "page_view"].contains(&kind));
        match kind {
            "error" => self.errors.iter().map(|sums| between(sums, from, to)).sum(),
            _ => 0,
        }
    }
}

/// What happened: (alert, second, what fired or `None` where it cleared).
fn watch(day: &Day, seconds: std::ops::Range<usize>) -> Vec<(String, usize, Option<Firing>)> {
    let rules = Config::default().rules;
    let (metric_set, alerts): (&MetricSet, &AlertRules) = (&rules.metric_set, &rules.alerts);
    let mut machines = vec![Machine::default(); alerts.alerts.len()];
    let mut out = Vec::new();
    for second in seconds.step_by(EVERY_S) {
        let now = second as Millis * SECOND;
        for (alert, machine) in alerts.alerts.iter().zip(&mut machines) {
            let seen = evaluate(alert, metric_set, day, now, machine.stand(now));
            match machine.step(alert, &seen, now, false) {
                Some(Change::Fired(reading)) => {
                    let firing = told(alert, day, &reading, now);
                    out.push((alert.name.clone(), second, Some(firing)));
                }
                Some(Change::Cleared(_)) => out.push((alert.name.clone(), second, None)),
                None => {}
            }
        }
    }
    out
}

fn told(alert: &super::Alert, day: &Day, reading: &Reading, now: Millis) -> Firing {
    Firing::new(alert, day, reading, "id".to_owned(), now, "USD")
}

const TWO_PM: usize = 14 * 3600;

#[test]
fn a_day_without_incident_fires_nothing_in_a_shop_of_any_size() {
    let mut fired = Vec::new();
    for orders_a_minute in [0.2, 1.0, 10.0, 300.0, 30_000.0] {
        for seed in 1..=3 {
            let day = Day::new(seed, orders_a_minute, Incident::default());
            let seen = watch(&day, 0..DAY_S);
            fired.extend(seen.into_iter().map(|it| (orders_a_minute, seed, it)));
        }
    }
    assert!(fired.is_empty(), "{fired:#?}");
}

/// Seconds from the incident's begin to the first firing, which must be of this alert.
fn found(day: &Day, alert: &str) -> (usize, Firing) {
    let seen = watch(day, TWO_PM - 2 * 3600..TWO_PM + 3 * 3600);
    let (name, second, firing) = seen.first().expect("it is found").clone();
    assert_eq!(name, alert, "{seen:#?}");
    assert!(second >= TWO_PM, "{seen:#?}");
    let names: Vec<_> = seen.iter().map(|it| (it.0.as_str(), it.2.is_some())).collect();
    assert_eq!(names, [(alert, true), (alert, false)], "once, and over in the end: {seen:#?}");
    (second - TWO_PM, firing.expect("first it fires"))
}

#[test]
fn a_failing_gateway_is_found_as_soon_as_the_shops_size_allows() {
    // (orders a minute, gateway, of how many payments, found within so many seconds)
    for (orders_a_minute, gateway, chance, within) in [
        (30_000.0, 2, 0.75, 30),
        (300.0, 2, 0.75, 60),
        (300.0, 0, 0.75, 30),
        (10.0, 0, 0.75, 240),
        (1.0, 0, 1.0, 1_800),
    ] {
        for seed in 1..=3 {
            let at = (TWO_PM, TWO_PM + 3_600);
            let incident = Incident { at, gateway: Some((gateway, chance)), crowd: None };
            let day = Day::new(seed, orders_a_minute, incident);
            let (after, firing) = found(&day, "checkout_errors");
            let about = format!("{orders_a_minute} a minute, seed {seed}: {after} s, {firing:?}");
            assert!(after <= within, "{about}");
            let first = &firing.explains[0];
            assert_eq!((&*first.property, &*first.value), ("gateway", GATEWAYS[gateway].0));
            assert!(first.share > 0.6, "{about}");
        }
    }
}

#[test]
fn the_all_clear_comes_once_and_as_soon_after_the_fix_as_the_shops_size_allows() {
    // (orders a minute, gateway, of how many payments, cleared within so many seconds)
    for (orders_a_minute, gateway, chance, within) in [
        (30_000.0, 2, 0.75, 120),
        (300.0, 2, 0.75, 180),
        (100.0, 0, 0.75, 600),
        (10.0, 0, 0.75, 600),
        (1.0, 0, 1.0, 3_600),
    ] {
        let at = (TWO_PM, TWO_PM + 3 * 3_600);
        let incident = Incident { at, gateway: Some((gateway, chance)), crowd: None };
        let mut cleared = Vec::new();
        // The sixth day of the smallest shop is one on which chance looks like the fix.
        for seed in 1..=6 {
            let day = Day::new(seed, orders_a_minute, incident);
            let seen = watch(&day, TWO_PM - 3_600..at.1 + 3 * 3_600);
            let about = format!("{orders_a_minute} a minute, seed {seed}: {seen:#?}");
            let [(_, fired, Some(_)), (_, over, None)] = &seen[..] else {
                panic!("it flaps: {about}");
            };
            assert!(*fired >= at.0 && *over >= at.1, "too early: {about}");
            assert!(over - at.1 <= within, "late, {} s after the fix: {about}", over - at.1);
            cleared.push(over - at.1);
        }
        println!("{orders_a_minute} orders a minute: cleared {cleared:?} s after the fix");
    }
}

#[test]
fn an_incident_of_four_hours_is_one_alert_that_ends_with_it() {
    let at = (TWO_PM, TWO_PM + 4 * 3600);
    let day = Day::new(1, 300.0, Incident { at, gateway: Some((0, 0.75)), crowd: None });
    let seen = watch(&day, TWO_PM - 2 * 3600..TWO_PM + 6 * 3600);
    let seconds: Vec<_> = seen.iter().map(|it| (it.0.as_str(), it.2.is_some())).collect();
    assert_eq!(seconds, [("checkout_errors", true), ("checkout_errors", false)]);
    let cleared = seen[1].1;
    assert!((at.1..at.1 + 180).contains(&cleared), "cleared {} s after the fix", cleared - at.1);
}

#[test]
fn stopped_orders_and_a_crowd_are_found() {
    let at = (TWO_PM, TWO_PM + 1_800);
    for (orders_a_minute, crowd, alert, within) in [
        (300.0, 4.0, "traffic_surge", 120),
        (30_000.0, 4.0, "traffic_surge", 120),
        (10.0, 5.0, "traffic_surge", 300),
    ] {
        let day = Day::new(1, orders_a_minute, Incident { at, gateway: None, crowd: Some(crowd) });
        let (after, _) = found(&day, alert);
        assert!(after <= within, "{orders_a_minute}: {after} s");
    }
    for (orders_a_minute, within) in [(1.0, 1_800), (10.0, 240), (300.0, 90), (30_000.0, 90)] {
        let mut day = Day::new(2, orders_a_minute, Incident::default());
        // Nobody can order from two to half past, and no error says so.
        let stopped = day.orders[at.0];
        let missing = day.orders[at.1] - stopped;
        day.orders[at.0..at.1].fill(stopped);
        day.orders[at.1..].iter_mut().for_each(|sum| *sum -= missing);
        for sums in &mut day.errors {
            let (stopped, missing) = (sums[at.0], sums[at.1] - sums[at.0]);
            sums[at.0..at.1].fill(stopped);
            sums[at.1..].iter_mut().for_each(|sum| *sum -= missing);
        }
        let (after, _) = found(&day, "revenue_stall");
        assert!(after <= within, "{orders_a_minute}: {after} s");
    }
}

#[test]
fn a_shop_that_has_just_opened_has_no_baseline() {
    let mut day = Day::new(1, 300.0, Incident::default());
    let opens = TWO_PM;
    for sums in [&mut day.views, &mut day.orders].into_iter().chain(&mut day.errors) {
        let before = sums[opens];
        sums.iter_mut().for_each(|sum| *sum = (*sum - before).max(0));
    }
    day.look_for_life();
    let hours = (2 * HOUR / SECOND) as usize;
    assert!(watch(&day, opens..opens + hours).is_empty());
}
