//! `floodmark check`: tells in words whether a server with this configuration would run, and what to
//! change. Every finding is printed, whether good or bad. It changes nothing.
//!
//! | file | what it looks at |
//! | --- | --- |
//! | `machine.rs` | the data dir, its disk, its lock, the address, and what the process may use |
//! | `servers.rs` | the store and Redis |
//! | `public.rs` | with `--url`, and then nothing else: the server through its public address |
//! | `finding.rs` | how a finding is printed, as a line or as JSON |

mod disk;
mod finding;
mod machine;
mod public;
mod servers;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;

use self::finding::{
    Finding::{self, Doubtful, Fine, Wrong},
    Findings,
};
use super::{ServeArgs, exit::Exit};
use crate::{config::Config, sink::Installation};

/// The flags of `floodmark check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    /// Look at a running server through its public address, such as https://shop.example, and at what a
    /// proxy in between does
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// PEM file of an authority to trust for --url, besides the public ones
    #[arg(long, value_name = "FILE", requires = "url")]
    url_ca: Option<PathBuf>,
}

/// Runs the command: exit code 0 if `serve` would start, or, with `--url`, if a viewer is served well
/// enough.
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut found = Findings::new(args.json);
    let config = match args.serve.load() {
        Ok(config) => config,
        Err(e) => {
            found.say("configuration", Wrong(e.to_string()));
            found.end();
            return Exit::Usage.into();
        }
    };
    if let Some(url) = &args.url {
        let token = config.auth.viewer_tokens.first().map(String::as_str);
        let look = public::look(url, args.url_ca.as_deref(), token, &mut found);
        actix::System::new().block_on(look);
        return ended(found.end_of_probe());
    }
    let origin = args.serve.config.as_ref().map_or_else(
        || "no file, so the built-in one".to_owned(),
        |path| path.display().to_string(),
    );
    found.say("version", Fine(super::version::LONG.to_owned()));
    found.say("configuration", Fine(format!("{origin}, with variables and flags")));
    found.say("alerts", alerts(&config));
    machine::look(&config, &mut found);
    actix::System::new().block_on(async {
        // Both are compared with the data dir, and with each other.
        match Installation::of_check(&config) {
            Ok(installation) => {
                let installation = Arc::new(installation);
                let stored = servers::stored_doors(&config, installation.clone()).await;
                found.say("access", access(&config, stored));
                found.say("store", servers::store(&config, installation.clone()).await);
                found.say("live counters", servers::live(&config, installation).await);
            }
            Err(e) => found.say("installation", Wrong(e.to_string())),
        }
    });
    ended(found.end())
}

fn ended(all_fine: bool) -> ExitCode {
    match all_fine {
        true => Exit::Done.into(),
        false => Exit::Failed.into(),
    }
}

/// Who may send events and who may see the numbers. `stored` says whether the store names any of these.
fn access(config: &Config, stored: (bool, bool)) -> Finding {
    let (keys, tokens) = (config.auth.write_keys.len(), config.auth.viewer_tokens.len());
    let sources = config.rules.sources.len();
    let who = |of_config: &[(usize, &str)], (stored, of_store): (bool, &str)| {
        let counted = of_config.iter().filter(|(count, _)| *count > 0);
        let mut all: Vec<String> = counted
            .map(|(count, name)| format!("{count} {name}{}", if *count > 1 { "s" } else { "" }))
            .collect();
        all.extend(stored.then(|| of_store.to_owned()));
        if all.is_empty() { "anyone".to_owned() } else { all.join(" and ") }
    };
    let words = format!(
        "{} may send events, {} may see the numbers",
        who(&[(keys, "write key"), (sources, "source")], (stored.0, "keys of the store")),
        who(&[(tokens, "viewer token")], (stored.1, "users and tokens of the store")),
    );
    match config.unlocked(stored) {
        Some(wrong) => Wrong(wrong),
        None if config.auth.insecure && words.contains("anyone") => {
            Doubtful(format!("{words}, from any machine that reaches {}", config.listen))
        }
        None => Fine(words),
    }
}

/// Every alert in words, and the webhooks that are told of them.
fn alerts(config: &Config) -> Finding {
    let rules = &config.rules.alerts;
    let mut lines: Vec<String> = rules.alerts.iter().map(ToString::to_string).collect();
    lines.extend(rules.webhooks.iter().map(|webhook| {
        let signed = if webhook.secret.0.is_empty() { "not signed" } else { "signed" };
        let (name, place) = (&webhook.name, webhook.place());
        format!("webhook {name}: {place}, {} and worse, {signed}", webhook.severity)
    }));
    if rules.webhooks.is_empty() {
        lines.push("no [[webhook]]: alerts are shown, and nobody is told".to_owned());
    }
    Fine(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_access_from_outside_is_doubtful() {
        let mut config = Config::default();
        assert!(matches!(access(&config, (false, false)), Fine(_)));
        config.listen = "0.0.0.0:8080".to_owned();
        assert!(matches!(access(&config, (false, true)), Wrong(_)));
        let closed =
            "keys of the store may send events, users and tokens of the store may see the numbers";
        assert_eq!(access(&config, (true, true)), Fine(closed.to_owned()));
        config.auth.insecure = true;
        assert_eq!(
            access(&config, (false, false)),
            Doubtful(
                "anyone may send events, anyone may see the numbers, from any machine that \
                 reaches 0.0.0.0:8080"
                    .to_owned()
            )
        );
    }
}
