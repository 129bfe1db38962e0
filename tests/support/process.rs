//! Starts programs for tests: as an ordinary user, and killed when the test ends.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::unistd::{Gid, Uid, User};

/// The user that runs the servers: the one who runs the tests, or where that is root, a user that
/// PostgreSQL and PgBouncer agree to run as.
pub fn user() -> (Uid, Gid) {
    let me = Uid::effective();
    if !me.is_root() {
        return (me, Gid::effective());
    }
    let names = ["postgres", "nobody"];
    let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.expect("running as root: a user postgres or nobody to run servers as");
    (user.uid, user.gid)
}

/// A command that runs as [`user`]. The kernel kills it when the thread that started it ends, also
/// if the test process is killed. So start servers from the test's own thread.
pub fn command(program: impl Into<std::ffi::OsString>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if Uid::effective().is_root() {
        let (uid, gid) = user();
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program.into());
    command.stdin(Stdio::null());
    // Variables such as PGHOST must not lead a server or client of a test to a server of this
    // machine.
    for variable in ["PGPASSWORD", "PGPASSFILE", "PGHOST", "PGPORT", "PGDATA", "PGUSER"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end. Panics with the command's output if it fails.
pub fn run(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(e) => panic!("{command:?}: {e}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Finds a program in one of `folders` or on the PATH. Panics with the hint if it is in none of
/// them.
pub fn find(program: &str, folders: &[&str], hint: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from);
    let found = folders
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed: {hint}"))
}

/// Where servers keep their files: in memory where there is room (a thousand small files
/// are copied there in a fifth of the time), else the temporary folder.
pub fn temp() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let free = nix::sys::statvfs::statvfs(&memory)
        .map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    if free > 4 * 1024 * 1024 * 1024 { memory } else { std::env::temp_dir() }
}

/// A new folder that [`user`] owns. Its path is short, since that of a Unix socket must be. Also
/// removes the folders that killed tests have left behind.
pub fn folder(of: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let temp = temp();
    let prefix = format!("floodmark-{of}-");
    for entry in std::fs::read_dir(&temp).expect("a temporary folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = temp.join(format!("{prefix}{}-{number}", std::process::id()));
    std::fs::create_dir(&path).expect("a folder of our own");
    let (uid, gid) = user();
    nix::unistd::chown(&path, Some(uid), Some(gid)).expect("the folder changes hands");
    path
}

/// Waits for a condition, for at most half a minute.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 30, "{what}: not within 30 s");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
