//! The real binary with a data dir of its own, on a free port of 127.0.0.1.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for a condition before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `floodmark serve`; killed when dropped.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    settings: Vec<(String, String)>,
    data: TempDir,
}

impl Server {
    /// With the default configuration, but for port and data dir.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// With variables such as `("FLOODMARK_AUTH__WRITE_KEYS", "k")`.
    pub fn with(settings: &[(&str, &str)]) -> Server {
        let data = TempDir::new().expect("a temporary folder");
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (child, addr) = spawn(&data, "127.0.0.1:0", &settings);
        Server { child, addr, settings, data }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its data dir.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_owned()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.child.wait().expect("it ends")
    }

    /// The same server again: same port, same data dir.
    pub fn restart(&mut self) {
        self.kill();
        (self.child, self.addr) = spawn(&self.data, &self.addr.to_string(), &self.settings);
    }

    /// `GET path`, as JSON.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.get_text(path)).expect("JSON")
    }

    /// `GET path`, the body. Panics if it is not a 200.
    pub fn get_text(&self, path: &str) -> String {
        let (status, body) = self.request("GET", path, "", b"").expect("the server answers");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// `GET /api/analytics/current`.
    pub fn current(&self) -> Value {
        self.get("/api/analytics/current")
    }

    /// One request on a connection of its own: (status, body). An error where the server did
    /// not answer in full.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n",
            self.addr
        )?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Ok((status, if chunked { unchunk(body) } else { body.to_owned() }))
    }

    /// A read-only look at the embedded store.
    pub fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.data.path().join("floodmark.db"), flags)
            .expect("the embedded store")
    }

    /// Rows of a table of the embedded store.
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

fn spawn(data: &TempDir, listen: &str, settings: &[(String, String)]) -> (Child, SocketAddr) {
    // Dies with the test process, however that ends.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_floodmark"), "serve"])
        .args(["--listen", listen, "--data-dir"])
        .arg(data.path())
        // "Today" must not turn in the middle of a test.
        .env("FLOODMARK_TIMEZONE", super::program::noon_zone())
        .envs(settings.iter().map(|(k, v)| (k, v)))
        .stdout(Stdio::piped())
        .spawn()
        .expect("setpriv (util-linux) starts the server");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let addr = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split("http://").nth(1)?.trim().parse().ok());
    let Some(addr) = addr else {
        let _ = child.kill();
        panic!("the server did not say where it listens: {:?}", child.wait());
    };
    // Keep reading, so that it never writes into a full pipe.
    thread::spawn(move || lines.for_each(drop));
    (child, addr)
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 || size > rest.len() {
            break;
        }
        out.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    out
}
