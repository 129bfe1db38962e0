//! `floodmark tokens`: API tokens of programs that read.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{ListAccess, RevokeAccess, ServeArgs, show_once, until, with_access};
use crate::{
    access::secret::{self, SecretKind},
    domain::{
        access::{IdentityKind, Permission, TokenGrant},
        time::Millis,
    },
};

/// `floodmark tokens`
#[derive(Subcommand, Clone, Debug)]
pub enum TokensCommand {
    /// Make an API token, and show it once
    Add(AddToken),
    /// List the API tokens
    List(ListAccess),
    /// Make an API token useless
    Revoke(RevokeAccess),
}

/// `floodmark tokens add`
#[derive(Args, Clone, Debug)]
pub struct AddToken {
    #[command(flatten)]
    serve: ServeArgs,
    /// What it is called, such as prometheus
    name: String,
    /// What it may be used for: numbers, letters (refused events), events, metrics, access; several are possible
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', value_parser = scope,
          default_value = "numbers")]
    scopes: Vec<Permission>,
    /// No amounts of money are seen with it
    #[arg(long)]
    hide_money: bool,
    /// Until when it is good: a moment (RFC 3339), or a time from now such as 90d
    #[arg(long, value_name = "WHEN", value_parser = until)]
    expires: Option<Millis>,
}

fn scope(text: &str) -> Result<Permission, String> {
    let names = || Permission::ALL.map(Permission::name).join(", ");
    Permission::named(text).ok_or_else(|| format!("is one of {}", names()))
}

/// Runs the command.
pub(super) fn run(command: &TokensCommand) -> ExitCode {
    match command {
        TokensCommand::Add(args) => add(args),
        TokensCommand::List(args) => with_access(&args.serve, "tokens list", async |desk| {
            desk.list("token", args.json);
            Ok(())
        }),
        TokensCommand::Revoke(args) => with_access(&args.serve, "tokens revoke", async |desk| {
            desk.revoke("token", &args.name).await
        }),
    }
}

fn add(args: &AddToken) -> ExitCode {
    with_access(&args.serve, "tokens add", async |desk| {
        let token = SecretKind::Token.make();
        let mut scopes = args.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        let grant =
            TokenGrant { secret: secret::hash(&token), scopes, sees_money: !args.hide_money };
        desk.add(&args.name, args.expires, IdentityKind::Token(grant)).await?;
        show_once(&token);
        Ok(())
    })
}
