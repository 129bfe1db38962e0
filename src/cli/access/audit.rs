//! `floodmark audit`: what was changed about who has access, and by whom.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{ServeArgs, with_access};
use crate::domain::{access::AuditEntry, time::rfc3339};

/// `floodmark audit`
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// How many changes are shown, the newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Print JSON, one change a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &AuditArgs) -> ExitCode {
    with_access(&args.serve, "audit", async |desk| {
        let all = desk.access.audit(i64::MAX, args.limit).await.map_err(|e| e.to_string())?;
        for entry in all {
            match args.json {
                true => println!("{}", json!(entry)),
                false => println!("{}", in_words(&entry)),
            }
        }
        Ok(())
    })
}

fn in_words(entry: &AuditEntry) -> String {
    let AuditEntry { version, at, actor, action, kind, id, name, detail } = entry;
    let detail = if *detail == Value::Null { String::new() } else { format!(" {detail}") };
    format!("{version} {} {actor}: {action} {kind} {name} ({id}){detail}", rfc3339(*at))
}
