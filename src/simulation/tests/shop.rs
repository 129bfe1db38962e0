//! Nodes, a store and a live side, with what befalls them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    Planted,
    chance::Chance,
    live::{LiveState, ModelLive},
    node::{Answer, Node},
    store::{ModelStore, StoreState},
};
use crate::{
    domain::{
        batch::LANES,
        time::{HOUR, MINUTE, Millis, SECOND, simulated},
    },
    sink::Sink,
    spool::disk::{faults, power},
};

/// 2026-11-27T08:00:00Z, a Black Friday.
const START: Millis = 1_795_766_400_000;

/// All lanes of both sinks.
fn lanes() -> impl Iterator<Item = (Sink, u64)> {
    Sink::ALL.into_iter().flat_map(|sink| (0..LANES).map(move |lane| (sink, lane)))
}

/// A copy of a folder, and which acknowledged events it holds.
struct FolderCopy {
    node: usize,
    dir: PathBuf,
    holds: Vec<u64>,
}

/// All that there is in one run of the simulation.
pub struct Shop {
    pub chance: Chance,
    pub planted: Planted,
    pub store: Arc<ModelStore>,
    pub live: Arc<ModelLive>,
    pub nodes: Vec<Node>,
    dir: tempfile::TempDir,
    /// How much time has passed, in ms.
    passed: Millis,
    copies: Vec<FolderCopy>,
    store_copies: Vec<StoreState>,
    live_copies: Vec<LiveState>,
    /// How many events were sent; their numbers are those below.
    pub sent: u64,
    pub acknowledged: BTreeSet<u64>,
    /// Acknowledged events that were put back with their folder; the store may be the only one that
    /// has them.
    pub discarded: BTreeSet<u64>,
    /// Discarded events that nobody has any more.
    pub gone: BTreeSet<u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub trace: String,
}

impl Shop {
    pub fn new(seed: u64, planted: Planted) -> Shop {
        let chance = Chance::new(seed);
        let store = Arc::new(ModelStore::new(planted, chance.clone()));
        let memory = PathBuf::from("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let mut shop = Shop {
            live: Arc::new(ModelLive::new(store.clone(), chance.clone())),
            store,
            chance,
            planted,
            nodes: Vec::new(),
            dir: dir.expect("a folder for the simulation"),
            passed: 0,
            copies: Vec::new(),
            store_copies: Vec::new(),
            live_copies: Vec::new(),
            sent: 0,
            acknowledged: BTreeSet::new(),
            discarded: BTreeSet::new(),
            gone: BTreeSet::new(),
            faults: BTreeMap::new(),
            trace: String::new(),
        };
        for name in ["a", "b"] {
            let dir = shop.dir.path().join(name);
            shop.nodes.push(Node::new(name.to_owned(), dir));
            shop.start(shop.nodes.len() - 1);
        }
        shop
    }

    pub fn note(&mut self, what: &str) {
        let _ = writeln!(self.trace, "{:>9} ms  {what}", self.passed);
    }

    pub fn pass(&mut self, ms: Millis) {
        self.passed += ms;
    }

    /// Sets the clocks to those of a node.
    fn clocks_of(&self, node: usize) {
        let passed = Duration::from_millis(self.passed as u64);
        simulated::set(START + self.passed + self.nodes[node].skew, passed);
    }

    /// The time when an event happened, by its number.
    pub fn time_of(event: u64) -> Millis {
        START + event as Millis * SECOND
    }

    pub fn start(&mut self, node: usize) {
        self.clocks_of(node);
        let mut starting =
            std::mem::replace(&mut self.nodes[node], Node::new("none".to_owned(), PathBuf::new()));
        if starting.up.is_none() {
            let is_up = starting.start(self);
            self.note(&format!("{} starts: {is_up}", starting.name));
        }
        self.nodes[node] = starting;
    }

    /// A client sends a few events to a node.
    pub fn send(&mut self, node: usize, seal: bool) {
        self.clocks_of(node);
        let first = self.sent;
        let n = 1 + self.chance.below(3);
        let events: Vec<_> =
            (first..first + n).map(|event| (event, Shop::time_of(event))).collect();
        if self.nodes[node].up.is_none() {
            return;
        }
        self.sent += n;
        let answer = self.nodes[node].take_in(&events, seal);
        let said = match answer {
            Answer::Accepted => {
                self.acknowledged.extend(first..first + n);
                "202"
            }
            Answer::Refused => "503",
            Answer::None => "no answer",
        };
        let name = self.nodes[node].name.clone();
        self.note(&format!("{name} gets {first}..{} (seal {seal}): {said}", first + n));
    }

