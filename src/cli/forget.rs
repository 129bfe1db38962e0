//! `floodmark forget`: removes what names a user or a session, and prints a receipt.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{ServeArgs, connect, exit::Exit, with_config};
use crate::{
    config::Config,
    domain::time::{HOUR, Millis, now_ms, rfc3339},
    store::forget::{
        DataSubject, ForgetCounts, ForgetReceipt, ForgetRequest, ForgottenDay, Remains, forget,
    },
};

/// Ids of users and sessions are at most so long.
const MAX_ID_BYTES: usize = 256;
/// How long the store takes for a batch, where it keeps up.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// The flags of `floodmark forget`.
#[derive(Args, Clone, Debug)]
pub struct ForgetArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The user, by userId; the events of their sessions that have no user go, too
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "session",
        conflicts_with = "session"
    )]
    user: Option<String>,
    /// The session, by sessionId
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

/// Runs the command.
pub fn run(args: &ForgetArgs) -> ExitCode {
    let person = match (&args.user, &args.session) {
        (Some(id), _) => DataSubject::User(id.clone()),
        (None, session) => DataSubject::Session(session.clone().unwrap_or_default()),
    };
    if person.id().is_empty() || person.id().len() > MAX_ID_BYTES {
        eprintln!("floodmark forget: an id has 1 to {MAX_ID_BYTES} bytes");
        return Exit::Usage.into();
    }
    with_config(&args.serve, |config| {
        match actix::System::new().block_on(forgotten(&config, &person)) {
            Ok((text, gone)) if gone.is_empty() => {
                println!("{text}");
                Exit::Done.into()
            }
            Ok((text, gone)) => {
                println!("{text}");
                eprintln!(
                    "floodmark forget: the store is done, but these nodes are gone and may have events that \
                     are not stored yet: {}. Start them, or retire them, and run this again.",
                    gone.join(", ")
                );
                Exit::Failed.into()
            }
            Err(words) => {
                eprintln!("floodmark forget: {words}");
                Exit::Failed.into()
            }
        }
    })
}

/// Forgets somebody. Returns the receipt, and the nodes that may bring something back.
async fn forgotten(config: &Config, person: &DataSubject) -> Result<(String, Vec<String>), String> {
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    // What was answered a moment ago is on its way to the store.
    tokio::time::sleep(Duration::from_millis(2 * config.batch.flush_interval_ms) + ON_ITS_WAY)
        .await;
    let done = forget(&stores, person, now_ms()).await.map_err(|e| e.to_string())?;
    let (request, counts) =
        done.ok_or("another process removes rows at the moment; try again once it is done")?;
    let nodes = match &stores.nodes {
        None => Vec::new(),
        Some(nodes) => nodes.nodes().await.map_err(|e| e.to_string())?,
    };
    let gone = nodes.into_iter().filter(|node| !node.alive && !node.has_left_nothing());
    let gone: Vec<String> = gone.map(|node| node.said.place).collect();
    let at = now_ms();
    let receipt = receipt(config, &request, counts, (at, gone.clone()));
    let text = serde_json::to_string_pretty(&receipt).map_err(|e| e.to_string())?;
    let ended = stores.forget.end_forgetting(&request, &text, at).await;
    ended.map_err(|e| e.to_string())?;
    Ok((text, gone))
}

fn receipt(
    config: &Config,
    request: &ForgetRequest,
    counts: ForgetCounts,
    (at, nodes_gone): (Millis, Vec<String>),
) -> ForgetReceipt {
    let until = |seconds: u64| {
        let ms = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        rfc3339(at.saturating_add(ms.min(100_000 * HOUR)))
    };
    ForgetReceipt {
        request: request.id.clone(),
        subject: request.subject.clone(),
        person: request.person.clone(),
        salt: request.salt.clone(),
        asked_at: rfc3339(request.asked_at),
        done_at: rfc3339(at),
        rows: counts.days.iter().map(|(_, rows)| rows).sum(),
        days: counts.days.into_iter().map(|(day, rows)| ForgottenDay { day, rows }).collect(),
        dead_letters: counts.dead_letters,
        sessions: counts.sessions,
        remains: Remains {
            spool_until: until(config.spool.keep_s),
            ids_until: until(config.dedupe.long_window_s),
            visitor_hashes_until: until(config.ledger.keep_hours.saturating_mul(3_600)),
            nodes_gone,
        },
    }
}
