//! A `floodmark` of a test's own: the real program, on a free port, gone with the test.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long anything here may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed on drop.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub base: String,
}

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
    command
}

/// Runs a command to its end.
pub fn floodmark_output(args: &[&str]) -> Output {
    floodmark()
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program was built")
}

impl Server {
    /// `floodmark serve` on this data dir.
    pub fn start(data_dir: &Path) -> Server {
        Server::start_with(data_dir, &[], &[])
    }

    /// `floodmark serve` on this data dir, with more flags and with variables.
    pub fn start_with(data_dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Server {
        let data_dir = data_dir
            .to_str()
            .expect("temporary folders have plain names");
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
        args.extend(flags);
        Server::spawn(&args, variables)
    }

    /// Any command that prints its address, once it has.
    pub fn spawn(args: &[&str], variables: &[(&str, &str)]) -> Server {
        // setpriv: the server is killed when this process ends, however it does.
        let mut command = without_settings(Command::new("setpriv"));
        let mut child = command
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_floodmark")])
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv (apt-get install util-linux) starts it: {e}"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (found, address) = mpsc::channel();
        // Reads to the end: a full pipe would stop the server.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("{line}");
                if let Some(base) = address_in(&line) {
                    let _ = found.send(base);
                }
            }
        });
        match address.recv_timeout(PATIENCE) {
            Ok(base) => Server { child, base },
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                panic!("floodmark {args:?} printed no address and ended with {status:?}");
            }
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "SIGTERM did not stop it");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it is our child");
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("process ids are small"))
    }

    /// The body of `GET path`, which must answer 200.
    pub fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.base);
        actix_web::rt::System::new().block_on(async {
            let mut answer = awc::Client::default()
                .get(&url)
                .send()
                .await
                .unwrap_or_else(|e| panic!("{url}: {e}"));
            let body = answer.body().await.expect("the answer is whole");
            let body = String::from_utf8(body.to_vec()).expect("the answer is text");
            assert!(
                answer.status().is_success(),
                "{url}: {}: {body}",
                answer.status()
            );
            body
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `http://127.0.0.1:PORT`, where a line has it.
fn address_in(line: &str) -> Option<String> {
    let from = line.find("http://127.0.0.1:")?;
    let port_from = from + "http://127.0.0.1:".len();
    let digits = line[port_from..]
        .bytes()
        .take_while(u8::is_ascii_digit)
        .count();
    (digits > 0).then(|| line[from..port_from + digits].to_owned())
}

/// Waits until it is so; panics with the last thing seen when it never is.
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

/// A business time zone in which it is about noon, so that "today" does not turn while a
/// test runs.
pub fn noon_zone() -> String {
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
