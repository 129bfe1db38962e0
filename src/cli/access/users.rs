//! `floodmark users`: people who sign in.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    Desk, ListAccess, RevokeAccess, ServeArgs, password_from_stdin, show_once, until, with_access,
};
use crate::{
    access::{password, secret},
    domain::{
        access::{Account, IdentityKind, PasswordHash, Role},
        time::Millis,
    },
};

/// `floodmark users`
#[derive(Subcommand, Clone, Debug)]
pub enum UsersCommand {
    /// Make a user, also before the first start of a server
    Add(AddUser),
    /// List the users
    List(ListAccess),
    /// Give a user another role
    Role(UserRole),
    /// Give a user another password, and end all of the user's sessions
    Password(UserPassword),
    /// End all sessions of a user
    Logout(RevokeAccess),
    /// Take a user away
    Revoke(RevokeAccess),
}

/// `floodmark users add`
#[derive(Args, Clone, Debug)]
pub struct AddUser {
    #[command(flatten)]
    serve: ServeArgs,
    /// The name, such as alice or alice@shop.example
    name: String,
    /// viewer, analyst or admin
    #[arg(long, value_parser = role, default_value = "viewer")]
    role: Role,
    /// The user sees no amounts of money
    #[arg(long)]
    hide_money: bool,
    /// Read the password from standard input; without this one is made and shown once
    #[arg(long)]
    password_stdin: bool,
    /// Until when the user may sign in: a moment (RFC 3339), or a time from now such as 90d
    #[arg(long, value_name = "WHEN", value_parser = until)]
    expires: Option<Millis>,
}

/// `floodmark users role`
#[derive(Args, Clone, Debug)]
pub struct UserRole {
    #[command(flatten)]
    serve: ServeArgs,
    /// The name or id
    name: String,
    /// viewer, analyst or admin
    #[arg(value_parser = role)]
    role: Role,
    /// The user sees no amounts of money
    #[arg(long)]
    hide_money: bool,
}

/// `floodmark users password`
#[derive(Args, Clone, Debug)]
pub struct UserPassword {
    #[command(flatten)]
    serve: ServeArgs,
    /// The name or id
    name: String,
    /// Read the password from standard input; without this one is made and shown once
    #[arg(long)]
    password_stdin: bool,
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| format!("is one of {}", Role::ALL.map(Role::name).join(", ")))
}

/// Runs the command.
pub(super) fn run(command: &UsersCommand) -> ExitCode {
    match command {
        UsersCommand::Add(args) => add(args),
        UsersCommand::List(args) => with_access(&args.serve, "users list", async |desk| {
            desk.list("user", args.json);
            Ok(())
        }),
        UsersCommand::Role(args) => with_access(&args.serve, "users role", async |desk| {
            let (role, sees_money) = (args.role, !args.hide_money);
            let user =
                desk.change(|book, by| book.set_role(by, &args.name, role, sees_money)).await?;
            eprintln!("{} is {role} now", user.name);
            Ok(())
        }),
        UsersCommand::Password(args) => set_password(args),
        UsersCommand::Logout(args) => with_access(&args.serve, "users logout", async |desk| {
            let user = desk.change(|book, by| book.logout(by, &args.name, None)).await?;
            eprintln!("{} is signed in nowhere any more", user.name);
            Ok(())
        }),
        UsersCommand::Revoke(args) => with_access(&args.serve, "users revoke", async |desk| {
            desk.revoke("user", &args.name).await
        }),
    }
}

fn add(args: &AddUser) -> ExitCode {
    with_access(&args.serve, "users add", async |desk| {
        let (hash, made) = chosen(desk, args.password_stdin, &args.name)?;
        let account = Account {
            role: args.role,
            sees_money: !args.hide_money,
            password: Some(hash),
            generation: 0,
            ended: Vec::new(),
            elsewhere: None,
        };
        desk.add(&args.name, args.expires, IdentityKind::User(account)).await?;
        made.iter().for_each(|made| show_once(made));
        Ok(())
    })
}

fn set_password(args: &UserPassword) -> ExitCode {
    with_access(&args.serve, "users password", async |desk| {
        let (hash, made) = chosen(desk, args.password_stdin, &args.name)?;
        let user = desk.change(|book, by| book.set_password(by, &args.name, hash.clone())).await?;
        eprintln!("{} has another password, and is signed in nowhere any more", user.name);
        made.iter().for_each(|made| show_once(made));
        Ok(())
    })
}

/// The hash of a password that was chosen, or of one that is made here, which is then returned too.
pub(super) fn chosen(
    desk: &Desk<'_>,
    from_stdin: bool,
    user: &str,
) -> Result<(PasswordHash, Option<String>), String> {
    if !from_stdin {
        let made = secret::password();
        return Ok((password::hash_now(&made), Some(made)));
    }
    let chosen = password_from_stdin()?;
    password::check_choice(&chosen, desk.config.auth.min_password_chars, user)?;
    Ok((password::hash_now(&chosen), None))
}
