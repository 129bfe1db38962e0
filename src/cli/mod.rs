//! The command line. Each command is a file of this folder; this file reads the arguments and
//! calls the one that was asked for.

mod access;
mod alerts;
mod archive;
mod ask;
mod backup;
mod check;
mod connect;
mod dead_letters;
mod demo;
mod exit;
mod explain;
mod export;
mod forget;
mod health;
mod import;
mod maintain;
mod manual;
mod mark;
mod nodes;
mod orders;
mod replay;
mod report;
mod retention;
mod sender;
mod serve;
mod signals;
mod top;
mod verify;
mod version;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::exit::Exit;
use crate::{
    config::{self, Config, ConfigError, Overrides},
    domain::time::{Millis, parse_rfc3339},
};

/// Live numbers for a shop: every event kept, every second shown.
#[derive(Parser, Debug)]
#[command(
    name = "floodmark",
    version,
    long_version = version::LONG,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server (also without any command)
    Serve(ServeArgs),
    /// Run the server with a simulated shop that sends traffic
    Demo(demo::DemoArgs),
    /// Bring the store's schema up to date, and stop
    Migrate(maintain::MigrateArgs),
    /// Count the live counters anew from the ledger, and stop
    Rebuild(maintain::RebuildArgs),
    /// Compare rows, ledger, rollups and live counters of a day, by minute and series
    Verify(verify::VerifyArgs),
    /// Remove what is older than [retention] says, or show what that is
    Retention(retention::RetentionArgs),
    /// Move to the archive what is older than [archive] says, or show what that is
    Archive(archive::ArchiveArgs),
    /// Forget a person: remove what names a user or a session, and print a receipt
    Forget(forget::ForgetArgs),
    /// Add orders from a file to the books, as the shop or the payment provider has them
    Orders(orders::OrdersArgs),
    /// Copy the data dir of a server that runs, with its SQLite file, to a new folder
    Backup(backup::BackupArgs),
    /// Fill an empty data dir from a backup
    Restore(backup::BackupArgs),
    /// Show which nodes share the store, and how they are
    Nodes(nodes::NodesArgs),
    /// Forget a node that is gone for good
    Retire(nodes::RetireArgs),
    /// Send a file of events to a server
    Replay(replay::ReplayArgs),
    /// Bring the past along: orders and events that were exported elsewhere
    Import(import::ImportArgs),
    /// Try the alerts against the past
    Alerts(alerts::AlertsArgs),
    /// Find out why a metric has changed, by the events in the store
    Explain(explain::ExplainArgs),
    /// Mark a deploy, a release or a campaign on every chart
    Mark(mark::MarkArgs),
    /// Write stored events to a file: NDJSON, CSV or Parquet
    Export(export::ExportArgs),
    /// Show which events were refused and why, or send them again
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Make, list and revoke write keys
    #[command(subcommand)]
    Keys(access::KeysCommand),
    /// Make, list and change users, who sign in at the dashboard
    #[command(subcommand)]
    Users(access::UsersCommand),
    /// Make, list and revoke API tokens, with which programs read
    #[command(subcommand)]
    Tokens(access::TokensCommand),
    /// Make, list and revoke links, which show the dashboard to whoever has one
    #[command(subcommand)]
    Links(access::LinksCommand),
    /// Show what was changed about who has access, and by whom
    Audit(access::AuditArgs),
    /// Check the configuration and every connection, in words
    Check(check::CheckArgs),
    /// Ask the server of this configuration whether it lives, as images do
    Health(ServeArgs),
    /// Write a file for whoever is to help: version, configuration, check, metrics, without secrets
    Report(report::ReportArgs),
    /// Watch a running server in the terminal
    Top(top::TopArgs),
    /// Print a script that completes commands and flags in a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page
    Man,
}

/// The flags that decide the configuration. They are the same for every command that has one.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Configuration file (TOML); its keys are those of config/default.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Folder for the spool and the embedded store [default: floodmark-data, and floodmark-demo for demo]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// PostgreSQL that keeps the events; without it SQLite in the data dir does
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Redis that keeps the live counters, several for a cluster; without it this process does
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    redis: Vec<String>,
    /// Allow any address without write keys and viewer tokens
    #[arg(long)]
    insecure: bool,
}

