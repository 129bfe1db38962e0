//! `floodmark archive`: moves at once to the archive what is older than `[archive]` says, or shows what that is.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use indicatif::HumanBytes;

use super::{ServeArgs, connect, maintain::once, with_config};
use crate::{
    archive::mover::Mover,
    config::Config,
    store::{
        archive::ArchiveUnit,
        retention::{UtcDay, date_of},
    },
};

/// The most lines of a dry run.
const MAX_LINES: usize = 400;

/// The flags of `floodmark archive`.
#[derive(Args, Clone, Debug)]
pub struct ArchiveArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Show which days would move, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(args: &ArchiveArgs) -> ExitCode {
    with_config(&args.serve, |config| once("archive", archive(&config, args.dry_run)))
}

async fn archive(config: &Config, dry_run: bool) -> Result<String, String> {
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    let mover = Mover::new(&stores, &config.archive)?
        .ok_or("archive.after_days and archive.url have to say what is to move, and where to")?;
    let before = mover.horizon().await.map_err(|e| e.to_string())?;
    if dry_run {
        let due = mover.due(before).await.map_err(|e| e.to_string())?;
        return Ok(would_move(before, &due));
    }
    let done = mover.round(before).await.map_err(|e| e.to_string())?;
    let done =
        done.ok_or("another process moves or removes rows at the moment; its work goes on")?;
    let mut lines: Vec<String> = done
        .days
        .iter()
        .map(|(day, rows, files, bytes)| {
            format!("  {}: {rows} rows, {files} files, {}", date_of(*day), HumanBytes(*bytes))
        })
        .collect();
    lines.push(format!("moved {} rows of {} days to the archive", done.rows(), done.days.len()));
    Ok(lines.join("\n"))
}

fn would_move(before: UtcDay, due: &[ArchiveUnit]) -> String {
    let mut days = BTreeMap::<UtcDay, u64>::new();
    due.iter().for_each(|unit| *days.entry(unit.day).or_default() += unit.rows);
    let mut lines = vec![format!("Days before {} would move:", date_of(before))];
    let line = |(day, rows): (&UtcDay, &u64)| format!("  {}: about {rows} rows", date_of(*day));
    lines.extend(days.iter().take(MAX_LINES).map(line));
    if days.len() > MAX_LINES {
        lines.push(format!("  and {} more days", days.len() - MAX_LINES));
    }
    lines.push(format!("about {} rows of {} days in all", days.values().sum::<u64>(), days.len()));
    lines.join("\n")
}
