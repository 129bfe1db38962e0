//! `floodmark dead-letters`: which events were refused and why; with `--retry` it sends them again.
//!
//! Letters are read from the store that the configuration names, also while a server runs on it. They
//! are sent to that running server and not written to the store here: the spool and the counters belong
//! to the server, and only so is each event stored and counted once.

mod again;
mod fix;
mod retry;

use std::{process::ExitCode, time::Duration};

use clap::Args;

use self::{fix::Fix, retry::Retry};
use super::{ServeArgs, connect, exit::Exit, moment, with_config};
use crate::{
    config::Config,
    domain::time::{Millis, now_ms},
    http::dead_letters::{ShownGroups, stored_name},
    store::letters::LetterFilter,
};

/// `floodmark dead-letters`
#[derive(Args, Clone, Debug)]
pub struct DeadLettersArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Only those with this reason (invalid_amount, …)
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only those of this source ("unknown" for those that have none)
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those that came with the write key of this fingerprint, as the groups show it
    #[arg(long, value_name = "FINGERPRINT")]
    of_key: Option<String>,
    /// Only those received at this moment (RFC 3339) or later
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Option<Millis>,
    /// Only those received before this moment
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Option<Millis>,
    /// How many of each group are shown
    #[arg(long, value_name = "N", default_value_t = 1)]
    samples: usize,
    /// Print the groups as JSON, as the route /api/analytics/dead-letters answers
    #[arg(long, conflicts_with = "retry")]
    json: bool,
    /// Send them again to the running server
    #[arg(long)]
    retry: bool,
    /// A filter in the language of jq that mends each event before it is sent, such as
    /// '.properties.amount |= tonumber'; an event for which it gives nothing is left out
    #[arg(long, value_name = "FILTER", requires = "retry")]
    fix: Option<String>,
    /// Print the events that would be sent, and change nothing
    #[arg(long, requires = "retry")]
    dry_run: bool,
    /// At most so many letters
    #[arg(long, value_name = "N", requires = "retry")]
    limit: Option<usize>,
    /// The running server [default: the address of the configuration]
    #[arg(long, value_name = "URL", requires = "retry")]
    server: Option<String>,
    /// Write key [default: the first of the configuration]
    #[arg(long, value_name = "WRITE_KEY", requires = "retry")]
    key: Option<String>,
    /// Give up when a request was not taken for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "retry")]
    patience: u64,
}

/// Runs the command.
pub fn run(args: &DeadLettersArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        let work = async {
            match args.retry {
                true => retry(args, &config).await,
                false => list(args, &config).await,
            }
        };
        match actix::System::new().block_on(work) {
            Ok(exit) => exit.into(),
            Err(words) => {
                eprintln!("floodmark dead-letters: {words}");
                Exit::Failed.into()
            }
        }
    })
}

impl DeadLettersArgs {
    fn filter(&self) -> LetterFilter {
        LetterFilter {
            code: self.code.clone(),
            source: self.source.clone().map(stored_name),
            key: self.of_key.clone().map(stored_name),
            from: self.from.unwrap_or(0),
            to: self.to.unwrap_or_else(|| now_ms() + 1),
        }
    }
}

/// Prints the groups.
async fn list(args: &DeadLettersArgs, config: &Config) -> Result<Exit, String> {
    let letters = connect::stores(config).await?.letters;
    let groups = letters.letter_groups(&args.filter(), args.samples).await;
    let groups = ShownGroups::of(groups.map_err(|e| e.to_string())?);
    match args.json {
        true => println!("{}", serde_json::to_string(&groups).map_err(|e| e.to_string())?),
        false => print!("{groups}"),
    }
    Ok(Exit::Done)
}

/// Sends letters again. It fails where an event was refused again, or a filter failed.
async fn retry(args: &DeadLettersArgs, config: &Config) -> Result<Exit, String> {
    let fix = args.fix.as_deref().map(Fix::new).transpose()?;
    let stores = connect::stores(config).await?;
    let base = match &args.server {
        Some(server) => server.clone(),
        None if !config.tls.cert.is_empty() || !config.tls.acme_domains.is_empty() => {
            return Err("the server speaks TLS: give --server https://NAME, with the name of its \
                        certificate"
                .to_owned());
        }
        None => format!("http://{}", config.listen),
    };
    let key = args.key.as_deref().or_else(|| config.first_write_key());
    let patience = Duration::from_secs(args.patience);
    let sender = match args.dry_run {
        true => None,
        false => Some(Retry::sender(&base, key, patience)?),
    };
    let sources = &config.rules.sources;
    let retry = Retry {
        letters: &*stores.letters,
        archive: &*stores.archive,
        retention: &*stores.retention,
        fix,
        sources,
        sender,
    };
    let tally = retry.run(&args.filter(), args.limit.unwrap_or(usize::MAX)).await?;
    // The events of a dry run go to the standard output, to be used; what is said of them does not.
    match args.dry_run {
        true => eprint!("{tally}"),
        false => print!("{tally}"),
    }
    let is_done = tally.refused == 0 && tally.reasons.is_empty();
    Ok(if is_done { Exit::Done } else { Exit::Failed })
}
