//! A PostgreSQL of a test's own: real, on a free port, gone with the test.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};

mod copies;

use crate::support::{
    port::Port,
    process::{command, find, folder, run, temp, user, wait_until},
};

const HINT: &str = "apt-get install postgresql-15";
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/18/bin",
];

/// The superuser of every test server.
pub const USER: &str = "floodmark";
/// The password of [`USER`]. Every connection needs it (SCRAM).
pub const PASSWORD: &str = "only for tests";

/// A running server, stopped and removed on drop.
pub struct Postgres {
    folder: PathBuf,
    port: Port,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server with an empty database.
    pub fn start() -> Postgres {
        Postgres::start_with("")
    }

    /// Starts a server with more lines in its postgresql.conf.
    pub fn start_with(settings: &str) -> Postgres {
        let folder = folder("pg");
        run(command("cp").args(["-a", "--reflink=auto"]).arg(template()).arg(folder.join("data")));
        let mut postgres = Postgres { port: Port::free(), server: None, folder };
        postgres.settle_in();
        // Without fsync a commit survives the death of the process, though not a power cut. No test
        // of this fixture cuts the power.
        postgres.configure(&format!(
            "fsync = off\nfull_page_writes = off\nshared_buffers = 16MB\nmax_connections = 60\n\
             log_min_error_statement = panic\ndynamic_shared_memory_type = mmap\n\
             timezone = 'America/New_York'\n{settings}",
        ));
        postgres.start_again();
        postgres
    }

    /// Makes the data folder that of this server: its port, and the folder of its socket.
    fn settle_in(&self) {
        let (port, folder) = (self.port(), self.folder.display());
        self.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{folder}'"
        ));
    }

    /// Adds lines to postgresql.conf, which take effect at the next start.
    pub fn configure(&self, settings: &str) {
        use std::io::Write;
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        writeln!(file, "\n{settings}").unwrap();
    }

    /// The server's data folder. A test may put files of its own there before a restart.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL to connect to, with user and password.
    pub fn url(&self) -> String {
        self.url_with(USER, PASSWORD, self.port())
    }

    /// A URL of another user, or through another port.
    pub fn url_with(&self, user: &str, password: &str, port: u16) -> String {
        let password = password.replace(' ', "%20");
        format!("postgres://{user}:{password}@127.0.0.1:{port}/postgres")
    }

    /// Runs SQL directly, without Floodmark, and returns the rows as text.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(sql).await.unwrap();
        drop(client);
        let _ = connection.await;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let field = |i| row.get(i).unwrap_or("NULL").to_owned();
                Some((0..row.len()).map(field).collect())
            }
            _ => None,
        });
        rows.collect()
    }

    /// Runs SQL that may fail. Returns what the server says then.
    pub async fn try_sql(&self, sql: &str) -> Result<(), String> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        drop(client);
        let _ = connection.await;
        let words = |e: tokio_postgres::Error| {
            e.as_db_error().map_or_else(|| e.to_string(), |told| told.message().to_owned())
        };
        done.map_err(words)
    }

    /// Stops the server as a crash would: `pg_ctl stop -m immediate`.
    pub fn stop_immediate(&mut self) {
        self.stop(Signal::SIGQUIT);
    }

    /// Stops the server in order (a fast shutdown).
    pub fn stop_in_order(&mut self) {
        self.stop(Signal::SIGINT);
    }

    fn stop(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let _ = kill(Pid::from_raw(server.id() as i32), signal);
        let _ = server.wait();
    }

    /// Starts the server again on the same data and port.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let server = command(find("postgres", &bin_folders(), HINT))
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv (util-linux) starts postgres: {e}"));
        let mut server = server;
        wait_until("PostgreSQL starts", || {
            if let Ok(Some(status)) = server.try_wait() {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("PostgreSQL ended with {status}: {log}");
            }
            // The eighth line of this file is the state of the postmaster.
            std::fs::read_to_string(self.data().join("postmaster.pid")).is_ok_and(|text| {
                text.lines().nth(7).is_some_and(|status| status.trim() == "ready")
                    && text.lines().next() == Some(&server.id().to_string())
            })
        });
        self.server = Some(server);
    }

    /// Halts all processes of the server (SIGSTOP): its connections stay open and nothing is
    /// answered.
    pub fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets the halted processes go on (SIGCONT).
    pub fn resume(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        let postmaster = self.server.as_ref().expect("it runs").id();
        kill(Pid::from_raw(postmaster as i32), signal).expect("its postmaster");
        for child in children(postmaster) {
            let _ = kill(Pid::from_raw(child as i32), signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.resume();
        }
        self.stop(Signal::SIGQUIT);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let from = log.len().saturating_sub(4_000);
            eprintln!("the end of PostgreSQL's log:\n{}", log.get(from..).unwrap_or(&log));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The line is `pid (name) state ppid …`, and the name may hold anything.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&of.to_string())
    };
    pids.filter(is_child).collect()
}

fn bin_folders() -> Vec<&'static str> {
    FOLDERS.to_vec()
}

/// A data folder as initdb makes it: made once for each version and user, then copied.
/// Two processes may make it at the same time: the first to finish wins.
fn template() -> PathBuf {
    let initdb = find("initdb", &bin_folders(), HINT);
    let version = run(command(&initdb).arg("--version"));
    // "initdb (PostgreSQL) 15.18 (Debian …)"
    let version = version.split_whitespace().nth(2).unwrap_or("unknown");
    let (uid, _) = user();
    let name = format!("floodmark-pgtemplate-1-{version}-{uid}");
    let template = temp().join(name);
    if template.join("PG_VERSION").exists() {
        return template;
    }
    let fresh = folder("initdb");
    let password = fresh.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let (uid, gid) = user();
    nix::unistd::chown(&password, Some(uid), Some(gid)).unwrap();
    run(command(&initdb)
        .arg("-D")
        .arg(fresh.join("data"))
        .args(["-U", USER, "-A", "scram-sha-256", "--no-sync", "--wal-segsize=1"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg("--pwfile")
        .arg(&password));
    if let Err(e) = std::fs::rename(fresh.join("data"), &template) {
        assert!(template.join("PG_VERSION").exists(), "{}: {e}", template.display());
    }
    let _ = std::fs::remove_dir_all(&fresh);
    template
}
