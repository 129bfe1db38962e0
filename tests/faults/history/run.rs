//! Histories of two real nodes on one Postgres and one Redis, under a schedule of faults that a seed
//! decides. The seed is printed; `HISTORY_SEED=… cargo nextest run --test faults history` runs the
//! same schedule again. What happens between the faults is up to the machine.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{History, Settled, check::check, recorder::Recorder, rules::Broken};
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
    /// All live counters are gone while there is no Postgres to make them from again.
    FlushAllWithoutPostgres,
    /// Redis starts again on the file that it saved a moment before.
    RedisGoesBack,
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
        match self.random.random_range(0..8) {
            0 | 1 => Fault::Kill(node),
            2 => Fault::FlushAll,
            3 => Fault::Halt(node),
            4 => Fault::RedisHalts,
            5 => Fault::PostgresCrashes,
            6 => Fault::FlushAllWithoutPostgres,
            _ => Fault::RedisGoesBack,
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

    fn breaks(&mut self, fault: Fault, schedule: &mut Schedule) {
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
            Fault::FlushAllWithoutPostgres => {
                self.servers.postgres.stop_immediate();
                self.servers.redis.flushall();
                schedule.pause();
                self.servers.postgres.start_again();
            }
            Fault::RedisGoesBack => {
                self.servers.redis.run::<()>(&["SAVE"]);
                schedule.pause();
                self.servers.redis.restart();
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
    fn close(self) -> Vec<Broken> {
        until("the history says something", || {
            let seen = |history: &mut History| {
                (history.sent.len(), history.readings.len(), history.frames.len())
            };
            let (sends, readings, frames) = self.recorder.with(seen);
            let is_enough = sends > 50 && readings > 50 && frames > 10;
            is_enough.then_some(()).ok_or_else(|| format!("{sends}, {readings}, {frames}"))
        });
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
        check(&history)
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

/// Runs a schedule of faults, settles after every third, and judges what was seen.
fn scheduled(mut schedule: Schedule, faults: impl IntoIterator<Item = Option<Fault>>) {
    let mut observed = Observed::start();
    schedule.pause();
    for (number, fault) in faults.into_iter().enumerate() {
        let fault = fault.unwrap_or_else(|| schedule.fault());
        observed.breaks(fault, &mut schedule);
        schedule.pause();
        if number % 3 == 2 {
            observed.settle();
            schedule.pause();
        }
    }
    let broken = observed.close();
    let told: Vec<String> = broken.iter().take(10).map(ToString::to_string).collect();
    let all = broken.len();
    assert!(broken.is_empty(), "{all} rules are broken, the first:\n  {}", told.join("\n  "));
}

#[test]
fn a_history_of_two_nodes_keeps_the_rules() {
    scheduled(Schedule::new(), [None; 6]);
}

/// Each kind of fault by itself, so that a rule that it breaks is known by the fault's name.
#[test]
fn totals_keep_the_rules_when_redis_goes_back() {
    scheduled(Schedule::new(), [Some(Fault::RedisGoesBack); 6]);
}

#[test]
fn totals_keep_the_rules_when_redis_is_emptied_while_postgres_is_gone() {
    scheduled(Schedule::new(), [Some(Fault::FlushAllWithoutPostgres); 6]);
}

#[test]
fn totals_keep_the_rules_when_a_node_is_killed() {
    scheduled(Schedule::new(), [0, 1, 0, 1, 0, 1].map(|node| Some(Fault::Kill(node))));
}

/// Somebody takes one row out of the store and copies another one.
#[test]
fn what_is_done_behind_the_nodes_is_found() {
    let observed = Observed::start();
    thread::sleep(Duration::from_millis(500));
    observed.settle();
    let servers = &observed.servers;
    let nth =
        |n| format!("(SELECT id FROM events WHERE type = 'error' ORDER BY id OFFSET {n} LIMIT 1)");
    servers.sql(&format!("DELETE FROM events WHERE id = {}", nth(0)));
    servers.sql(&format!("INSERT INTO events SELECT * FROM events WHERE id = {}", nth(1)));
    let broken = observed.close();
    let kinds: Vec<_> = broken.iter().map(std::mem::discriminant).collect();
    let found = |broken: Broken| kinds.contains(&std::mem::discriminant(&broken));
    assert!(found(Broken::NotStored(Vec::new())), "{broken:?}");
    assert!(found(Broken::StoredTwice(Vec::new())), "{broken:?}");
    let (who, sums) = (String::new, Sums::default);
    let counted = Broken::CountedTwice { who: who(), shows: sums(), rows: sums() };
    assert!(found(counted), "the counters have an event more than there are rows: {broken:?}");
}

#[test]
#[ignore = "long: ./test --soak"]
fn a_long_history_of_two_nodes_keeps_the_rules() {
    scheduled(Schedule::new(), [None; 120]);
}
