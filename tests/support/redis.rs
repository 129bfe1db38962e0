//! Private Redis servers and clusters on free ports of 127.0.0.1. They end with the test.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{FromRedisValue, RedisResult};

use super::port::Port;

const START_LIMIT: Duration = Duration::from_secs(20);

/// One redis-server. It saves nothing by itself, but a `SAVE` survives a restart.
pub struct RedisServer {
    port: Port,
    /// The port on which it talks to the others of a cluster.
    bus: Option<Port>,
    dir: tempfile::TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub fn start() -> RedisServer {
        RedisServer::with(&[])
    }

    /// Starts a server with further arguments of redis-server.
    pub fn with(args: &[&str]) -> RedisServer {
        RedisServer::on_free_ports(args, false)
    }

    fn on_free_ports(args: &[&str], in_a_cluster: bool) -> RedisServer {
        for _ in 0..20 {
            let mut server = RedisServer {
                port: Port::free(),
                bus: in_a_cluster.then(Port::free),
                dir: tempfile::tempdir().expect("a temporary folder"),
                args: args.iter().map(|arg| arg.to_string()).collect(),
                child: None,
            };
            if server.try_restart() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The file that a `SAVE` writes and a start reads.
    pub fn saved(&self) -> std::path::PathBuf {
        self.dir.path().join("dump.rdb")
    }

    /// Kills the server as a power cut does: what was not saved is lost.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_restart(), "redis-server does not start again");
    }

    fn try_restart(&mut self) -> bool {
        // setpriv: the kernel kills it, too, when the thread that started it ends in any way.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1"])
            .args(["--port", &self.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(self.dir.path())
            .args(self.bus.iter().flat_map(|bus| {
                let number = bus.number().to_string();
                [
                    "--cluster-enabled".to_owned(),
                    "yes".to_owned(),
                    "--cluster-port".to_owned(),
                    number,
                ]
            }))
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv runs: apt-get install util-linux");
        self.child = Some(child);
        let give_up = Instant::now() + START_LIMIT;
        while Instant::now() < give_up {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                let missing = status.code() == Some(127) || status.code() == Some(126);
                assert!(!missing, "redis-server: apt-get install redis-server");
                return false;
            }
            let answer = self.try_run::<String>(&["PING"]);
            match answer {
                Ok(_) => return true,
                Err(e) if e.to_string().contains("NOAUTH") => return true,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        false
    }

    /// Halts the process (SIGSTOP): connections stay open and get no answer any more.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id() as i32), signal).expect("the server takes a signal");
    }

    pub fn flushall(&self) {
        self.run::<()>(&["FLUSHALL"]);
    }

    /// Runs one command directly, without Floodmark.
    pub fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_run(command).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// Runs one command directly, after logging in with a password.
    pub fn run_as<T: FromRedisValue>(&self, password: &str, command: &[&str]) -> T {
        let url = format!("redis://:{password}@127.0.0.1:{}", self.port());
        self.send(&url, command).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    pub fn try_run<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        self.send(&self.url(), command)
    }

    fn send<T: FromRedisValue>(&self, url: &str, command: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open(url)?;
        let mut line = client.get_connection_with_timeout(Duration::from_secs(2))?;
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query(&mut line)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A cluster of three masters, perhaps with a replica each.
pub struct RedisCluster {
    /// Masters first, then their replicas in the same order.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> RedisCluster {
        RedisCluster::of(false)
    }

    pub fn with_replicas() -> RedisCluster {
        RedisCluster::of(true)
    }

    fn of(replicas: bool) -> RedisCluster {
        let servers: Vec<RedisServer> = (0..if replicas { 6 } else { 3 })
            .map(|_| {
                let args =
                    ["--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"];
                RedisServer::on_free_ports(&args, true)
            })
            .collect();
        let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (index, server) in servers.iter().enumerate() {
            let epoch = (index + 1).to_string();
            server.run::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if let Some((first, last)) = ranges.get(index) {
                server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            }
        }
        for server in &servers[1..] {
            let bus = server.bus.as_ref().expect("it is in a cluster").number();
            let (port, bus) = (server.port().to_string(), bus.to_string());
            servers[0].run::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = RedisCluster { servers };
        cluster.wait("all servers know each other", |cluster| {
            let known = format!("cluster_known_nodes:{}", cluster.servers.len());
            cluster.servers.iter().all(|server| {
                let info: String = server.run(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains(&known)
            })
        });
        for index in 3..cluster.servers.len() {
            let master: String = cluster.servers[index - 3].run(&["CLUSTER", "MYID"]);
            cluster.servers[index].run::<()>(&["CLUSTER", "REPLICATE", &master]);
        }
        cluster.wait("replicas follow their masters", |cluster| {
            cluster.servers[3..].iter().all(|server| {
                let info: String = server.run(&["INFO", "replication"]);
                info.contains("master_link_status:up")
            })
        });
        cluster
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    /// The master that owns the slot of `key`.
    pub fn owner(&self, key: &str) -> usize {
        let slot: u64 = self.servers[0].run(&["CLUSTER", "KEYSLOT", key]);
        match slot {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        }
    }

    pub fn flushall(&self) {
        for server in &self.servers {
            // A replica refuses, and is flushed by its master.
            let _ = server.try_run::<()>(&["FLUSHALL"]);
        }
    }

    fn wait(&self, what: &str, done: impl Fn(&RedisCluster) -> bool) {
        let give_up = Instant::now() + START_LIMIT;
        while !done(self) {
            assert!(Instant::now() < give_up, "cluster: {what}: not in time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
