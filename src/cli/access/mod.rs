//! `floodmark keys`, `users`, `tokens`, `links` and `audit`: who has access.
//!
//! They work on the store that the configuration names, before a server was ever started or while
//! servers run on it, which see a change within two seconds. A secret goes to standard output, alone and
//! once; everything else that is said of it goes to standard error.

mod audit;
mod keys;
mod links;
mod tokens;
mod users;

use std::{io::BufRead, process::ExitCode};

use clap::Args;
use serde_json::json;

pub use audit::AuditArgs;
pub use keys::KeysCommand;
pub use links::LinksCommand;
pub use tokens::TokensCommand;
pub use users::UsersCommand;

use super::{ServeArgs, connect, exit::Exit, keep_files_private, with_config};
use crate::{
    access::{Access, ChangeError, secret},
    config::Config,
    domain::{
        access::{
            AccessChange, AccessFault, Book, Identity, IdentityKind,
            change::{By, NewIdentity},
            shown::{shown, shown_identity},
        },
        time::{DAY, HOUR, MINUTE, Millis, now_ms, parse_rfc3339, rfc3339},
    },
};

/// Runs `floodmark keys`.
pub fn keys(command: &KeysCommand) -> ExitCode {
    keys::run(command)
}

/// Runs `floodmark users`.
pub fn users(command: &UsersCommand) -> ExitCode {
    users::run(command)
}

/// Runs `floodmark tokens`.
pub fn tokens(command: &TokensCommand) -> ExitCode {
    tokens::run(command)
}

/// Runs `floodmark links`.
pub fn links(command: &LinksCommand) -> ExitCode {
    links::run(command)
}

/// Runs `floodmark audit`.
pub fn audit(args: &AuditArgs) -> ExitCode {
    audit::run(args)
}

/// The flags of every command that lists.
#[derive(Args, Clone, Debug)]
pub struct ListAccess {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The flags of every command that revokes.
#[derive(Args, Clone, Debug)]
pub struct RevokeAccess {
    #[command(flatten)]
    serve: ServeArgs,
    /// Its name or id
    name: String,
}

/// Opens the book, does `work` with it, and says what came of it.
fn with_access(
    serve: &ServeArgs,
    command: &str,
    work: impl AsyncFnOnce(&Desk<'_>) -> Result<(), String>,
) -> ExitCode {
    with_config(serve, |config| {
        // The first of these commands may make the store.
        keep_files_private();
        let done = actix::System::new().block_on(async {
            let stores = connect::stores(&config).await?;
            let access = Access::of_command(stores.access);
            access.refresh().await.map_err(|e| e.to_string())?;
            work(&Desk { access, config: &config, actor: actor() }).await
        });
        match done {
            Ok(()) => Exit::Done.into(),
            Err(words) => {
                eprintln!("floodmark {command}: {words}");
                Exit::Failed.into()
            }
        }
    })
}

/// What such a command works with.
struct Desk<'a> {
    access: Access,
    config: &'a Config,
    actor: String,
}

impl Desk<'_> {
    async fn change(
        &self,
        make: impl Fn(&Book, By<'_>) -> Result<AccessChange, AccessFault>,
    ) -> Result<Identity, String> {
        let make = |book: &Book| make(book, By { actor: &self.actor, at: now_ms() }).map(Some);
        let changed = self.access.change(make).await.map_err(|e: ChangeError| e.to_string())?;
        Ok(changed.expect("there is always a change"))
    }

    /// Adds an identity, and says so.
    async fn add(
        &self,
        name: &str,
        expires_at: Option<Millis>,
        kind: IdentityKind,
    ) -> Result<Identity, String> {
        let id = secret::id();
        let new = || NewIdentity {
            id: id.clone(),
            name: name.to_owned(),
            expires_at,
            kind: kind.clone(),
            viewers_configured: self.config.closes().1,
        };
        let added = self.change(|book, by| book.add(by, new())).await?;
        eprintln!("added the {}", in_words(&added));
        Ok(added)
    }

    async fn revoke(&self, kind: &str, name: &str) -> Result<(), String> {
        let revoked = self.change(|book, by| book.revoke(by, kind, name)).await?;
        eprintln!(
            "revoked the {kind} {} ({}); servers know it within 2 s",
            revoked.name, revoked.id
        );
        Ok(())
    }

    /// Lists those of a kind.
    fn list(&self, kind: &str, as_json: bool) {
        let book = self.access.book().current().expect("it was read");
        let all: Vec<&Identity> = book.of_kind(kind).collect();
        if as_json {
            let all: Vec<_> = all.iter().map(|identity| shown_identity(identity)).collect();
            println!("{}", json!(all));
            return;
        }
        if all.is_empty() {
            eprintln!("there is no {kind}");
        }
        all.iter().for_each(|identity| println!("{}", in_words(identity)));
    }
}

/// Shows a secret, alone, and says that it is the only time.
fn show_once(secret: &str) {
    println!("{secret}");
    eprintln!("This is shown once: only its hash is kept.");
}

/// An identity on one line.
fn in_words(identity: &Identity) -> String {
    let mut words = format!("{} {} ({})", identity.kind_name(), identity.name, identity.id);
    if let serde_json::Value::Object(members) = shown(&identity.kind, None) {
        for (name, value) in members {
            let text = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::Array(list) if list.is_empty() => continue,
                serde_json::Value::Array(list) => {
                    let names = list.iter().filter_map(|it| it.as_str());
                    names.collect::<Vec<_>>().join(",")
                }
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            words.push_str(&format!(" {name}={text}"));
        }
    }
    if let Some(end) = identity.expires_at {
        let past = if end <= now_ms() { " (over)" } else { "" };
        words.push_str(&format!(" until {}{past}", rfc3339(end)));
    }
    words
}

/// Who runs the command, for the audit.
fn actor() -> String {
    let uid = nix::unistd::Uid::current();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    format!("command line ({})", user.map_or_else(|| uid.to_string(), |user| user.name))
}

/// Parses until when something is good: a moment, or how long from now (`30d`, `12h`, `15m`).
fn until(text: &str) -> Result<Millis, String> {
    let span = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "d" => DAY,
            "h" => HOUR,
            "m" => MINUTE,
            _ => return None,
        };
        number.parse::<u32>().ok().map(|number| now_ms() + Millis::from(number) * unit)
    };
    parse_rfc3339(text).or_else(span).ok_or_else(|| {
        "must be a moment such as 2026-11-27T14:00:00Z, or a time from now such as 30d, 12h or 15m"
            .to_owned()
    })
}

/// The first line of standard input.
fn password_from_stdin() -> Result<String, String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).map_err(|e| e.to_string())?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    match read > 0 && !password.is_empty() {
        true => Ok(password),
        false => Err("standard input has no password".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_moment_or_a_time_from_now() {
        assert_eq!(until("1970-01-01T00:00:01Z"), Ok(1000));
        let far = until("2d").unwrap() - now_ms();
        assert!((DAY * 2 - 1000..=DAY * 2).contains(&far), "{far}");
        for wrong in ["", "d", "1w", "-1d", "é"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
