//! One or more nodes on the same servers, everything that was sent to them, and the batches that
//! their store once had.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    load::{Account, Load, Plan},
    node::Node,
    shop::{BRISK, Servers, Stored},
    verdict::Found,
    wait::until,
};

/// A load that leaves a slow machine some time for what else a test runs.
const LOAD: Plan = Plan { senders: 2, events: 20, rate: Some(2000), ids: false, twice: false };

/// A batch by what its ledger row says: node (or run) and seq, with the number of its events.
pub type Ledger = BTreeMap<(String, u64), u64>;

/// The nodes of one shop on their servers, or one node with neither.
pub struct Installation {
    // The first field is dropped first: the nodes must end before their servers do.
    pub nodes: Vec<Node>,
    /// The rows that each node counts on its today, as a condition of SQL: all of them, unless the
    /// nodes' clocks differ.
    pub today: Vec<&'static str>,
    pub servers: Option<Servers>,
    pub account: Account,
    /// Every ledger row that the store had when the test looked ([`Installation::look`]).
    pub known: Ledger,
    settings: Vec<(String, String)>,
    next_load: u64,
}

impl Installation {
    /// Starts a shop with one node on a Postgres and a Redis of its own. The loads of several
    /// installations of one test begin at different numbers, so that their events differ.
    pub fn on_servers(first_load: u64, settings: &[(&str, &str)]) -> Installation {
        let servers = Servers::start();
        let places = servers.settings();
        let all = places.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let all: Vec<_> = all.chain(settings.iter().copied()).collect();
        Installation::with(first_load, Some(servers), &all)
    }

    /// Starts a shop with one node that keeps all in SQLite and in its process.
    pub fn embedded(first_load: u64, settings: &[(&str, &str)]) -> Installation {
        Installation::with(first_load, None, settings)
    }

    fn with(first_load: u64, servers: Option<Servers>, settings: &[(&str, &str)]) -> Installation {
        let owned = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        let settings = BRISK.iter().chain(settings).copied().map(owned).collect();
        let (nodes, today) = (Vec::new(), Vec::new());
        let (account, known) = (Account::default(), Ledger::new());
        let next_load = first_load;
        let mut shop = Installation { nodes, today, servers, account, known, settings, next_load };
        shop.add_node(&[]);
        shop.is_ready();
        shop
    }

    /// Starts one more node on the same servers, with further settings of its own.
    pub fn add_node(&mut self, settings: &[(&str, &str)]) {
        self.attempt_node(settings).unwrap_or_else(|log| panic!("a node does not start: {log}"));
    }