    /// One lane of one sink of a node goes on.
    pub fn turn(&mut self, node: usize, sink: Sink, lane: u64, look: bool) -> bool {
        self.clocks_of(node);
        let planted = self.planted;
        let Some(up) = &mut self.nodes[node].up else { return false };
        let worked = up.turn(sink, lane, look, planted);
        let is_miscounted = up.store.miscounted().notified().now_or_never().is_some();
        let log = std::mem::take(&mut *self.store.log.lock());
        log.iter().for_each(|line| self.note(line));
        if is_miscounted {
            self.live.rebuild_now();
            self.note("the counters are rebuilt, since one run went on twice");
        }
        worked
    }

    pub fn retire(&mut self, node: usize) {
        self.clocks_of(node);
        if let Some(up) = &mut self.nodes[node].up
            && !up.retire()
        {
            self.nodes[node].up = None;
        }
    }

    pub fn drop_ledger(&mut self, node: usize) {
        let server = START + self.passed;
        self.store.drop_ledger(server + self.nodes[node].skew, server);
    }

    /// A request that was given up arrives.
    pub fn arrive_late(&mut self) {
        let late = self.store.late.lock().pop();
        if let Some(batch) = late {
            let written = self.store.commit(&batch);
            self.note(&format!("batch {} arrives late: {written:?}", batch.id.seq));
        }
    }

    /// Something goes wrong.
    pub fn fault(&mut self) {
        let node = self.chance.below(self.nodes.len() as u64) as usize;
        let what = match self.chance.below(14) {
            0 | 1 => self.kill(node),
            2 => self.power_cut(node),
            3 => self.full_disk(node),
            4 | 5 => self.copy_or_roll_back(node),
            6 => self.clone_node(),
            7 | 8 => self.store_comes_back_older(),
            9 => self.live_comes_back_older(),
            10 => {
                *self.live.state.lock() = LiveState { is_empty: true, ..LiveState::default() };
                "the live side is emptied"
            }
            // Longer than segments are kept.
            12 => {
                for _ in 0..2 {
                    (0..self.nodes.len()).for_each(|node| self.retire(node));
                    self.pass(2 * HOUR);
                }
                (0..self.nodes.len()).for_each(|node| self.retire(node));
                "hours pass"
            }
            11 => {
                let hours = [-72, -1, 1, 72][self.chance.below(4) as usize];
                self.nodes[node].skew = hours * HOUR;
                self.drop_ledger(node);
                "a clock jumps"
            }
            _ => {
                *self.store.away.lock() = self.chance.below(30);
                *self.live.away.lock() = self.chance.below(30);
                "both sinks are away"
            }
        };
        *self.faults.entry(what).or_default() += 1;
        let name = self.nodes[node].name.clone();
        self.note(&format!("FAULT {what} ({name})"));
    }

