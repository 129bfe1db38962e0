//! `floodmark links`: links that let whoever has one look at the dashboard.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{ListAccess, RevokeAccess, ServeArgs, show_once, until, users::chosen, with_access};
use crate::{
    access::secret::{self, SecretKind},
    domain::{
        access::{IdentityKind, LinkGrant},
        time::{Millis, now_ms},
    },
};

/// `floodmark links`
#[derive(Subcommand, Clone, Debug)]
pub enum LinksCommand {
    /// Make a link, and show it once
    Add(AddLink),
    /// List the links
    List(ListAccess),
    /// Make a link useless
    Revoke(RevokeAccess),
}

/// `floodmark links add`
#[derive(Args, Clone, Debug)]
pub struct AddLink {
    #[command(flatten)]
    serve: ServeArgs,
    /// What it is called, such as office-screen
    name: String,
    /// Whoever has it sees no amounts of money
    #[arg(long)]
    hide_money: bool,
    /// Whoever has it also needs the password on standard input
    #[arg(long)]
    password_stdin: bool,
    /// Until when it is good: a moment (RFC 3339), or a time from now [default: 30d]
    #[arg(long, value_name = "WHEN", value_parser = until)]
    expires: Option<Millis>,
    /// The address of the dashboard, as those reach it who get the link
    #[arg(long, value_name = "URL")]
    base: Option<String>,
}

/// Runs the command.
pub(super) fn run(command: &LinksCommand) -> ExitCode {
    match command {
        LinksCommand::Add(args) => add(args),
        LinksCommand::List(args) => with_access(&args.serve, "links list", async |desk| {
            desk.list("link", args.json);
            Ok(())
        }),
        LinksCommand::Revoke(args) => with_access(&args.serve, "links revoke", async |desk| {
            desk.revoke("link", &args.name).await
        }),
    }
}

fn add(args: &AddLink) -> ExitCode {
    with_access(&args.serve, "links add", async |desk| {
        let password = match args.password_stdin {
            false => None,
            true => Some(chosen(desk, true, "")?.0),
        };
        let made = SecretKind::Link.make();
        let grant =
            LinkGrant { secret: secret::hash(&made), sees_money: !args.hide_money, password };
        let end = args.expires.unwrap_or_else(|| now_ms() + LinkGrant::USUAL_LIFE);
        desk.add(&args.name, Some(end), IdentityKind::Link(grant)).await?;
        let base = args.base.clone().unwrap_or_else(|| format!("http://{}", desk.config.listen));
        // Behind a # it stays in the browser: no server, proxy or log sees it.
        show_once(&format!("{}/#link={made}", base.trim_end_matches('/')));
        Ok(())
    })
}
