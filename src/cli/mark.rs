//! `floodmark mark`: makes a mark at a running server, as a deploy does; or lists marks, or takes one back.

use std::{path::PathBuf, process::ExitCode};

use awc::http::{Method, StatusCode};
use clap::Args;
use serde_json::{Value, json};

use super::{ask, exit::Exit, moment};
use crate::domain::{
    mark::Mark,
    time::{Millis, rfc3339},
};

/// The flags of `floodmark mark`.
#[derive(Args, Clone, Debug)]
pub struct MarkArgs {
    /// What people read, such as "deploy 4f2c"
    #[arg(value_name = "TITLE", required_unless_present_any = ["list", "remove"])]
    title: Option<String>,
    /// When it was, or began (RFC 3339, 2026-11-27T14:00:00Z) [default: now]
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "title")]
    at: Option<Millis>,
    /// When it ended, of something that takes a while
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "title")]
    until: Option<Millis>,
    /// A page that says more
    #[arg(long, value_name = "URL", requires = "title")]
    link: Option<String>,
    /// What all repetitions of this mark have: whoever marks it again makes no second one
    #[arg(long, value_name = "KEY", requires = "title")]
    key: Option<String>,
    /// List the last marks instead
    #[arg(long, conflicts_with_all = ["title", "remove"])]
    list: bool,
    /// Take the mark with this id back instead
    #[arg(long, value_name = "ID", conflicts_with = "title")]
    remove: Option<String>,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A file that has a token with the scope marks (to list, numbers), where the server asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &MarkArgs) -> ExitCode {
    match actix::System::new().block_on(marked(args)) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            Exit::Done.into()
        }
        Err(words) => {
            eprintln!("floodmark mark: {words}");
            Exit::Failed.into()
        }
    }
}

async fn marked(args: &MarkArgs) -> Result<Vec<String>, String> {
    let token = args.token_file.as_deref().map(ask::secret_in).transpose()?;
    let call = async |method: Method, query: &str, body: Option<&Value>| {
        let url = format!("{}/api/analytics/marks{query}", args.server.trim_end_matches('/'));
        let (status, answer) = ask::call(method, &url, token.as_deref(), body).await?;
        let scope = if args.list { "numbers" } else { "marks" };
        if status.is_success() { Ok(answer) } else { Err(refusal(&url, status, scope, &answer)) }
    };
    let odd = |e: serde_json::Error| format!("{}: no answer of ours: {e}", args.server);
    if let Some(id) = &args.remove {
        // An id is asked for as it is written, and one with an ampersand would be another query.
        if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(format!("there is no mark with the id {id:?}"));
        }
        call(Method::DELETE, &format!("?id={id}"), None).await?;
        return Ok(vec![format!("{id} is taken back")]);
    }
    if let Some(title) = &args.title {
        let mut body = json!({"title": title});
        let given = [
            ("time", args.at.map(Value::from)),
            ("until", args.until.map(Value::from)),
            ("link", args.link.as_deref().map(Value::from)),
            ("key", args.key.as_deref().map(Value::from)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).for_each(
            |(name, value)| {
                body[name] = value;
            },
        );
        let answer = call(Method::POST, "", Some(&body)).await?;
        let mark: Mark = serde_json::from_slice(&answer).map_err(odd)?;
        return Ok(vec![line(&mark)]);
    }
    let marks: Vec<Mark> =
        serde_json::from_slice(&call(Method::GET, "", None).await?).map_err(odd)?;
    Ok(marks.iter().map(line).collect())
}

/// `ID  2026-11-27T14:00:00Z  deploy 4f2c`
fn line(mark: &Mark) -> String {
    let until = mark.until.map(|until| format!(" to {}", rfc3339(until))).unwrap_or_default();
    format!("{}  {}{until}  {}", mark.id, rfc3339(mark.time), mark.title)
}

/// What the server said, in words.
fn refusal(url: &str, status: StatusCode, scope: &str, answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let said = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let what = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!(": name a file that has a token with the scope {scope} (--token-file)")
        }
        _ => String::new(),
    };
    format!("{url} answered {status} {said}{what}")
}
