//! `floodmark check`: looks at everything that `serve` needs, one by one, and says in words how
//! it is. It changes nothing.

use std::{
    fmt, fs,
    fs::TryLockError,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use indicatif::HumanBytes;

use super::{ServeArgs, exit::Exit};
use crate::{
    config::Config,
    live,
    sink::Installation,
    store::{self, sqlite},
};

/// The file in the data dir that a running server keeps locked.
const LOCK_FILE: &str = "lock";
/// How long a store may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The result of looking at one thing, in words.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// It is as it should be.
    Fine(String),
    /// The server would start with it, but an operator should know.
    Doubtful(String),
    /// The server can't start or can't work with it.
    Wrong(String),
}

use Finding::{Doubtful, Fine, Wrong};

/// One line of the output: the name of what was looked at, and the finding.
struct CheckLine<'a>(&'a str, &'a Finding);

impl fmt::Display for CheckLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, words) = match self.1 {
            Fine(words) => ("ok", words),
            Doubtful(words) => ("warn", words),
            Wrong(words) => ("FAIL", words),
        };
        // Further lines are indented to stand under the words of the first.
        let words = words.replace('\n', &format!("\n{:21}", ""));
        write!(f, "{state:<5} {:<14} {words}", self.0)
    }
}

/// Runs the command: exit code 0 if `serve` would start.
pub fn run(args: &ServeArgs) -> ExitCode {
    let mut all_fine = true;
    let mut say = |name: &str, finding: Finding| {
        println!("{}", CheckLine(name, &finding));
        all_fine &= !matches!(finding, Wrong(_));
    };
    let config = match args.load() {
        Ok(config) => config,
        Err(e) => {
            say("configuration", Wrong(e.to_string()));
            return Exit::Usage.into();
        }
    };
    let origin = args.config.as_ref().map_or_else(
        || "no file, so the built-in one".to_owned(),
        |path| path.display().to_string(),
    );
    say("configuration", Fine(format!("{origin}, with variables and flags")));
    say("alerts", alerts(&config));
    say("data dir", data_dir(&config.data_dir));
    say("free space", free_space(&config));
    let lock = lock(&config.data_dir);
    let runs = matches!(lock, Doubtful(_));
    say("lock", lock);
    say("address", address(&config, runs));
    actix::System::new().block_on(async {
        // Both are compared with the data dir, and with each other.
        match Installation::of_check(&config) {
            Ok(installation) => {
                let installation = Arc::new(installation);
                say("access", access(&config, stored_doors(&config, installation.clone()).await));
                say("store", store(&config, installation.clone()).await);
                say("live counters", live(&config, installation).await);
            }
            Err(e) => say("installation", Wrong(e.to_string())),
        }
    });
    if all_fine {
        println!("Floodmark can start.");
        Exit::Done.into()
    } else {
        println!("Floodmark can't run like this; see above.");
        Exit::Failed.into()
    }
}

