//! `floodmark keys`: write keys of the store.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{ListAccess, RevokeAccess, ServeArgs, show_once, until, with_access};
use crate::{
    access::secret::{self, SecretKind},
    domain::{
        access::{IdentityKind, KeyRules},
        time::Millis,
    },
};

/// `floodmark keys`
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Make a write key, and show it once
    Add(AddKey),
    /// List the write keys of the store
    List(ListAccess),
    /// Make a write key useless
    Revoke(RevokeAccess),
}

/// `floodmark keys add`
#[derive(Args, Clone, Debug)]
pub struct AddKey {
    #[command(flatten)]
    serve: ServeArgs,
    /// What it is called, such as web or back-end
    name: String,
    /// The name of the source that its events get [default: the name of the key]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// It stands in pages or apps, where everybody can read it: its rate is by address
    #[arg(long)]
    public: bool,
    /// Only pages of this origin may send with it (https://shop.example); several are possible
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<String>,
    /// Only events of this type may be sent with it; several are possible
    #[arg(long = "event-type", value_name = "TYPE", value_delimiter = ',')]
    event_types: Vec<String>,
    /// How many events a second may be sent with it, in place of http.client_events_per_s
    #[arg(long, value_name = "N")]
    events_per_s: Option<u32>,
    /// What clients that can't send a key send in its place: a domain (Plausible), a website (Umami), an idsite
    /// (Matomo), an app id (Snowplow); several are possible, for a public key
    #[arg(long = "id", value_name = "ID", value_delimiter = ',')]
    ids: Vec<String>,
    /// Until when it is good: a moment (RFC 3339), or a time from now such as 90d
    #[arg(long, value_name = "WHEN", value_parser = until)]
    expires: Option<Millis>,
}

/// Runs the command.
pub(super) fn run(command: &KeysCommand) -> ExitCode {
    match command {
        KeysCommand::Add(args) => add(args),
        KeysCommand::List(args) => with_access(&args.serve, "keys list", async |desk| {
            desk.list("key", args.json);
            Ok(())
        }),
        KeysCommand::Revoke(args) => with_access(&args.serve, "keys revoke", async |desk| {
            desk.revoke("key", &args.name).await
        }),
    }
}

fn add(args: &AddKey) -> ExitCode {
    with_access(&args.serve, "keys add", async |desk| {
        let kind = if args.public { SecretKind::PublicKey } else { SecretKind::Key };
        let key = kind.make();
        let rules = KeyRules {
            secret: secret::hash(&key),
            number: 0,
            source: args.source.clone().unwrap_or_else(|| args.name.clone()),
            public: args.public,
            allowed_origins: args.origins.clone(),
            event_types: args.event_types.clone(),
            events_per_s: args.events_per_s,
            ids: args.ids.clone(),
        };
        desk.add(&args.name, args.expires, IdentityKind::Key(rules)).await?;
        show_once(&key);
        Ok(())
    })
}
