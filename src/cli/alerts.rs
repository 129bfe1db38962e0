//! `floodmark alerts test`: the alerts held against what the store's rollups say of the past.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{ServeArgs, connect, with_config};
use crate::{
    alert::past_shift,
    config::Config,
    domain::{
        alert::{Against, Alert, Change, Firing, Machine, Numbers, Parts, Span, evaluate},
        delta::Series,
        metric::{Measures, Metric, Source},
        time::{BusinessZone, HOUR, MINUTE, Millis, bucket, now_ms, parse_rfc3339},
        top::Top,
        totals::Totals,
    },
    live::baseline::Shift,
    sink::SinkError,
    store::Rollups,
};

/// What the rules look back on before the first minute: the longest window, the hour before
/// it, and the minutes around a baseline of another day.
const LOOK_BACK: Millis = 2 * HOUR + 30 * MINUTE;
/// Hours of one read.
const READ: Millis = 6 * HOUR;
/// Days of one test.
const MAX_SPAN: Millis = 366 * 24 * HOUR;

/// `floodmark alerts`
#[derive(Args, Clone, Debug)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AlertsCommand {
    /// Print when each alert would have fired and cleared, by the minutes in the store
    Test(TestArgs),
}

#[derive(Args, Clone, Debug)]
struct TestArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The first moment (RFC 3339, 2026-11-27T00:00:00Z)
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Millis,
    /// The last moment [default: now]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Option<Millis>,
}

fn moment(text: &str) -> Result<Millis, String> {
    parse_rfc3339(text).ok_or_else(|| "must be a moment such as 2026-11-27T14:00:00Z".to_owned())
}

/// Runs the command.
pub fn run(args: &AlertsArgs) -> ExitCode {
    let AlertsCommand::Test(args) = &args.command;
    with_config(&args.serve, |config| {
        let to = args.to.unwrap_or_else(now_ms);
        match actix::System::new().block_on(test(&config, args.from, to)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(words) => {
                eprintln!("floodmark alerts test: {words}");
                ExitCode::FAILURE
            }
        }
    })
}

async fn test(config: &Config, from: Millis, to: Millis) -> Result<(), String> {
    if from >= to || to - from > MAX_SPAN {
        return Err("--from must be before --to, by a year at most".to_owned());
    }
    let zone = BusinessZone::named(&config.timezone)?;
    let rollups = connect::stores(config).await?.rollups;
    let rules = &config.rules.alerts;
    let against = |wanted| rules.alerts.iter().any(|alert| alert.against() == Some(wanted));
    let shifts: Vec<Shift> = [Against::Yesterday, Against::LastWeek]
        .into_iter()
        .filter(|wanted| against(*wanted))
        .filter_map(past_shift)
        .collect();
    let measures = config.rules.measures.clone();
    let past = Past::read(&*rollups, measures, zone.clone(), &shifts, from, to);
    let past = past.await.map_err(|e| e.to_string())?;
    println!(
        "{} alerts from {} to {}, minute by minute: windows are whole minutes, and what is \
         shorter is a minute late at most",
        rules.alerts.len(),
        shown(from, &zone),
        shown(to, &zone),
    );
    if past.minutes.range(from..to).next().is_none() {
        println!("the store has nothing of that time");
    }
    let changes = replay(config, &past, &zone, from, to);
    for firing in &changes {
        match firing.cleared_at {
            None => println!(
                "{}  {} fired: {}",
                shown(firing.since, &zone),
                firing.name,
                firing.summary
            ),
            Some(at) => {
                let lasted = Span(at - firing.since);
                println!("{}  {} cleared after {lasted}", shown(at, &zone), firing.name);
            }
        }
    }
    for alert in &rules.alerts {
        let fired = changes.iter().filter(|it| it.name == alert.name && it.cleared_at.is_none());
        println!("{}: fired {} times", alert.name, fired.count());
    }
    Ok(())
}

