//! `floodmark migrate` and `floodmark rebuild`: each does one piece of work on the stores and
//! ends.

use std::process::ExitCode;

use clap::Args;

use super::{ServeArgs, connect, exit::Exit, keep_files_private, with_config};

/// The flags of `floodmark migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Try what would be applied, take it back, and say what it is
    #[arg(long)]
    dry_run: bool,
}

/// Runs `floodmark migrate`.
pub fn migrate(args: &MigrateArgs) -> ExitCode {
    with_config(&args.serve, |config| match args.dry_run {
        true => once("migrate", connect::rehearse(&config)),
        false => once("migrate", connect::migrate(&config)),
    })
}

/// The flags of `floodmark rebuild`.
#[derive(Args, Clone, Debug)]
pub struct RebuildArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Make this configuration's timezone and redis.prefix those of the whole installation
    #[arg(long)]
    change_settings: bool,
    /// Make the rollups of a day that is over anew from its events: 2026-11-26
    #[arg(long, value_name = "DAY", conflicts_with = "change_settings")]
    rollups: Option<String>,
}

/// Runs `floodmark rebuild`.
pub fn rebuild(args: &RebuildArgs) -> ExitCode {
    with_config(&args.serve, |config| match &args.rollups {
        Some(day) => once("rebuild", connect::remake(&config, day)),
        None => once("rebuild", connect::rebuild(&config, args.change_settings)),
    })
}

/// Does the work in an actix system, and prints what came of it.
pub(super) fn once(command: &str, work: impl Future<Output = Result<String, String>>) -> ExitCode {
    // `migrate` makes a SQLite file that is not there yet.
    keep_files_private();
    told(command, actix::System::new().block_on(work))
}

/// Prints what came of a command's work.
pub(super) fn told(command: &str, outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(words) => {
            println!("{words}");
            Exit::Done.into()
        }
        Err(words) => {
            eprintln!("floodmark {command}: {words}");
            Exit::Failed.into()
        }
    }
}