impl ServeArgs {
    /// Loads the configuration from all layers and checks it.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), config::variables(), &self.overrides())
    }

    /// The same flags, for another command.
    fn as_written(&self) -> Vec<std::ffi::OsString> {
        let mut written = Vec::new();
        let mut add = |flag: &str, value: Option<std::ffi::OsString>| {
            if let Some(value) = value {
                written.extend([flag.into(), value]);
            }
        };
        let file = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let text = |text: &Option<String>| text.clone().map(Into::into);
        add("--config", file(&self.config));
        add("--listen", text(&self.listen));
        add("--data-dir", file(&self.data_dir));
        add("--postgres", text(&self.postgres));
        self.redis.iter().for_each(|url| add("--redis", Some(url.into())));
        written.extend(self.insecure.then(|| "--insecure".into()));
        written
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            data_dir: self.data_dir.clone(),
            postgres: self.postgres.clone(),
            redis: self.redis.clone(),
            insecure: self.insecure,
        }
    }
}

/// Reads the arguments of this process and runs the command that they name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let Some(command) = cli.command else {
        return with_config(&cli.serve, |config| {
            serve::announce(&config);
            serve::run(config)
        });
    };
    match command {
        Command::Serve(args) => with_config(&args, serve::run),
        Command::Demo(args) => demo::run(&args),
        Command::Migrate(args) => maintain::migrate(&args),
        Command::Rebuild(args) => maintain::rebuild(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Retention(args) => retention::run(&args),
        Command::Archive(args) => archive::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Orders(args) => orders::run(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Nodes(args) => nodes::list(&args),
        Command::Retire(args) => nodes::retire(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Mark(args) => mark::run(&args),
        Command::Export(args) => export::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Keys(command) => access::keys(&command),
        Command::Users(command) => access::users(&command),
        Command::Tokens(command) => access::tokens(&command),
        Command::Links(command) => access::links(&command),
        Command::Audit(args) => access::audit(&args),
        Command::Check(args) => check::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man => manual::man(),
    }
}

/// Runs a command with the configuration, or prints what is wrong with that.
fn with_config(args: &ServeArgs, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match args.load() {
        Ok(config) => then(config),
        Err(e) => {
            eprintln!("floodmark: the configuration can't be used:\n{e}");
            Exit::Usage.into()
        }
    }
}

/// Lets only this user read the files that this process makes from now on: events and node identities
/// are nobody else's business. What is there already keeps its mode.
fn keep_files_private() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// Parses a flag's value, which has to be a number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("must be a number above 0".to_owned()),
    }
}

/// Parses a flag's value, which has to be a moment (RFC 3339), as Unix ms.
fn moment(text: &str) -> Result<Millis, String> {
    parse_rfc3339(text).ok_or_else(|| "must be a moment such as 2026-11-27T14:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|e| e.to_string())
    }

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_serve_with_its_flags() {
        let cli = parse("floodmark --listen 127.0.0.1:1 --redis a,b --redis c").unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.redis, ["a", "b", "c"]);
        let cli = parse("floodmark serve --data-dir d --insecure").unwrap();
        let Some(Command::Serve(args)) = cli.command else {
            panic!("serve");
        };
        let flags = args.overrides();
        assert_eq!(flags.data_dir, Some(PathBuf::from("d")));
        assert!(flags.insecure && flags.listen.is_none());
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        assert!(parse("floodmark replay f --rate 5 --speed 2").is_err());
        assert!(parse("floodmark replay f --rate 0").is_err());
        assert!(parse("floodmark replay f --batch 5001").is_err());
        assert!(parse("floodmark --listen x serve").is_err());
        assert!(parse("floodmark demo --write f").is_err(), "how many?");
        assert!(parse("floodmark demo --events 5").is_err());
        assert!(parse("floodmark demo --ephemeral --data-dir d").is_err());
    }
}
