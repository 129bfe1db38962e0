//! Records a history of nodes: senders, readers and viewers, each on a thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use super::{Event, Framed, History, Moment, Reading, Sent};
use crate::{
    load::Outcome,
    support::{
        client::{Received, Request, WebSocket},
        sums::Sums,
        viewer::STREAM,
    },
};

/// Events in a request.
const EVENTS: u64 = 10;
/// How long a sender waits between two requests, and a reader between two readings.
const PAUSE: Duration = Duration::from_millis(15);

/// A history that is being recorded.
pub struct Recorder {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    begin: Instant,
    history: Mutex<History>,
    /// Senders send only while this is set.
    sending: AtomicBool,
    /// The number of requests that are under way, with those that are sent again until they are
    /// answered.
    under_way: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn now(&self) -> Moment {
        self.begin.elapsed().as_millis() as Moment
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Recorder {
    /// Begins: two senders, a reader and a viewer for each node.
    pub fn start(nodes: &[SocketAddr]) -> Recorder {
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            history: Mutex::default(),
            sending: AtomicBool::new(true),
            under_way: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (node, addr) in nodes.iter().copied().enumerate() {
            for sender in 0..2 {
                let shared = shared.clone();
                let number = node as u64 * 2 + sender;
                threads.push(thread::spawn(move || send(&shared, addr, number)));
            }
            let (reads, watches) = (shared.clone(), shared.clone());
            threads.push(thread::spawn(move || read(&reads, addr, &format!("node {node}"))));
            threads.push(thread::spawn(move || watch(&watches, addr, &format!("viewer {node}"))));
        }
        Recorder { shared, threads }
    }

    pub fn now(&self) -> Moment {
        self.shared.now()
    }

    /// Lets the senders send, or halts them. Halted, they still get their answers, and send again
    /// what got none.
    pub fn sends(&self, on: bool) {
        self.shared.sending.store(on, Ordering::SeqCst);
    }

    /// Whether no request is under way.
    pub fn rests(&self) -> bool {
        self.shared.under_way.load(Ordering::SeqCst) == 0
    }

    /// Looks at the history so far, or adds to it.
    pub fn with<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut self.shared.history.lock())
    }

    /// Ends all threads and gives the history.
    pub fn stop(self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a thread of the recorder");
        }
        let mut history = self.shared.history.lock();
        std::mem::take(&mut history)
    }
}

/// Event `n`, as it is sent and as the checker knows it. All amounts are whole.
fn event(n: u64) -> (Value, Event) {
    let (kind, amount) = match n % 3 {
        0 => ("purchase", n % 200 + 1),
        1 => ("error", 0),
        _ => ("page_view", 0),
    };
    let mut sent = serde_json::json!({"type": kind, "id": format!("h{n}"), "properties": {"n": n}});
    if amount > 0 {
        sent["properties"]["amount"] = amount.into();
    }
    (sent, Event { kind: kind.to_owned(), amount: amount as i64 * 10_000 })
}

/// Sends requests to one node, each until it has its 202: with the same ids, so it counts once.
fn send(shared: &Shared, addr: SocketAddr, number: u64) {
    let mut next = number << 32;
    while !shared.stops() {
        // First under way, then the look, so that nobody who halts the senders misses a request.
        shared.under_way.fetch_add(1, Ordering::SeqCst);
        if shared.sending.load(Ordering::SeqCst) {
            send_one(shared, addr, number, next);
            next += EVENTS;
        }
        shared.under_way.fetch_sub(1, Ordering::SeqCst);
        thread::sleep(PAUSE);
    }
}

fn send_one(shared: &Shared, addr: SocketAddr, number: u64, first: u64) {
    let ids: Vec<u64> = (first..first + EVENTS).collect();
    let (events, known): (Vec<Value>, Vec<Event>) = ids.iter().map(|n| event(*n)).unzip();
    shared.history.lock().events.extend(ids.iter().copied().zip(known));
    let body = serde_json::to_vec(&events).expect("JSON");
    while !shared.stops() {
        // Noted before it is sent: whoever shows these events meanwhile shows nothing wrong.
        let at = {
            let mut history = shared.history.lock();
            let (begun, sender) = (shared.now(), format!("sender {number}"));
            let (ended, outcome, events) = (Moment::MAX, Outcome::Silent, ids.clone());
            history.sent.push(Sent { sender, begun, ended, events, outcome });
            history.sent.len() - 1
        };
        let answer = Request::post(addr, "/v1/events", &body[..]).send();
        let outcome = match answer {
            Ok(answer) if answer.status == 202 => Outcome::Answered,
            Ok(answer) => {
                let code = answer.json()["error"]["code"].clone();
                assert_eq!(answer.status, 503, "{code}");
                match code == "spool_failed" || code == "stopping" {
                    true => Outcome::Silent,
                    false => Outcome::Refused,
                }
            }
            Err(_) => Outcome::Silent,
        };
        let mut history = shared.history.lock();
        let ended = shared.now();
        let sent = &mut history.sent[at];
        (sent.ended, sent.outcome) = (ended, outcome);
        drop(history);
        if outcome == Outcome::Answered {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Asks one node for its totals again and again.
fn read(shared: &Shared, addr: SocketAddr, name: &str) {
    while !shared.stops() {
        let begun = shared.now();
        if let Ok(answer) = Request::get(addr, "/api/analytics/current").send()
            && answer.status == 200
        {
            let current = answer.json();
            let (node, ended) = (name.to_owned(), shared.now());
            let day = current["day"].as_str().expect("a day").to_owned();
            let (shows, behind) = (Sums::of_current(&current), !current["behindMs"].is_null());
            let reading = Reading { node, begun, ended, day, shows, behind };
            shared.history.lock().readings.push(reading);
        }
        thread::sleep(PAUSE);
    }
}

/// Follows the stream of one node. A viewer that is cut off resumes where it was.
fn watch(shared: &Shared, addr: SocketAddr, name: &str) {
    let mut resume = String::new();
    while !shared.stops() {
        let path = format!("{STREAM}{resume}");
        let connected = WebSocket::attempt(addr, &path, &[], Duration::from_secs(1));
        let Ok(mut socket) = connected else {
            thread::sleep(PAUSE);
            continue;
        };
        while !shared.stops() {
            let frame = match socket.try_receive() {
                Some(Received::Frame(frame)) => frame,
                None => continue,
                Some(Received::Closed(..)) => break,
            };
            let framed = framed(name, shared.now(), &frame);
            let epoch = frame["epoch"].as_str().map(str::to_owned);
            let epoch = epoch.or_else(|| Some(resume.split([':', '=']).nth(1)?.to_owned()));
            resume = format!("?resume={}:{}", epoch.expect("a snapshot comes first"), framed.seq);
            shared.history.lock().frames.push(framed);
        }
    }
}

fn framed(viewer: &str, at: Moment, frame: &Value) -> Framed {
    let snapshot = (frame["type"] == "snapshot").then(|| {
        let snapshot = &frame["snapshot"];
        let day = snapshot["day"].as_str().expect("a day").to_owned();
        (day, Sums::of_current(snapshot))
    });
    Framed {
        viewer: viewer.to_owned(),
        at,
        seq: frame["seq"].as_u64().expect("seq"),
        snapshot,
        adds: Sums::of_current(frame),
        behind: !frame["behindMs"].is_null(),
    }
}
