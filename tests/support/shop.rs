//! Several nodes on one Postgres and one Redis, the files of events that are sent to them, and the
//! comparison.

use std::{
    cell::Cell,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{
    postgres::Postgres,
    program::{this_version, wait_until},
    redis::{RedisCluster, RedisServer},
    server::Server,
    sums::Sums,
};

/// The Redis that holds the live counters: one server, or a cluster of three masters with a replica
/// each.
pub enum Live {
    Single(RedisServer),
    Cluster(RedisCluster),
}

impl Live {
    fn urls(&self) -> String {
        match self {
            Live::Single(server) => server.url(),
            Live::Cluster(cluster) => cluster.urls().join(","),
        }
    }
}

pub struct Shop {
    pub postgres: Postgres,
    pub live: Live,
    pub nodes: Vec<Server>,
    /// The seed of the next file of events; the ids of the events follow from it.
    seed: Cell<u64>,
}

/// Senders that are running, and the sums of what they will have sent.
pub struct Load {
    senders: Vec<Child>,
    /// The files that they send.
    _files: TempDir,
    pub sums: Sums,
}

impl Load {
    /// Waits until every event was answered with 202.
    pub fn wait(&mut self) {
        for sender in &mut self.senders {
            assert!(sender.wait().unwrap().success(), "every event was accepted");
        }
    }

    /// Whether every sender still has something to send.
    pub fn is_running(&mut self) -> bool {
        self.senders.iter_mut().all(|sender| matches!(sender.try_wait(), Ok(None)))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.senders.iter_mut().for_each(|sender| drop(sender.kill()));
    }
}

impl Shop {
    /// Two nodes on one Redis.
    pub fn open() -> Shop {
        Shop::with(2, Postgres::start(), Live::Single(RedisServer::start()))
    }

    /// Two nodes on a Redis Cluster with replicas.
    pub fn on_a_cluster() -> Shop {
        Shop::with(2, Postgres::start(), Live::Cluster(RedisCluster::with_replicas()))
    }

    pub fn with(nodes: usize, postgres: Postgres, live: Live) -> Shop {
        Shop::of_build(&this_version(), nodes, postgres, live)
    }

    /// Nodes of another build of the program.
    pub fn of_build(program: &Path, nodes: usize, postgres: Postgres, live: Live) -> Shop {
        let nodes = (0..nodes).map(|_| {
            let variables = [
                ("FLOODMARK_POSTGRES__URL", &*postgres.url()),
                ("FLOODMARK_REDIS__URLS", &*live.urls()),
            ];
            Server::of_build(program.to_owned(), &variables)
        });
        let nodes = nodes.collect();
        Shop::of(nodes, postgres, live)
    }

    /// These nodes, which were started on these servers, once they are ready.
    pub fn of(nodes: Vec<Server>, postgres: Postgres, live: Live) -> Shop {
        nodes.iter().for_each(ready);
        Shop { nodes, postgres, live, seed: Cell::new(1) }
    }

    /// Replays a file of events of its own to each node, at this many events a second; 0 sends as
    /// fast as the node takes them.
    pub fn load(&self, events: u64, rate: u64) -> Load {
        let mut sums = Sums::default();
        let files = TempDir::new().expect("a temporary folder");
        let senders = self.nodes.iter().enumerate().map(|(number, node)| {
            let file = files.path().join(format!("{number}.ndjson"));
            let name = file.to_str().expect("temporary folders have plain names");
            let seed = self.seed.replace(self.seed.get() + 1).to_string();
            let events = events.to_string();
            let program = env!("CARGO_BIN_EXE_floodmark");
            let written = Command::new(program)
                .args(["demo", "--write", name, "--events", &events, "--seed", &seed])
                .output()
                .unwrap();
            assert!(written.status.success(), "{written:?}");
            sums.add_file(&file);
            let mut replay = Command::new(program);
            replay.args(["replay", name, "--to", &node.url(), "--batch", "500"]);
            if rate > 0 {
                replay.args(["--rate", &rate.to_string()]);
            }
            replay
        });
        let senders: Vec<Command> = senders.collect();
        let start = |mut replay: Command| replay.stdout(Stdio::null()).spawn().unwrap();
        Load { senders: senders.into_iter().map(start).collect(), _files: files, sums }
    }

    /// Waits until the first node has counted this many events.
    pub fn counts(&self, events: u64) {
        wait_until("some are counted", || match self.nodes[0].current()["events"].as_u64() {
            Some(seen) if seen >= events => Ok(()),
            seen => Err(seen),
        });
    }

    /// Waits until each node shows these sums.
    pub fn shows(&self, sums: &Sums) {
        for node in &self.nodes {
            wait_until("each node shows what the files hold", || {
                let shown = Sums::of_current(&node.current());
                if shown == *sums { Ok(()) } else { Err(shown) }
            });
        }
    }

    /// Waits until every event is stored and counted, and compares the nodes, the rows and the
    /// ledger with what was sent.
    pub fn agrees(&self, sums: &Sums) {
        self.shows(sums);
        let total = sums.events();
        self.stores(total);
        let counts = self.sql("SELECT type, count(*) FROM events GROUP BY type");
        let counts = counts.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap()));
        let revenue = "SELECT (10000 * sum((properties->>'amount')::numeric))::bigint
                       FROM events WHERE type = 'purchase'";
        let rows = Sums { counts: counts.collect(), revenue: self.number(revenue) };
        assert_eq!(rows, *sums, "the rows");
        let distinct = self.number("SELECT count(DISTINCT id) FROM events");
        assert_eq!(distinct as u64, total, "no event is there twice");
        assert_eq!(self.number("SELECT sum(events) FROM ledger") as u64, total, "the ledger");
        let folded = "SELECT coalesce(sum(value), 0) FROM rollups WHERE series LIKE 'c:%'";
        wait_until("the rollups hold each event once", || match self.number(folded) as u64 {
            events if events == total => Ok(()),
            events => Err(events),
        });
        let rolled_up = self.number("SELECT sum(value) FROM rollups WHERE series = 's:revenue'");
        assert_eq!(rolled_up, sums.revenue, "the rollups");
    }

    /// Waits until the store has this many rows.
    pub fn stores(&self, events: u64) {
        wait_until("all rows are there", || match self.number("SELECT count(*) FROM events") {
            rows if rows == events as i64 => Ok(()),
            rows => Err(rows),
        });
    }

    /// Runs SQL directly, without Floodmark, and returns the rows as text.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(self.postgres.sql(sql))
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.sql(sql)[0][0].parse().unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

/// Waits until a node is ready.
pub fn ready(node: &Server) {
    wait_until("it is ready", || match node.request("GET", "/readyz?sinks").send() {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Waits until both sinks have taken every batch of a node.
pub fn drained(node: &Server) {
    wait_until("both sinks have everything", || {
        let answer = node.request("GET", "/readyz").send().map_err(|e| e.to_string())?;
        let lag = &answer.json()["lag"];
        let done = lag["store"]["batches"] == 0 && lag["live"]["batches"] == 0;
        if done { Ok(()) } else { Err(answer.text().to_owned()) }
    });
}
