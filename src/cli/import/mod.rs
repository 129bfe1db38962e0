//! `floodmark import FILE…`: brings the past along. A file that a shop can download elsewhere is read as it is, what it
//! would become is shown, and then it is sent to a server.
//!
//! ```text
//!  file ─> format ─> records ─> judge (the rules of the server) ─> preview
//!                                                              └─> batches ─> POST /v1/events/import
//! ```
//!
//! A file is read twice, first for the preview and then to be sent, and is never in memory as a whole. Each event has an
//! id that its record says, and the server takes each id once for good. So an import that broke off is simply begun
//! again, and what is there already is passed over.

mod analytics;
mod file;
mod format;
mod mapping;
mod moments;
mod orders;
mod preview;
mod record;
mod send;
mod table;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use jiff::tz::TimeZone;

use self::{
    file::ExportFile, format::ExportFormat, mapping::ColumnMap, preview::ImportPreview,
    record::ImportRules, send::ImportSender,
};
use super::{ServeArgs, exit::Exit, with_config};
use crate::{
    config::Config,
    domain::time::{BusinessZone, HOUR, Millis, now_ms},
};

/// `floodmark import`
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Exports of shops and analytics, as they are downloaded; unpacked if the name ends in .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    to: String,
    /// A secret write key, where the server asks for one
    #[arg(long, value_name = "WRITE_KEY")]
    key: Option<String>,
    /// What the files are; without it, they are recognised by their beginning
    #[arg(long, value_name = "NAME")]
    format: Option<ExportFormat>,
    /// For any CSV: a file of TOML that says which column is what
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Configuration file of the server, for its [[map]], its zone and its currency
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The zone of moments that say none [default: timezone of the configuration]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The currency of amounts that say none [default: currency of the configuration]
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Leave out what was before: 2025-11-01, or a moment
    #[arg(long, value_name = "MOMENT")]
    from: Option<String>,
    /// Leave out what was then or later [default: two hours ago]
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// Show what the files would become, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send without a question
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Events in a request, at most
    #[arg(long, value_name = "N", default_value_t = 5000,
          value_parser = clap::value_parser!(u64).range(1..=5000))]
    batch: u64,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=30))]
    connections: u16,
    /// Give up when a request was not taken for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

/// Runs the command. It fails if anything of the files was not taken.
pub fn run(args: &ImportArgs) -> ExitCode {
    let serve = ServeArgs { config: args.config.clone(), ..ServeArgs::default() };
    with_config(&serve, |config| match import(&config, args) {
        Ok(exit) => exit.into(),
        Err(words) => {
            eprintln!("floodmark import: {words}");
            Exit::Failed.into()
        }
    })
}

fn import(config: &Config, args: &ImportArgs) -> Result<Exit, String> {
    let rules = rules(config, args, now_ms())?;
    let zone = BusinessZone::named(&config.timezone)?;
    let map = args.map.as_deref().map(ColumnMap::read).transpose()?;
    let (mut files, mut events, mut broken) = (Vec::new(), 0, 0);
    for path in &args.files {
        let file = ExportFile::recognise(path, args.format, map.as_ref())
            .map_err(|words| format!("{}: {words}", path.display()))?;
        let preview = previewed(&file, &rules, zone.clone())
            .map_err(|words| format!("{}: {words}", path.display()))?;
        print!("{}", preview.of(&file));
        events += preview.events;
        broken += preview.broken();
        files.push(file);
    }
    let whole = if broken == 0 { Exit::Done } else { Exit::Failed };
    if args.dry_run || events == 0 {
        println!("nothing was sent");
        return Ok(whole);
    }
    if !args.yes && !is_wanted(events, &args.to)? {
        eprintln!("floodmark import: nothing was sent; --yes sends without a question");
        return Ok(Exit::Usage);
    }
    let sender = ImportSender {
        to: args.to.clone(),
        key: args.key.clone(),
        batch: args.batch,
        connections: usize::from(args.connections),
        patience: Duration::from_secs(args.patience),
    };
    let mut exit = whole;
    for file in &files {
        let sent = actix::System::new().block_on(sender.send(file, &rules))?;
        println!("{}:", file.path.display());
        print!("{sent}");
        if !sent.all_taken() {
            exit = Exit::Failed;
            // What comes after a server that is away would fail like this.
            if sent.gave_up() {
                break;
            }
        }
    }
    Ok(exit)
}

/// The rules of the configuration, as the flags change them. `now` is Unix ms.
fn rules(config: &Config, args: &ImportArgs, now: Millis) -> Result<ImportRules, String> {
    let zone = args.timezone.as_deref().unwrap_or(&config.timezone);
    let zone = TimeZone::get(zone).map_err(|e| e.to_string())?;
    let moment = |flag: &str, text: &Option<String>, usual: Millis| match text {
        None => Ok(usual),
        Some(text) => moments::read(text, &zone).ok_or(format!("{flag} {text:?} is no moment")),
    };
    // What is newer comes from the shop itself, and is what alerts look at: windows of up to half an hour, and the
    // hour before.
    let (from, until) = (
        moment("--from", &args.from, Millis::MIN)?,
        moment("--until", &args.until, now - 2 * HOUR)?,
    );
    let mut rules = ImportRules::new(config, zone);
    (rules.from, rules.until) = (from, until);
    if let Some(currency) = &args.currency {
        rules.currency = currency.to_ascii_uppercase();
    }
    Ok(rules)
}

/// Reads a file for its preview.
fn previewed(
    file: &ExportFile,
    rules: &ImportRules,
    zone: BusinessZone,
) -> Result<ImportPreview, String> {
    let (mut records, mut preview, mut out) = (file.read()?, ImportPreview::new(zone), Vec::new());
    loop {
        let goes_on = records.next(rules, &mut out)?;
        out.drain(..).for_each(|record| preview.add(record));
        if !goes_on {
            return Ok(preview);
        }
    }
}

/// Asks whoever sits at the terminal; nobody does where there is none.
fn is_wanted(events: u64, to: &str) -> Result<bool, String> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(false);
    }
    eprint!("send {events} events to {to}? [y/N] ");
    std::io::stderr().flush().map_err(|e| e.to_string())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| e.to_string())?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests;
