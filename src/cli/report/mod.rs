//! `floodmark report`: one file with what somebody needs who is to help, and without secrets.
//!
//! | in it | what it is |
//! | --- | --- |
//! | `about.txt` | the version, the machine, when |
//! | `configuration.json` | every key with its value; the names of rules |
//! | `check.json` | what `floodmark check --json` says |
//! | `readyz.json`, `metrics.txt` | what the running server answers, or why it does not |
//! | `messages.txt` | the end of the log, with `--log` |
//!
//! Whatever of it has a secret of the configuration in it has `(secret)` there.

mod answers;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Args;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::{ServeArgs, ask, exit::Exit, version};
use crate::{
    config::{Config, Secrets},
    domain::time::{now_ms, rfc3339},
};

/// So much of the end of a log is taken.
const LOG_BYTES: u64 = 4 << 20;

/// The flags of `floodmark report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The file to write [default: floodmark-report-TIME.tar.gz here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A log to take the end of; `-` reads standard input, as of `journalctl -u floodmark`
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// A file with a token that may read /metrics, where one is needed
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ReportArgs) -> ExitCode {
    let config = match args.serve.load() {
        Ok(config) => config,
        Err(e) => {
            eprintln!("floodmark: {e}");
            return Exit::Usage.into();
        }
    };
    match write(args, &config) {
        Ok((path, names)) => {
            println!("{} has {}.", path.display(), names.join(", "));
            println!("Secrets of the configuration are struck out. Look at it before you send it.");
            Exit::Done.into()
        }
        Err(words) => {
            eprintln!("floodmark report: {words}");
            Exit::Failed.into()
        }
    }
}

fn write(args: &ReportArgs, config: &Config) -> Result<(PathBuf, Vec<&'static str>), String> {
    let secrets = Secrets::of(config);
    let now = now_ms();
    let path = args.out.clone().unwrap_or_else(|| {
        let stamp: String =
            rfc3339(now).chars().filter(|c| c.is_ascii_alphanumeric()).take(15).collect();
        PathBuf::from(format!("floodmark-report-{stamp}.tar.gz"))
    });
    let token = match &args.token_file {
        Some(file) => Some(ask::secret_in(file)?),
        None => config.auth.viewer_tokens.first().cloned(),
    };
    let (readyz, metrics) = answers::ask(config, token.as_deref());
    let mut files = vec![
        ("about.txt", about(now)),
        ("configuration.json", configuration(config)),
        ("check.json", check(&args.serve)?),
        ("readyz.json", readyz),
        ("metrics.txt", metrics),
    ];
    if let Some(log) = &args.log {
        files.push(("messages.txt", end_of(log).map_err(|e| format!("{}: {e}", log.display()))?));
    }
    // Others on the machine need not read it, and a file that is there is not written over.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(|e| format!("{}: {e}", path.display()))?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in &files {
        let mut text = secrets.struck_out(text);
        if let Some(token) = token.as_deref().filter(|token| !token.is_empty()) {
            text = text.replace(token, "(secret)");
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime((now / 1000) as u64);
        let placed =
            archive.append_data(&mut header, format!("floodmark-report/{name}"), text.as_bytes());
        placed.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let ended = archive.into_inner().and_then(GzEncoder::finish).and_then(|file| file.sync_all());
    ended.map_err(|e| format!("{}: {e}", path.display()))?;
    Ok((path, files.into_iter().map(|(name, _)| name).collect()))
}

fn about(now: i64) -> String {
    let system = nix::sys::utsname::uname().map_or_else(
        |e| e.to_string(),
        |system| {
            let parts = [system.sysname(), system.release(), system.machine()];
            parts.map(|part| part.to_string_lossy()).join(" ")
        },
    );
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().take(3).collect::<Vec<_>>().join("\n");
    format!(
        "floodmark {}\nmade at {}\n{system}, {cores} cores\n{memory}\n",
        version::LONG,
        rfc3339(now)
    )
}

/// Keys and values, and the rules by their names.
fn configuration(config: &Config) -> String {
    let rules = &config.rules;
    let metrics: Vec<&str> = rules.metric_set.metrics().iter().map(|it| it.name.as_str()).collect();
    let alerts: Vec<String> = rules.alerts.alerts.iter().map(ToString::to_string).collect();
    let sources: Vec<&str> = rules.sources.iter().map(|source| source.name.as_str()).collect();
    let webhooks: Vec<&str> = rules.alerts.webhooks.iter().map(|it| it.name.as_str()).collect();
    let shown = json!({
        "values": config.shown_values(),
        "metrics": metrics,
        "alerts": alerts,
        "webhooks": webhooks,
        "sources": sources,
    });
    serde_json::to_string_pretty(&shown).expect("it was just made") + "\n"
}

/// What `check` says. It is a process of its own, since it prints.
fn check(serve: &ServeArgs) -> Result<String, String> {
    let fail = |e: io::Error| format!("can't run check: {e}");
    let program = std::env::current_exe().map_err(fail)?;
    let output = Command::new(program).args(["check", "--json"]).args(serve.as_written()).output();
    let output = output.map_err(fail)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(said + &String::from_utf8_lossy(&output.stderr))
}

/// The end of a log.
fn end_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().read_to_end(&mut bytes)?;
    } else {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        file.read_to_end(&mut bytes)?;
    }
    let from = bytes.len().saturating_sub(LOG_BYTES as usize);
    Ok(String::from_utf8_lossy(&bytes[from..]).into_owned())
}