/// Whether the store names who may send, and who may see the numbers. One that can't be read is another
/// finding.
async fn stored_doors(config: &Config, installation: Arc<Installation>) -> (bool, bool) {
    if config.postgres.url.is_empty() {
        return sqlite::doors(&config.data_dir).unwrap_or_default();
    }
    let look = async { store::open_as(config, installation).await?.access.access_doors().await };
    match tokio::time::timeout(ANSWER_WITHIN, look).await {
        Ok(Ok(doors)) => doors,
        _ => (false, false),
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

/// The folder itself, or the nearest one above it that exists.
fn existing(dir: &Path) -> io::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let above = dir.ancestors().find(|above| above.exists());
    Ok(above.unwrap_or(Path::new("/")).to_owned())
}

/// Whether the data dir can be written to or made. Tried with a file, since permissions alone
/// don't tell of a read-only mount or a quota.
fn data_dir(dir: &Path) -> Finding {
    let shown = dir.display();
    let existing = match existing(dir) {
        Ok(existing) => existing,
        Err(e) => return Wrong(format!("{shown}: {e}")),
    };
    if !existing.is_dir() {
        return Wrong(format!("{} is not a folder", existing.display()));
    }
    let probe = existing.join(format!(".floodmark-check-{}", std::process::id()));
    let written = fs::write(&probe, b"floodmark check").and_then(|()| fs::remove_file(&probe));
    match written {
        Ok(()) if dir.exists() => Fine(format!("{shown} can be written")),
        Ok(()) => Fine(format!("{shown} is not there yet and can be made")),
        Err(e) => Wrong(format!(
            "{} can't be written: {e}; give this user the folder, or set --data-dir",
            existing.display()
        )),
    }
}

/// Whether the disk has room for the spool.
fn free_space(config: &Config) -> Finding {
    match existing(&config.data_dir).and_then(fs4::available_space) {
        Ok(free) => judge_space(free, config),
        Err(e) => Wrong(format!("unknown: {e}")),
    }
}

fn judge_space(free: u64, config: &Config) -> Finding {
    let words = format!("{} free", HumanBytes(free));
    let limit = HumanBytes(config.spool.max_bytes);
    if free < 2 * config.spool.segment_bytes {
        Wrong(format!("{words}: less than two segments of the spool"))
    } else if free < config.spool.max_bytes {
        Doubtful(format!("{words}, and the spool may grow to {limit} (spool.max_bytes)"))
    } else {
        Fine(format!("{words}, the spool may grow to {limit}"))
    }
}

/// Whether another process has the data dir.
fn lock(dir: &Path) -> Finding {
    let path = dir.join(LOCK_FILE);
    let file = match fs::File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Fine("free".to_owned()),
        Err(e) => return Wrong(format!("{}: {e}", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Fine("free".to_owned()),
        // Another one can't start on it. That this one runs is what an operator wants to hear.
        Err(TryLockError::WouldBlock) => Doubtful(format!(
            "a running floodmark has {}; a second one needs a data dir of its own",
            dir.display()
        )),
        Err(TryLockError::Error(e)) => Wrong(format!("{}: {e}", path.display())),
    }
}

/// Whether the address can be listened on; the socket is closed again at once. Where a server runs on
/// the data dir already, the address is its own.
fn address(config: &Config, runs: bool) -> Finding {
    let addresses = match config.listen_addresses() {
        Ok(addresses) => addresses,
        Err(words) => return Wrong(words),
    };
    match TcpListener::bind(&*addresses) {
        Ok(_) => Fine(format!("{} is free", config.listen)),
        Err(e) if runs && e.kind() == io::ErrorKind::AddrInUse => {
            Doubtful(format!("{} is in use, by the running floodmark it seems", config.listen))
        }
        Err(e) => Wrong(format!("{} can't be listened on: {e}", config.listen)),
    }
}

/// Whether the store answers and takes writes. A SQLite file that is not there yet is not made.
async fn store(config: &Config, installation: Arc<Installation>) -> Finding {
    if config.postgres.url.is_empty() {
        return match sqlite::look(&config.data_dir) {
            Ok(None) => {
                Fine("SQLite in the data dir: not there yet, and made at the start".to_owned())
            }
            found => {
                let compared = found.and_then(|_| sqlite::compare(&config.data_dir, &installation));
                answered::<()>("SQLite in the data dir", Ok(compared.map_err(|e| e.to_string())))
            }
        };
    }
    let look = async {
        let stores = store::open_as(config, installation).await.map_err(|e| e.to_string())?;
        stores.info.check().await.map_err(|e| e.to_string())
    };
    with_doubts("PostgreSQL", tokio::time::timeout(ANSWER_WITHIN, look).await)
}

/// Whether the live counters answer and take writes.
async fn live(config: &Config, installation: Arc<Installation>) -> Finding {
    let wanted = match config.redis.urls.len() {
        0 => return Fine("in this process: filled from the ledger at each start".to_owned()),
        1 => "Redis",
        _ => "Redis Cluster",
    };
    let look = async { live::redis_doubts(config, installation).await.map_err(|e| e.to_string()) };
    let look = async { look.await.map(|doubts| doubts.into_iter().collect()) };
    with_doubts(wanted, tokio::time::timeout(ANSWER_WITHIN, look).await)
}

/// Puts an answer with doubts into words.
fn with_doubts<Late>(wanted: &str, answer: Result<Result<Vec<String>, String>, Late>) -> Finding {
    match answer {
        Ok(Ok(doubts)) if !doubts.is_empty() => {
            Doubtful(format!("{wanted}: answers and takes writes\n{}", doubts.join("\n")))
        }
        other => answered(wanted, other.map(|answer| answer.map(drop))),
    }
}

/// Puts the answer of a store, or its absence, into words.
fn answered<Late>(wanted: &str, answer: Result<Result<(), String>, Late>) -> Finding {
    match answer {
        Ok(Ok(())) => Fine(format!("{wanted}: answers and takes writes")),
        Ok(Err(e)) => Wrong(format!("{wanted}: {e}")),
        Err(_) => Wrong(format!("{wanted}: no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_wraps_under_its_words() {
        assert_eq!(
            CheckLine("data dir", &Fine("d can be written".to_owned())).to_string(),
            "ok    data dir       d can be written"
        );
        assert_eq!(
            CheckLine("configuration", &Wrong("one\ntwo".to_owned())).to_string(),
            "FAIL  configuration  one\n                     two"
        );
    }

    #[test]
    fn a_data_dir_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (there, not_yet) = (dir.path(), dir.path().join("a/b"));
        assert!(matches!(data_dir(there), Fine(words) if words.ends_with("can be written")));
        assert!(matches!(data_dir(&not_yet), Fine(words) if words.ends_with("can be made")));
        assert_eq!(fs::read_dir(there).unwrap().count(), 0);
        let file = there.join("file");
        fs::write(&file, b"").unwrap();
        assert!(
            matches!(data_dir(&file.join("x")), Wrong(words) if words.contains("not a folder"))
        );
    }

    #[test]
    fn a_lock_that_is_held_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lock(dir.path()), Fine("free".to_owned()));
        let file = fs::File::create(dir.path().join(LOCK_FILE)).unwrap();
        assert_eq!(lock(dir.path()), Fine("free".to_owned()));
        file.lock().unwrap();
        assert!(matches!(lock(dir.path()), Doubtful(_)));
    }

    #[test]
    fn an_address_in_use_is_seen() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let config =
            Config { listen: taken.local_addr().unwrap().to_string(), ..Config::default() };
        assert!(matches!(address(&config, false), Wrong(_)));
        assert!(matches!(address(&config, true), Doubtful(_)));
        drop(taken);
        assert!(matches!(address(&config, false), Fine(_)));
    }

    #[test]
    fn space_is_judged_by_the_spool() {
        let config = Config::default();
        let spool = config.spool.clone();
        assert!(matches!(judge_space(spool.segment_bytes, &config), Wrong(_)));
        assert!(matches!(judge_space(spool.max_bytes - 1, &config), Doubtful(_)));
        assert!(matches!(judge_space(spool.max_bytes, &config), Fine(_)));
    }

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
