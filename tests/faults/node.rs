//! The program under test. It can be killed, and started again on the same port and data folder.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{client::Request, port::Port, program::noon_zone};

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `floodmark serve`, which is killed when this is dropped.
pub struct Node {
    child: Option<Child>,
    addr: SocketAddr,
    _port: Port,
    settings: Vec<(String, String)>,
    scratch: tempfile::TempDir,
    data: PathBuf,
    /// The most memory that any run of the program has held, in KiB.
    peak: u64,
}

impl Node {
    /// Starts a node with these settings, on a data folder of its own.
    pub fn start(settings: &[(&str, &str)]) -> Node {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).expect("a data dir");
        Node::on(scratch, data, settings, &[])
    }

    /// Starts a node with further variables, which hold for its first run only.
    pub fn armed(settings: &[(&str, &str)], once: &[(&str, &str)]) -> Node {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).expect("a data dir");
        Node::on(scratch, data, settings, once)
    }

    /// Starts a node on a data folder that the test has prepared inside `scratch`.
    pub fn on(
        scratch: tempfile::TempDir,
        data: PathBuf,
        settings: &[(&str, &str)],
        once: &[(&str, &str)],
    ) -> Node {
        let mut node = Node::stopped(scratch, data, settings);
        node.run(once);
        node
    }

    fn stopped(scratch: tempfile::TempDir, data: PathBuf, settings: &[(&str, &str)]) -> Node {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        // The node comes back on the same port, which nobody else may have taken meanwhile.
        let port = Port::free();
        let addr = ([127, 0, 0, 1], port.number()).into();
        Node { child: None, addr, _port: port, settings, scratch, data, peak: 0 }
    }

    /// Starts a node that may refuse to start.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn attempt_on(
        scratch: tempfile::TempDir,
        data: PathBuf,
        settings: &[(&str, &str)],
    ) -> Result<Node, String> {
        let mut node = Node::stopped(scratch, data, settings);
        match node.attempt(&[]) {
            Ok(()) => Ok(node),
            Err(_) => Err(node.log()),
        }
    }

    /// Changes a setting, which holds from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    fn run(&mut self, once: &[(&str, &str)]) {
        if let Err(why) = self.attempt(once) {
            panic!("{why}; its log: {}", self.log());
        }
    }

    /// Starts the node, which may refuse to start.
    ///
    /// # Errors
    /// How it ended before it said where it listens. Its log has the reason.
    pub fn attempt(&mut self, once: &[(&str, &str)]) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        // setpriv: the kernel kills the program when the test process ends in any way.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_floodmark"), "serve", "--listen"])
            .arg(self.addr.to_string())
            .arg("--data-dir")
            .arg(&self.data)
            // In this zone it is about noon, so that "today" does not begin anew while a test runs.
            .env("FLOODMARK_TIMEZONE", noon_zone())
            .envs(self.settings.iter().map(|(k, v)| (k, v)))
            .envs(once.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv (apt-get install util-linux) starts it: {e}"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (found, address) = std::sync::mpsc::channel();
        // This thread reads until the node ends, since a full pipe would block the node.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let addr = line.split("http://").nth(1).and_then(|text| text.trim().parse().ok());
                let _ = addr.map(|addr: SocketAddr| found.send(addr));
            }
        });
        let Ok(addr) = address.recv_timeout(PATIENCE) else {
            // It has ended by itself, or it neither serves nor ends.
            let _ = child.kill();
            return Err(format!("it did not say where it listens: {:?}", child.wait()));
        };
        self.addr = addr;
        self.child = Some(child);
        Ok(())
    }

    /// Whether the node is running.
    pub fn lives(&mut self) -> bool {
        let running = |child: &mut Child| child.try_wait().expect("it is our child").is_none();
        let lives = self.child.as_mut().is_some_and(running);
        if !lives {
            self.child = None;
        }
        lives
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The segments of the node's spool, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.data.join("spool")).expect("a spool").flatten();
        let mut segments: Vec<PathBuf> = folder.map(|entry| entry.path()).collect();
        segments.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
        segments.sort();
        segments
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Everything that the node has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills the node and starts it again on the same port and data folder.
    pub fn restart(&mut self) {
        self.restart_armed(&[]);
    }

    /// Kills the node and starts it again, with variables that hold for this run only.
    pub fn restart_armed(&mut self, once: &[(&str, &str)]) {
        self.kill();
        self.run(once);
    }

    /// Ends the node with SIGKILL (kill -9).
    pub fn kill(&mut self) {
        self.note_peak();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().expect("it runs").id() as i32)
    }

    /// Sends SIGTERM and waits for the node's end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.note_peak();
        self.signal(Signal::SIGTERM);
        self.ended("SIGTERM")
    }

    /// Waits until the node has ended by itself, for example at a kill point.
    pub fn ended(&mut self, why: &str) -> ExitStatus {
        let begin = Instant::now();
        loop {
            let child = self.child.as_mut().expect("it ran");
            if let Some(status) = child.try_wait().expect("it is our child") {
                self.child = None;
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it never ended: {why}; its log: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn status_kib(&self, field: &str) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with(field))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    fn note_peak(&mut self) {
        self.peak = self.peak.max(self.status_kib("VmHWM:").unwrap_or(0));
    }

    /// The most memory that the node has held so far, over all runs, in MiB.
    pub fn peak_mib(&mut self) -> u64 {
        self.note_peak();
        self.peak / 1024
    }

    /// The memory that the node holds now, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.status_kib("VmRSS:").expect("it runs") / 1024
    }

    /// `GET path` as JSON, whatever its status.
    pub fn get(&self, path: &str) -> Value {
        match Request::get(self.addr, path).send() {
            Ok(answer) => answer.json(),
            Err(e) => panic!("GET {path}: {e}; its log: {}", self.log()),
        }
    }

    pub fn current(&self) -> Value {
        self.get("/api/analytics/current")
    }

    /// The reasons why the node is not ready; empty if it is ready.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.get("/readyz")["reasons"].clone();
        serde_json::from_value(reasons).expect("a list of reasons")
    }

    /// The value of a metric, by its name with its labels; 0 if there is no such metric.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = Request::get(self.addr, "/metrics").send().expect("metrics");
        let line = answer.text().lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until the condition holds.
    pub fn until(&self, what: &str, condition: impl FnMut(&Node) -> bool) {
        self.within(PATIENCE, what, condition);
    }

    /// Waits until the condition holds, for this long at most.
    pub fn within(&self, patience: Duration, what: &str, mut condition: impl FnMut(&Node) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            assert!(
                begin.elapsed() < patience,
                "never: {what}; ready: {}; current: {}; its log: {}",
                self.get("/readyz"),
                self.current(),
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until both sinks have stored and counted everything.
    pub fn settled(&self) {
        self.within(4 * PATIENCE, "both sinks have everything", |node| {
            let lag = &node.get("/readyz")["lag"];
            lag["store"]["batches"] == 0 && lag["live"]["batches"] == 0
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let from = log.char_indices().nth_back(4000).map_or(0, |(at, _)| at);
            eprintln!("the end of the node's log:\n{}", &log[from..]);
        }
        self.kill();
    }
}
