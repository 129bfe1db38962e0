//! Runs the real program to its end, for commands that stop by themselves. Servers are in `server`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// How long anything here may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test, with an environment that holds no settings of the machine.
pub fn floodmark() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_floodmark")))
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOODMARK_") {
            command.env_remove(name);
        }
    }
    // No load balancer has to notice that a test's server stops.
    command.env("FLOODMARK_HTTP__DRAIN_MS", "0");
    command
}

/// Runs a command to its end.
pub fn floodmark_output(args: &[&str]) -> Output {
    floodmark().args(args).stdin(Stdio::null()).output().expect("the program was built")
}

/// The program under test.
pub fn this_version() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_floodmark"))
}

/// The program under test. The kernel kills it when the thread that started it ends, in whatever
/// way.
pub fn setpriv() -> Command {
    setpriv_of(&this_version())
}

/// Likewise any build of the program.
pub fn setpriv_of(program: &Path) -> Command {
    let mut command = without_settings(Command::new("setpriv"));
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// Waits until the condition holds. Panics with the last value seen if it never does.
pub fn wait_until<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> Result<(), T>) {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(()) => return,
            Err(seen) if begin.elapsed() > PATIENCE => panic!("never: {what}; last seen: {seen:?}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A time zone in which it was about noon when the test began, for `timezone`: midnight, where "today" begins
/// anew, then never comes while a test runs. It is the same for all that a test starts, also where the hour
/// ends meanwhile: a node does not start with another zone than its store has.
pub fn noon_zone() -> String {
    static ZONE: LazyLock<String> = LazyLock::new(zone_of_noon);
    ZONE.clone()
}

fn zone_of_noon() -> String {
    let hour = floodmark::domain::time::now_ms() / floodmark::domain::time::HOUR % 24;
    // POSIX counts westwards: Etc/GMT-3 is three hours ahead of Greenwich.
    match hour - 12 {
        0 => "UTC".to_owned(),
        behind => format!("Etc/GMT{behind:+}"),
    }
}

/// A file of this name in a fresh folder that lives as long as the returned guard.
pub fn scratch(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let path = folder.path().join(name);
    (folder, path)
}

/// A program that ends when the test does, however that ends; of several names, the first that is
/// there.
///
/// A program that is missing fails the test, with `hint` on how to get it: a test that skips itself
/// shows nothing.
pub fn installed(names: &[&str], hint: &str) -> Command {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let is_there = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
    let found = names.iter().find(|name| is_there(name));
    let name = found.unwrap_or_else(|| panic!("{} is missing; {hint}", names.join(" or ")));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", name]).stdin(Stdio::null());
    command
}
