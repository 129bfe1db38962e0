//! `floodmark retention`: removes at once what is older than `[retention]` says, or shows what that would be.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use indicatif::HumanBytes;

use super::{ServeArgs, connect, exit::Exit, keep_files_private, with_config};
use crate::{
    config::Config,
    domain::time::{DAY, bucket, rfc3339},
    spool::DataDir,
    store::{
        retention::{DueRows, Remover, Removing, TooOld, date_of},
        sqlite,
    },
};

/// The pause between two steps: a server that runs beside it writes meanwhile.
const PAUSE: Duration = Duration::from_millis(5);
/// The most lines of a dry run.
const MAX_LINES: usize = 400;

/// The flags of `floodmark retention`.
#[derive(Args, Clone, Debug)]
pub struct RetentionArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Show what would go, by day and type, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write a SQLite file of an earlier version anew, so that it can shrink; no server may run on it
    #[arg(long, conflicts_with = "dry_run")]
    shrink: bool,
}

/// Runs the command.
pub fn run(args: &RetentionArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        keep_files_private();
        match actix::System::new().block_on(retention(&config, args)) {
            Ok(words) => {
                println!("{words}");
                Exit::Done.into()
            }
            Err(words) => {
                eprintln!("floodmark retention: {words}");
                Exit::Failed.into()
            }
        }
    })
}

async fn retention(config: &Config, args: &RetentionArgs) -> Result<String, String> {
    if args.shrink {
        return shrink(config).await;
    }
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    let remover = Remover::new(&stores, &config.retention);
    let now = remover.now().await.map_err(|e| e.to_string())?;
    if args.dry_run {
        let old = TooOld::at(&config.retention, now);
        let due = match old.is_nothing() {
            true => Vec::new(),
            false => stores.retention.due(&old).await.map_err(|e| e.to_string())?,
        };
        return Ok(would_go(config, now, &due));
    }
    let done = remover.round(now, PAUSE, &mut |_| {}).await.map_err(|e| e.to_string())?;
    let done = done.ok_or("another process removes rows at the moment; its work goes on")?;
    Ok(gone(&done))
}

/// Writes a SQLite file anew.
async fn shrink(config: &Config) -> Result<String, String> {
    if !config.postgres.url.is_empty() {
        return Err(
            "a database of Postgres needs no --shrink: its partitions are dropped".to_owned()
        );
    }
    let _held = DataDir::open(&config.data_dir).map_err(|e| e.to_string())?;
    let (before, after) = sqlite::shrink(&config.data_dir).map_err(|e| e.to_string())?;
    Ok(format!(
        "the file had {} and has {}; from now on it gives free pages back by itself",
        HumanBytes(before),
        HumanBytes(after)
    ))
}

fn would_go(config: &Config, now: i64, due: &[DueRows]) -> String {
    let mut lines = vec![format!("By the clock of {}, this would go:", rfc3339(now))];
    let line = |it: &DueRows| {
        let (kind, about) = (named(&it.kind), if it.estimated { "about " } else { "" });
        let why = it.reason.name();
        format!("  {}  {kind}: {about}{} rows, {} ({why})", it.day, it.rows, HumanBytes(it.bytes))
    };
    lines.extend(due.iter().take(MAX_LINES).map(line));
    if due.len() > MAX_LINES {
        lines.push(format!("  and {} more days and types", due.len() - MAX_LINES));
    }
    let (rows, bytes) = due.iter().fold((0, 0), |sum, it| (sum.0 + it.rows, sum.1 + it.bytes));
    lines.push(format!("{rows} rows of events in all, {}.", HumanBytes(bytes)));
    for (what, days) in [
        ("rollups and breakdowns", config.retention.rollups_days),
        ("dead letters", config.retention.dead_letters_days),
        ("alerts", config.retention.alerts_days),
    ] {
        lines.push(match days {
            0 => format!("All {what} are kept."),
            days => {
                let first = bucket(now, DAY).div_euclid(DAY) - days.min(100_000) as i64;
                format!("Besides, {what} from before {} would go.", date_of(first.max(0)))
            }
        });
    }
    lines.join("\n")
}

fn gone(done: &Removing) -> String {
    let mut lines: Vec<String> = done
        .events
        .iter()
        .filter(|it| it.3 > 0)
        .map(|(day, kind, reason, rows)| {
            format!("  {}  {}: {rows} rows ({})", date_of(*day), named(kind), reason.name())
        })
        .collect();
    let rows: u64 = done.events.iter().map(|it| it.3).sum();
    lines.push(format!(
        "removed {rows} rows of events, {} of rollups, {} dead letters, {} of alerts",
        done.rollups, done.dead_letters, done.alerts
    ));
    lines.join("\n")
}

fn named(kind: &str) -> &str {
    if kind.is_empty() { "all types" } else { kind }
}