    /// Starts one more node, which may refuse to start.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn attempt_node(&mut self, settings: &[(&str, &str)]) -> Result<(), String> {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).expect("a data dir");
        self.attempt_node_on(scratch, data, settings)
    }

    /// The same on a data folder that the test has prepared.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn attempt_node_on(
        &mut self,
        scratch: tempfile::TempDir,
        data: PathBuf,
        settings: &[(&str, &str)],
    ) -> Result<(), String> {
        let node = Node::attempt_on(scratch, data, &self.settings_with(settings))?;
        self.nodes.push(node);
        self.today.push("true");
        Ok(())
    }

    /// The settings of all nodes, and then these.
    fn settings_with<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let all = self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        all.chain(more.iter().copied()).collect()
    }

    pub fn node(&mut self) -> &mut Node {
        &mut self.nodes[0]
    }

    pub fn servers(&mut self) -> &mut Servers {
        self.servers.as_mut().expect("it has servers")
    }

    fn is_ready(&self) {
        until("the first node is ready", || match self.nodes[0].reasons() {
            reasons if reasons.is_empty() => Ok(()),
            reasons => Err(format!("{reasons:?}")),
        });
    }

    /// The nodes that run; a test may have ended others.
    pub fn living(&mut self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].lives()).collect()
    }

    /// Begins to send to all nodes in turn. A node that is down is passed over.
    pub fn load(&mut self) -> Load {
        self.load_with(LOAD)
    }

    /// Begins to send by another plan.
    pub fn load_with(&mut self, plan: Plan) -> Load {
        self.next_load += 1;
        let addrs: Vec<_> = self.nodes.iter().map(Node::addr).collect();
        Load::over(&addrs, self.next_load - 1, plan)
    }

    /// Sends until this many events more are answered with 202.
    pub fn sends(&mut self, events: u64) {
        let load = self.load();
        goes_on(&load, events);
        self.account.add(load.stop());
    }

    /// Sends before, during and after the fault, then a few events more.
    pub fn under_load(&mut self, events: u64, fault: impl FnOnce(&mut Installation)) {
        let load = self.load();
        goes_on(&load, 200);
        fault(self);
        goes_on(&load, events);
        self.account.add(load.stop());
    }

    /// Waits until both sinks of all living nodes have everything.
    pub fn settles(&mut self) {
        // An open batch does not count as waiting, so the rows are looked at as well. Events that
        // the fault before has lost never come; that is for the end of the test to say.
        let begin = Instant::now();
        while Found::between(&self.account, &self.stored()).lost > 0
            && begin.elapsed() < Duration::from_secs(8)
        {
            thread::sleep(Duration::from_millis(50));
        }
        until("both sinks have everything", || match self.unsettled() {
            None => Ok(()),
            Some(why) => Err(why),
        });
    }

    /// What still waits in a spool, in words.
    pub fn unsettled(&mut self) -> Option<String> {
        let living = self.living();
        living.into_iter().find_map(|node| {
            let ready = self.nodes[node].get("/readyz");
            let lag = &ready["lag"];
            let rests = lag["store"]["batches"] == 0 && lag["live"]["batches"] == 0;
            (!rests).then(|| format!("node {node} says {ready}"))
        })
    }

    /// Everything that the store holds.
    pub fn stored(&self) -> Stored {
        match &self.servers {
            Some(servers) => servers.stored(),
            None => Stored::embedded(self.nodes[0].data()),
        }
    }

    /// The batches that the store has.
    pub fn ledger(&self) -> Ledger {
        let Some(servers) = &self.servers else {
            return embedded_ledger(self.nodes[0].data());
        };
        let rows = servers.sql("SELECT node, seq, events FROM ledger");
        let number = |text: &str| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        rows.into_iter().map(|row| ((row[0].clone(), number(&row[1])), number(&row[2]))).collect()
    }

    /// Notes which batches the store has now. All nodes are halted meanwhile, so nothing is
    /// committed between this and what `then` does to the store.
    pub fn look(&mut self, then: impl FnOnce(&mut Installation)) {
        for node in self.living() {
            self.nodes[node].signal(Signal::SIGSTOP);
        }
        // A transaction whose COMMIT has been sent still ends.
        thread::sleep(Duration::from_millis(200));
        let now = self.ledger();
        self.known.extend(now);
        then(self);
        for node in self.living() {
            self.nodes[node].signal(Signal::SIGCONT);
        }
    }
}

fn embedded_ledger(data: &Path) -> Ledger {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(data.join("floodmark.db"), flags);
    let database = database.expect("the store");
    let mut query = database.prepare("SELECT hex(node), seq, events FROM ledger").expect("ledger");
    let rows = query.query_map([], |row| {
        let (seq, events): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(((row.get(0)?, seq as u64), events as u64))
    });
    rows.expect("the ledger").map(|row| row.expect("a row")).collect()
}

/// Waits until this many events more are answered with 202.
pub fn goes_on(load: &Load, events: u64) {
    let enough = load.answered() + events;
    until(&format!("{events} events more are answered with 202"), || {
        let (answered, refused) = (load.answered(), load.refused());
        if answered >= enough {
            return Ok(());
        }
        Err(format!("{answered} answered with 202 of {enough}, {refused} refused"))
    });
}

/// Copies a data folder, whether its node runs or not, as a backup does it.
pub fn copy_folder(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    // A segment may be removed while the folder is read, so cp may miss it and say so.
    status.expect("cp runs");
}

/// Exchanges a data folder for another one, which is moved to its place.
pub fn replace_folder(old: &Path, with: &Path) {
    std::fs::remove_dir_all(old).expect("the old folder");
    std::fs::rename(with, old).expect("the copy");
}
