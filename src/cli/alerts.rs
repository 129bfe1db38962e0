//! `floodmark alerts test`: the alerts held against what the store's rollups say of the past.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{ServeArgs, connect, exit::Exit, moment, with_config};
use crate::{
    alert::Backtest,
    config::Config,
    domain::{
        alert::Span,
        time::{BusinessZone, HOUR, Millis, now_ms},
    },
};

/// The longest time of one test, in ms.
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

/// Runs the command.
pub fn run(args: &AlertsArgs) -> ExitCode {
    let AlertsCommand::Test(args) = &args.command;
    with_config(&args.serve, |config| {
        let to = args.to.unwrap_or_else(now_ms);
        match actix::System::new().block_on(test(&config, args.from, to)) {
            Ok(()) => Exit::Done.into(),
            Err(words) => {
                eprintln!("floodmark alerts test: {words}");
                Exit::Failed.into()
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
    let backtest = Backtest {
        rules,
        metric_set: &config.rules.metric_set,
        zone: &zone,
        currency: &config.currency,
        from,
        to,
    };
    let minutes = backtest.read(&*rollups).await.map_err(|e| e.to_string())?;
    println!(
        "{} alerts from {} to {}, minute by minute: windows are whole minutes, and what is \
         shorter is a minute late at most",
        rules.alerts.len(),
        shown(from, &zone),
        shown(to, &zone),
    );
    if minutes.is_empty(from, to) {
        println!("the store has nothing of that time");
    }
    let changes = backtest.replay(&minutes);
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

/// A moment by the clock of the business zone.
fn shown(at: Millis, zone: &BusinessZone) -> String {
    let zoned = Timestamp::from_millisecond(at).and_then(|at| at.in_tz(zone.name()));
    zoned.map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d %H:%M %Z").to_string())
}
