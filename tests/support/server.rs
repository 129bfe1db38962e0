//! A server of a test's own: the real program, on a free port of 127.0.0.1. It ends with the test.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    client::{Answer, Request},
    program::{PATIENCE, noon_zone, setpriv_of, this_version},
};

/// A running `floodmark serve` (or another command that serves); killed when dropped.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    command: ServerCommand,
    /// The data folder, unless the test brought its own.
    data: Option<TempDir>,
}

/// The command and the variables that the server was started with.
struct ServerCommand {
    program: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    /// All that it has printed and logged.
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server with the default configuration, except for port and data folder.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// Starts a server with a configuration file of this content.
    pub fn with_config(toml: &str) -> Server {
        let data = TempDir::new().expect("a temporary folder");
        let (dir, file) = (data.path().to_owned(), data.path().join("floodmark.toml"));
        std::fs::write(&file, toml).expect("a temporary folder can be written");
        let text = |path: &Path| path.to_str().expect("temporary names are plain").to_owned();
        let (dir, file) = (text(&dir), text(&file));
        let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &dir, "--config", &file];
        let mut server = Server::spawn(&args, &[]);
        server.data = Some(data);
        server
    }

    /// Starts a server with environment variables such as `("FLOODMARK_AUTH__WRITE_KEYS", "k")`.
    pub fn with(variables: &[(&str, &str)]) -> Server {
        let data = TempDir::new().expect("a temporary folder");
        let mut server = Server::on(data.path(), variables);
        server.data = Some(data);
        server
    }

    /// Starts a server on a data folder that belongs to the test, and outlives the server.
    pub fn on(data_dir: &Path, variables: &[(&str, &str)]) -> Server {
        let data_dir = data_dir.to_str().expect("temporary folders have plain names");
        let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
        Server::spawn(&args, variables)
    }

    /// Starts any command that serves, and waits until it has printed its address.
    pub fn spawn(args: &[&str], variables: &[(&str, &str)]) -> Server {
        Server::spawn_build(this_version(), args, variables)
    }

    /// Starts a server of another build of the program.
    pub fn of_build(program: PathBuf, variables: &[(&str, &str)]) -> Server {
        let data = TempDir::new().expect("a temporary folder");
        let dir = data.path().to_str().expect("temporary folders have plain names").to_owned();
        let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &dir];
        let mut server = Server::spawn_build(program, &args, variables);
        server.data = Some(data);
        server
    }

    fn spawn_build(program: PathBuf, args: &[&str], variables: &[(&str, &str)]) -> Server {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let command = ServerCommand {
            program,
            args: args.iter().map(OsString::from).collect(),
            variables: variables.iter().map(owned).collect(),
            log: Arc::default(),
        };
        let (child, addr) = command.run();
        Server { child, addr, command, data: None }
    }

    /// The address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The server's data folder. Panics if the test brought its own.
    pub fn data(&self) -> PathBuf {
        self.data.as_ref().expect("the test has the data dir").path().to_owned()
    }

    /// The id of the server's process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("process ids are small"))
    }

    /// All that the server has printed and logged so far.
    pub fn log(&self) -> String {
        self.command.log.lock().expect("no reader panics").clone()
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it is our child");
    }

    /// Ends the server with SIGKILL (kill -9).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the server's end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until the server has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it did not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The memory that the server holds now (`VmRSS`), in kB.
    pub fn memory_kb(&self) -> u64 {
        self.status_kb("VmRSS:")
    }

    /// The most memory that the server has held (`VmHWM`), in kB.
    pub fn peak_memory_kb(&self) -> u64 {
        self.status_kb("VmHWM:")
    }

    fn status_kb(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.expect("a line of it").trim().trim_end_matches(" kB");
        digits.parse().expect("a number")
    }

    /// Kills the server and starts it again on the same port and data folder.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Ends the server by a signal, and starts another build of the program in its place, on the same
    /// port and data folder.
    pub fn exchange(&mut self, program: &Path, end_by: Signal) {
        self.signal(end_by);
        self.wait();
        program.clone_into(&mut self.command.program);
        self.start_again();
        let runs = std::fs::read_link(format!("/proc/{}/exe", self.pid())).expect("it runs");
        assert_eq!(runs, program.canonicalize().expect("a program"), "the other build");
    }

    fn start_again(&mut self) {
        let listen = self.command.args.iter().position(|arg| arg == "--listen");
        self.command.args[listen.expect("a flag") + 1] = self.addr.to_string().into();
        (self.child, self.addr) = self.command.run();
    }

    /// `GET path`, as JSON.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.get_text(path)).expect("JSON")
    }

    /// The body of `GET path`. Panics if the status is not 200.
    pub fn get_text(&self, path: &str) -> String {
        let answer = self.request("GET", path).send().expect("the server answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text().to_owned()
    }

    /// Whether `/metrics` has this line.
    pub fn has_metric(&self, line: &str) -> bool {
        self.get_text("/metrics").lines().any(|known| known == line)
    }

    /// `GET /api/analytics/current`.
    pub fn current(&self) -> Value {
        self.get("/api/analytics/current")
    }

    /// Begins a request to this server; the caller sends it.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.addr, method, path)
    }

    /// Posts events to `/v1/events`, without a Content-Type.
    pub fn post(&self, events: impl Into<Vec<u8>>) -> Answer {
        Request::post(self.addr, "/v1/events", events).send().expect("the server answers")
    }

    /// Opens the server's SQLite file for reading only.
    pub fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.data().join("floodmark.db"), flags)
            .expect("the embedded store")
    }

    /// The number of rows in a table of the server's SQLite file.
    pub fn count(&self, table: &str) -> u64 {
        self.database()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .expect("a table") as u64
    }

    /// Waits until the condition holds.
    pub fn until(&self, what: &str, condition: impl Fn(&Server) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(
                started.elapsed() < PATIENCE,
                "never came true: {what}; /current says {}",
                self.current()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl ServerCommand {
    fn run(&self) -> (Child, SocketAddr) {
        let mut child = setpriv_of(&self.program)
            .args(&self.args)
            // In this zone it is about noon, so that "today" does not begin anew while a test runs.
            .env("FLOODMARK_TIMEZONE", noon_zone())
            .envs(self.variables.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv (apt-get install util-linux) starts the server");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (found, address) = mpsc::channel();
        let keep = |log: &Mutex<String>, line: &str| {
            *log.lock().expect("no reader panics") += &format!("{line}\n");
        };
        // These threads read until the server ends, since a full pipe would block the server.
        let logged = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = self.log.clone();
        thread::spawn(move || {
            for line in logged.map_while(Result::ok) {
                eprintln!("{line}");
                keep(&log, &line);
            }
        });
        let log = self.log.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("{line}");
                keep(&log, &line);
                if let Some(addr) = address_in(&line) {
                    let _ = found.send(addr);
                }
            }
        });
        match address.recv_timeout(PATIENCE) {
            Ok(addr) => (child, addr),
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                panic!("{:?} printed no address and ended with {status:?}", self.args);
            }
        }
    }
}

/// The address in a line like `... http://127.0.0.1:PORT ...`, if the line has one.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split("://").nth(1)?.split_whitespace().next()?.parse().ok()
}
