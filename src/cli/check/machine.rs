//! What this machine gives: the data dir and who has it, the address, and what the process may use.

use std::{
    fs::{self, TryLockError},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
};

use indicatif::HumanBytes;
use nix::sys::resource::{Resource, getrlimit};

use super::{Doubtful, Finding, Findings, Fine, Wrong, disk};
use crate::{config::Config, http::tls::Tls, open_files, trust};

/// The file in the data dir that a running server keeps locked.
const LOCK_FILE: &str = "lock";
/// The part of the machine's memory, in percent, that `memory.max_bytes` may be. The rest is for viewers,
/// for what the system caches of the spool, and for others.
const MEMORY_PERCENT: u64 = 75;

/// Looks at all of it.
pub(super) fn look(config: &Config, found: &mut Findings) {
    let data_dir = data_dir(&config.data_dir);
    let writable = matches!(data_dir, Fine(_));
    found.say("data dir", data_dir);
    found.say("free space", disk::free_space(config));
    if writable && let Ok(folder) = existing(&config.data_dir) {
        found.say("disk", disk::speed(&folder));
    }
    let lock = lock(&config.data_dir);
    let runs = matches!(lock, Doubtful(_));
    found.say("lock", lock);
    found.say("address", address(config, runs));
    found.say("TLS", tls(config));
    if let Some(authorities) = authorities(config) {
        found.say("authorities", authorities);
    }
    found.say("open files", open_files(config));
    found.say("memory", memory(config));
}

/// The folder itself, or the nearest one above it that exists.
pub(super) fn existing(dir: &Path) -> io::Result<PathBuf> {
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

/// Whether clients find TLS, and how long the certificate is good.
fn tls(config: &Config) -> Finding {
    match Tls::inspect(&config.tls) {
        Ok((words, false)) => Fine(words),
        Ok((words, true)) => Doubtful(format!("{words}; renew it")),
        Err(words) => Wrong(words),
    }
}

/// Whether the files of authorities can be used that nothing else of this command reads; `None` where none
/// is named.
fn authorities(config: &Config) -> Option<Finding> {
    let files = [("oidc.ca", &config.oidc.ca), ("otlp.ca", &config.otlp.ca)];
    let named: Vec<_> = files.into_iter().filter(|(_, file)| !file.is_empty()).collect();
    let wrong = named.iter().find_map(|(key, file)| trust::only(key, file).err());
    let keys: Vec<&str> = named.iter().map(|(key, _)| *key).collect();
    let fine = || Fine(format!("{} can be used", keys.join(" and ")));
    (!named.is_empty()).then(|| wrong.map_or_else(fine, Wrong))
}

/// Whether the limit of open files has room for all connections.
fn open_files(config: &Config) -> Finding {
    let hard = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) => hard,
        Err(e) => return Doubtful(format!("the limit can't be read: {e}")),
    };
    match open_files::fitting(config, hard) {
        None => Fine(format!("{hard} are allowed, which all connections fit into")),
        Some(fitting) if hard >= open_files::COMMON_HARD_LIMIT => {
            Fine(fitting.in_words(config, hard))
        }
        Some(fitting) => Doubtful(format!(
            "{}; raise it (LimitNOFILE=65536 in the unit, ulimit -n in a shell)",
            fitting.in_words(config, hard)
        )),
    }
}

/// Whether the machine, or the container, has the memory that the process may take.
fn memory(config: &Config) -> Finding {
    let budget = config.memory.max_bytes;
    let Some(all) = whole_memory() else {
        return Doubtful("how much there is can't be read from /proc/meminfo".to_owned());
    };
    judge_memory(budget, all)
}

fn judge_memory(budget: u64, all: u64) -> Finding {
    let words =
        format!("{} are there, and Floodmark takes up to {}", HumanBytes(all), HumanBytes(budget));
    match budget.saturating_mul(100) > all.saturating_mul(MEMORY_PERCENT) {
        true => Doubtful(format!(
            "{words} and 16 kB for each viewer: lower memory.max_bytes, or the system may kill it"
        )),
        false => Fine(words),
    }
}

/// The memory of the machine, or what the container may have of it, in bytes.
fn whole_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    // The two versions of control groups; `max`, or a huge number, stands for no limit.
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Some(machine.min(limit.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn memory_is_judged_by_what_is_there() {
        assert!(matches!(judge_memory(512 << 20, 4 << 30), Fine(_)));
        assert!(
            matches!(judge_memory(512 << 20, 600 << 20), Doubtful(words) if words.contains("lower"))
        );
        assert!(whole_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_low_limit_of_open_files_is_told_with_what_becomes_of_it() {
        assert!(!matches!(open_files(&Config::default()), Wrong(_)));
        let few = open_files::fitting(&Config::default(), 1024).expect("they do not fit");
        let words = few.in_words(&Config::default(), 1024);
        assert!(words.contains("http.max_connections is 342 instead of 20000"), "{words}");
    }
}
