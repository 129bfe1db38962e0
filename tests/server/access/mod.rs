//! Who has access: identities that are made by commands, in force on every node soon after.

pub mod browser;
mod hidden;
mod keys;
mod manage;
mod matrix;
mod nodes;
mod sessions;
mod tokens;

use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::support::{
    program::{floodmark, noon_zone},
    server::Server,
};

/// How soon a change has to be in force on every node.
pub const SOON: Duration = Duration::from_secs(2);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(3);

/// Runs a command on a data dir, with this standard input.
pub fn command_with(data: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = floodmark();
    command.args(args).args(["--data-dir", data.to_str().expect("temporary folders are plain")]);
    command.env("FLOODMARK_TIMEZONE", noon_zone());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// Runs a command that has to do what it says, and returns what it printed.
pub fn command(data: &Path, args: &[&str]) -> String {
    let output = command_with(data, args, "");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Runs a command that must not do it, and returns why not.
pub fn refused(data: &Path, args: &[&str]) -> String {
    let output = command_with(data, args, "");
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text")
}

/// The status of a GET with this token.
pub fn get(server: &Server, path: &str, token: &str) -> u16 {
    let request = server.request("GET", path).header("Authorization", &format!("Bearer {token}"));
    request.send().expect("the server answers").status
}

/// The status of an event that is posted with this key.
pub fn post(server: &Server, key: &str, event: &str) -> u16 {
    let request = server.request("POST", "/v1/events").header("X-Write-Key", key);
    request.body(event).send().expect("the server answers").status
}

/// Waits until a change is in force, which has to be soon.
pub fn soon(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SOON + SLACK, "not in force within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the server knows what was changed so far. (To try a password until it is right would run
/// into the brake.)
pub fn until_known(server: &Server, data: &Path) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("probe-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let probe = command(data, &["tokens", "add", &name]);
    soon("what was changed before it", || get(server, "/api/session", &probe) == 200);
}