/// Every change in its order: that it fired, and with `cleared_at` that it was over.
fn replay(
    config: &Config,
    past: &Past,
    zone: &BusinessZone,
    from: Millis,
    to: Millis,
) -> Vec<Firing> {
    let mut changes = Vec::new();
    // A look sees a whole minute, so that much of `for` and `clear_for` has passed by then.
    let seen = |ms: Millis| (ms - MINUTE).max(0);
    let alerts: Vec<Alert> = config
        .rules
        .alerts
        .alerts
        .iter()
        .cloned()
        .map(|it| Alert { lasting: seen(it.lasting), clear_for: seen(it.clear_for), ..it })
        .collect();
    let mut machines = vec![(Machine::default(), None); alerts.len()];
    for now in (bucket(from, MINUTE) + MINUTE..=to).step_by(MINUTE as usize) {
        for (alert, (machine, fires)) in alerts.iter().zip(&mut machines) {
            let seen = evaluate(alert, &past.measures, past, now, machine.stand(now));
            let silent = alert.silence.is_some_and(|it| it.covers(zone.time_of_day(now)));
            match machine.step(alert, &seen, now, silent) {
                Some(Change::Fired(reading)) => {
                    let id = changes.len().to_string();
                    let firing = Firing::new(alert, past, &reading, id, now, &config.currency);
                    *fires = Some(firing.clone());
                    changes.push(firing);
                }
                Some(Change::Cleared(_)) => {
                    let over = fires.take();
                    changes.extend(over.map(|it| Firing { cleared_at: Some(now), ..it }));
                }
                None => {}
            }
        }
    }
    changes
}

/// A moment by the clock of the business zone.
fn shown(at: Millis, zone: &BusinessZone) -> String {
    let zoned = Timestamp::from_millisecond(at).and_then(|at| at.in_tz(zone.name()));
    zoned.map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d %H:%M %Z").to_string())
}

/// Minutes of the rollups.
struct Past {
    measures: Arc<Measures>,
    zone: BusinessZone,
    minutes: BTreeMap<Millis, Totals>,
}

impl Past {
    async fn read(
        rollups: &dyn Rollups,
        measures: Arc<Measures>,
        zone: BusinessZone,
        shifts: &[Shift],
        from: Millis,
        to: Millis,
    ) -> Result<Past, SinkError> {
        let (from, to) = ((from - LOOK_BACK).max(0), to + HOUR);
        let shifted = |shift: &Shift| {
            let then = |at| zone.same_moment(at, shift.days());
            (then(from) - HOUR, then(to) + HOUR)
        };
        let mut spans: Vec<_> = shifts.iter().map(shifted).collect();
        spans.push((from, to));
        let mut minutes: BTreeMap<Millis, Totals> = BTreeMap::new();
        for (mut at, end) in spans {
            while at < end {
                let until = (at + READ).min(end);
                let mut found: BTreeMap<Millis, Totals> = BTreeMap::new();
                for (minute, series, value) in rollups.minutes(at, until, None).await? {
                    found.entry(minute).or_default().add(&series, value);
                }
                // Spans may overlap: a minute is read whole, so the last read will do.
                minutes.extend(found);
                at = until;
            }
        }
        Ok(Past { measures, zone, minutes })
    }

    fn totals(&self, from: Millis, to: Millis) -> Totals {
        let mut sum = Totals::default();
        self.minutes.range(from..to.max(from)).for_each(|(_, totals)| sum.merge(totals));
        sum
    }
}

/// The sums of some minutes, looked up without adding up what is not asked for.
struct Stretch<'a>(&'a Past, Millis, Millis);

impl Source for Stretch<'_> {
    fn series(&self, series: &Series) -> i64 {
        let Stretch(past, from, to) = *self;
        past.minutes.range(from..to.max(from)).map(|(_, totals)| totals.series(series)).sum()
    }

    fn all_events(&self) -> i64 {
        let Stretch(past, from, to) = *self;
        past.minutes.range(from..to.max(from)).map(|(_, totals)| totals.all_events()).sum()
    }

    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}

impl Numbers for Past {
    fn floor(&self, at: Millis) -> Millis {
        bucket(at, MINUTE)
    }

    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Parts> {
        Parts::read(&self.measures, metric, &Stretch(self, from, to))
    }

    fn covered(&self, from: Millis, to: Millis) -> Millis {
        let minutes = self.minutes.range(from..to.max(from));
        minutes.filter(|(_, totals)| totals.events() > 0).count() as Millis * MINUTE
    }

    fn past(&self, metric: &Metric, against: Against, from: Millis, to: Millis) -> Option<Parts> {
        let days = past_shift(against)?.days();
        let mut sum = Totals::default();
        for minute in (from..to).step_by(MINUTE as usize) {
            let then = self.zone.same_moment(minute, days);
            sum.merge(&self.totals(then, then + MINUTE));
        }
        // Without a single event there was no such day.
        (sum.events() > 0).then(|| Parts::read(&self.measures, metric, &sum))?
    }

    /// Breakdowns are kept for a day and not in the rollups.
    fn values(&self, _: &str, _: Millis, _: Millis) -> Top {
        Top::default()
    }

    fn events(&self, _: &str, _: Millis, _: Millis) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let measures = config.rules.measures.clone();
        let past = Past { measures, zone: zone.clone(), minutes };
        let changes = replay(&config, &past, &zone, start, start + 180 * MINUTE);
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
