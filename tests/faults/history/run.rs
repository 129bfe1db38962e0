//! Histories of two real nodes on one Postgres and one Redis, under a schedule of faults that a seed
//! decides. The seed is printed; `HISTORY_SEED=… cargo nextest run --test faults history` runs the
//! same schedule again. What happens between the faults is up to the machine.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Settled, check::check, recorder::Recorder};
use crate::{
    node::Node,
    shop::{BRISK, Servers, Stored},
    support::sums::Sums,
    wait::until,
};

/// Faults of a schedule.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// kill -9 of a node, and its start.
    Kill(usize),
    /// SIGSTOP of a node, and SIGCONT.
    Halt(usize),
    /// All live counters are gone.
    FlushAll,
    /// Redis stands still.
    RedisHalts,
    /// Postgres crashes and starts again.
    PostgresCrashes,
}

struct Schedule {
    random: StdRng,
}

impl Schedule {
    /// The schedule of the seed that is asked for, or of a new one.
    fn new() -> Schedule {
        let asked = std::env::var("HISTORY_SEED").ok();
        let seed = asked.map_or_else(rand::random, |seed| seed.parse().expect("a number"));
        println!("the seed of this schedule: HISTORY_SEED={seed}");
        Schedule { random: StdRng::seed_from_u64(seed) }
    }

    fn fault(&mut self) -> Fault {
        let node = self.random.random_range(0..2);
        match self.random.random_range(0..7) {
            0 | 1 => Fault::Kill(node),
            2 | 3 => Fault::FlushAll,
            4 => Fault::Halt(node),
            5 => Fault::RedisHalts,
            _ => Fault::PostgresCrashes,
        }
    }

    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(self.random.random_range(100..500)));
    }
}

/// Two nodes, their servers, and the recorder of what is seen of them.
struct Observed {
    nodes: [Node; 2],
    servers: Servers,
    recorder: Recorder,
}

impl Observed {
    fn start() -> Observed {
        let servers = Servers::start();
        let places = servers.settings();
        let mut settings: Vec<(&str, &str)> = BRISK.to_vec();
        settings.extend(places.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let nodes = [(); 2].map(|()| Node::start(&settings));
        for node in &nodes {
            until("a node is ready", || match node.reasons() {
                reasons if reasons.is_empty() => Ok(()),
                reasons => Err(format!("{reasons:?}")),
            });
        }
        let recorder = Recorder::start(&[nodes[0].addr(), nodes[1].addr()]);
        Observed { nodes, servers, recorder }
    }

    fn break_something(&mut self, schedule: &mut Schedule) {
        let fault = schedule.fault();
        println!("{} ms: {fault:?}", self.recorder.now());
        match fault {
            Fault::Kill(node) => {
                self.nodes[node].kill();
                self.nodes[node].restart();
            }
            Fault::Halt(node) => {
                self.nodes[node].signal(Signal::SIGSTOP);
                schedule.pause();
                self.nodes[node].signal(Signal::SIGCONT);
            }
            Fault::FlushAll => self.servers.redis.flushall(),
            Fault::RedisHalts => {
                self.servers.redis.pause();
                schedule.pause();
                self.servers.redis.resume();
            }
            Fault::PostgresCrashes => {
                self.servers.postgres.stop_immediate();
                schedule.pause();
                self.servers.postgres.start_again();
            }
        }
    }

    /// Halts the senders until both sinks of both nodes have everything, and notes that.
    fn settle(&self) {
        self.recorder.sends(false);
        until("no request is under way", || {
            self.recorder.rests().then_some(()).ok_or_else(|| "one still is".to_owned())
        });
        let before = self.recorder.now();
        // An open batch is sealed within this; until then it does not count as waiting.
        thread::sleep(Duration::from_millis(300));
        for node in &self.nodes {
            until("both sinks have everything", || {
                let ready = node.get("/readyz");
                let lag = &ready["lag"];
                let rests = lag["store"]["batches"] == 0 && lag["live"]["batches"] == 0;
                rests.then_some(()).ok_or_else(|| ready.to_string())
            });
        }
        let at = self.recorder.now();
        self.recorder.with(|history| history.settled.push(Settled { before, at }));
        self.recorder.sends(true);
    }

    /// Waits until nodes and viewers show what the rows add up to, notes what they show, and judges
    /// the history.
    fn close(self) {
        self.settle();
        self.recorder.sends(false);
        until("no request is under way", || {
            self.recorder.rests().then_some(()).ok_or_else(|| "one still is".to_owned())
        });
        let mut rows = Stored::default();
        let mut shown = Vec::new();
        // Whether they ever do is for the checker to say.
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(100));
            rows = self.servers.stored();
            let wanted = Sums { counts: rows.counts.clone(), revenue: rows.revenue };
            shown = self.shown();
            if shown.iter().all(|(_, sums)| *sums == wanted) {
                break;
            }
        }
        let mut history = self.recorder.stop();
        history.rows = rows.events;
        history.last = shown.into_iter().collect();
        let (sends, readings) = (history.sent.len(), history.readings.len());
        let frames = history.frames.len();
        println!("{sends} requests, {readings} readings, {frames} frames");
        assert!(sends > 50 && readings > 50 && frames > 10, "a history that says something");
        let broken = check(&history);
        let told: Vec<String> = broken.iter().take(10).map(ToString::to_string).collect();
        let all = broken.len();
        assert!(broken.is_empty(), "{all} rules are broken, the first:\n  {}", told.join("\n  "));
    }

    /// What each node shows now, and what each viewer has added up.
    fn shown(&self) -> Vec<(String, Sums)> {
        let nodes = self.nodes.iter().enumerate();
        let mut shown: Vec<(String, Sums)> = nodes
            .map(|(number, node)| (format!("node {number}"), Sums::of_current(&node.current())))
            .collect();
        let frames = self.recorder.with(|history| history.frames.clone());
        for viewer in ["viewer 0", "viewer 1"] {
            let mut sums = Sums::default();
            for frame in frames.iter().filter(|frame| frame.viewer == viewer) {
                if let Some((_, totals)) = &frame.snapshot {
                    sums = totals.clone();
                }
                for (kind, count) in &frame.adds.counts {
                    *sums.counts.entry(kind.clone()).or_default() += count;
                }
                sums.revenue += frame.adds.revenue;
            }
            shown.push((viewer.to_owned(), sums));
        }
        shown
    }
}

/// Runs a schedule of this many faults, and settles after every third.
fn scheduled(faults: usize) {
    let mut schedule = Schedule::new();
    let mut observed = Observed::start();
    schedule.pause();
    for fault in 0..faults {
        observed.break_something(&mut schedule);
        schedule.pause();
        if fault % 3 == 2 {
            observed.settle();
            schedule.pause();
        }
    }
    observed.close();
}

#[test]
fn a_history_of_two_nodes_keeps_the_rules() {
    scheduled(6);
}

#[test]
#[ignore = "long: ./test --soak"]
fn a_long_history_of_two_nodes_keeps_the_rules() {
    scheduled(120);
}