    fn kill(&mut self, node: usize) -> &'static str {
        self.nodes[node].up = None;
        "kill"
    }

    fn power_cut(&mut self, node: usize) -> &'static str {
        power::cut_after(self.chance.below(12) as u32, self.chance.any());
        self.send(node, true);
        self.retire(node);
        power::on();
        self.nodes[node].up = None;
        "power cut"
    }

    fn full_disk(&mut self, node: usize) -> &'static str {
        faults::fail_write(0, std::io::ErrorKind::StorageFull);
        self.send(node, true);
        faults::reset();
        "disk full"
    }

    /// Copies a folder, or puts a node back to the copy of its folder that was taken last.
    fn copy_or_roll_back(&mut self, node: usize) -> &'static str {
        let Some(at) = self.copies.iter().rposition(|copy| copy.node == node) else {
            self.take_copy(node);
            return "a folder is copied";
        };
        let copy = self.copies.remove(at);
        self.nodes[node].up = None;
        let kept: BTreeSet<u64> = copy.holds.iter().copied().collect();
        let stored = self.store.state.lock().rows.clone();
        for event in self.nodes[node].holds.iter().filter(|event| !kept.contains(event)) {
            match stored.contains_key(event) {
                true => self.discarded.insert(*event),
                false => self.gone.insert(*event),
            };
        }
        let dir = self.nodes[node].dir.clone();
        fs::remove_dir_all(&dir).expect("the folder is there");
        fs::rename(&copy.dir, &dir).expect("the copy is there");
        self.nodes[node].holds = copy.holds;
        "a folder is put back"
    }

    fn take_copy(&mut self, node: usize) {
        let dir = self.dir.path().join(format!("copy-{}-{}", self.passed, self.chance.any()));
        self.nodes[node].copy_to(&dir);
        let holds = self.nodes[node].holds.clone();
        self.copies.push(FolderCopy { node, dir, holds });
    }

    fn clone_node(&mut self) -> &'static str {
        if self.nodes.len() < 4 {
            let of = self.chance.below(self.nodes.len() as u64) as usize;
            let number = self.nodes.len();
            let name = format!("{}{number}", self.nodes[of].name);
            let dir = self.dir.path().join(&name);
            self.nodes[of].copy_to(&dir);
            let mut clone = Node::new(name, dir);
            clone.holds = self.nodes[of].holds.clone();
            self.nodes.push(clone);
            self.start(number);
        }
        "a clone"
    }

    fn store_comes_back_older(&mut self) -> &'static str {
        let Some(older) = self.store_copies.pop() else { return "nothing" };
        let lost = |event: &u64| !older.rows.contains_key(event);
        self.gone.extend(self.discarded.iter().copied().filter(lost));
        *self.store.state.lock() = older;
        "the store comes back older"
    }

    fn live_comes_back_older(&mut self) -> &'static str {
        let Some(older) = self.live_copies.pop() else { return "nothing" };
        *self.live.state.lock() = older;
        "the live side comes back older"
    }

    /// Somebody makes copies of what the servers have.
    pub fn remember(&mut self) {
        match self.chance.below(3) {
            0 => self.live_copies.push(self.live.state.lock().clone()),
            1 => self.store_copies.push(self.store.state.lock().clone()),
            _ => {
                let node = self.chance.below(self.nodes.len() as u64) as usize;
                self.take_copy(node);
            }
        }
    }

    /// Everything is well from now on. Nodes are started, and work until nothing is left to do.
    pub fn heal(&mut self) -> Result<(), String> {
        self.note("everything heals");
        *self.store.away.lock() = 0;
        *self.live.away.lock() = 0;
        // Looks are few from here on, and one that fails is not repeated before the end.
        *self.store.loses.lock() = 0;
        *self.live.loses.lock() = 0;
        let mut quiet = 0;
        for _ in 0..400 {
            if self.live.state.lock().is_empty {
                self.live.rebuild_now();
            }
            while !self.store.late.lock().is_empty() {
                self.arrive_late();
            }
            for node in 0..self.nodes.len() {
                self.nodes[node].skew = 0;
                self.start(node);
                if self.nodes[node].up.as_ref().is_some_and(|up| up.has_open()) {
                    self.send(node, true);
                    quiet = 0;
                }
                // All batches, then a look at each lane. Lanes wait for each other, so all go on.
                self.all_lanes(node);
                for (sink, lane) in lanes() {
                    self.turn(node, sink, lane, true);
                }
                self.all_lanes(node);
            }
            // Longer than any look waits for the next.
            self.pass(61 * SECOND);
            let drained = |node: &Node| node.up.as_ref().is_some_and(|up| up.is_drained());
            quiet = if self.nodes.iter().all(drained) { quiet + 1 } else { 0 };
            if quiet >= 3 {
                return Ok(());
            }
        }
        for node in 0..self.nodes.len() {
            let state = self.nodes[node].up.as_ref().map_or("down".to_owned(), |up| up.state());
            let name = self.nodes[node].name.clone();
            self.note(&format!("{name}: {state}"));
        }
        Err("it did not drain".to_owned())
    }

    /// Lets all lanes of a node go on until nothing is left to do, or for long enough.
    fn all_lanes(&mut self, node: usize) {
        for _ in 0..500 {
            let worked = lanes().filter(|&(sink, lane)| self.turn(node, sink, lane, false)).count();
            if worked == 0 {
                return;
            }
        }
    }

    pub fn some_time(&mut self) {
        let ms = match self.chance.below(20) {
            0 => 70 * MINUTE,
            1..=4 => MINUTE,
            _ => SECOND,
        };
        self.pass(ms);
    }
}
