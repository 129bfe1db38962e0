//! Load that knows what became of each of its requests.

use std::{
    collections::HashMap,
    fmt::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::support::client::{Answer, Connection, Request};

/// How events are sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, one request at a time on each.
    pub senders: u64,
    /// Events of one request.
    pub events: u64,
    /// Events a second, of all senders together; `None` for as fast as answers come.
    pub rate: Option<u64>,
    /// Each event carries an id.
    pub ids: bool,
    /// Each request is sent twice, and until both have their 202.
    pub twice: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan::PLAIN
    }
}

impl Plan {
    /// Four connections, 20 events a request, as fast as answers come.
    pub const PLAIN: Plan = Plan { senders: 4, events: 20, rate: None, ids: false, twice: false };
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 202.
    Answered,
    /// 503: nothing of it may be there.
    Refused,
    /// No answer came: it may be there or not.
    Silent,
}

/// All that was sent: requests by their number, which their events carry.
#[derive(Debug, Default)]
pub struct Account {
    requests: HashMap<u64, Sent>,
    /// Refusals that carried a `Retry-After`.
    pub told_when: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    events: u64,
    outcome: Outcome,
    begun: Instant,
}

/// An event's number is its request's number times this, plus its place.
const PLACES: u64 = 1 << 13;

impl Account {
    fn note(&mut self, number: u64, events: u64, outcome: Outcome, begun: Instant) {
        self.requests.insert(number, Sent { events, outcome, begun });
    }

    /// Notes one event that a test has sent by itself and that was answered 202.
    pub fn answered(&mut self, event: u64) {
        let (number, place) = (event / PLACES, event % PLACES);
        let begun = Instant::now();
        let fresh = Sent { events: 0, outcome: Outcome::Answered, begun };
        let sent = self.requests.entry(number).or_insert(fresh);
        assert_eq!(sent.events, place, "events are noted in order");
        sent.events += 1;
    }

    /// Adds what another load has sent.
    pub fn add(&mut self, other: Account) {
        let both = self.requests.len() + other.requests.len();
        self.requests.extend(other.requests);
        assert_eq!(self.requests.len(), both, "loads with numbers of their own");
        self.told_when += other.told_when;
    }

    /// What became of the request of an event; `None` for an event that was never sent.
    pub fn outcome(&self, event: u64) -> Option<Outcome> {
        let sent = self.requests.get(&(event / PLACES))?;
        (event % PLACES < sent.events).then_some(sent.outcome)
    }

    /// Every event of every request with this outcome.
    pub fn events(&self, outcome: Outcome) -> impl Iterator<Item = u64> {
        let of = self.requests.iter().filter(move |(_, sent)| sent.outcome == outcome);
        of.flat_map(|(number, sent)| (0..sent.events).map(move |place| number * PLACES + place))
    }

    /// Events of the requests with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let of = self.requests.values().filter(|sent| sent.outcome == outcome);
        of.map(|sent| sent.events).sum()
    }

    /// Requests begun before that moment that got no 202.
    pub fn failed_before(&self, moment: Instant) -> usize {
        let failed = |sent: &&Sent| sent.begun < moment && sent.outcome != Outcome::Answered;
        self.requests.values().filter(failed).count()
    }
}

/// What sends.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Account>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    /// Begins to send. `run` tells the events of several loads of a test apart.
    pub fn start(addr: SocketAddr, run: u64, plan: Plan) -> Load {
        Load::over(&[addr], run, plan)
    }

    /// The same, each try at the next of these nodes.
    pub fn over(nodes: &[SocketAddr], run: u64, plan: Plan) -> Load {
        let shared = Arc::new(Shared::default());
        let threads = (0..plan.senders)
            .map(|sender| {
                let shared = shared.clone();
                let first = (run << 40) + (sender << 30);
                let nodes: Vec<_> = nodes.iter().map(|addr| (*addr, None)).collect();
                let sender = Sender { nodes, plan, shared, ..Sender::default() };
                thread::spawn(move || sender.run(first))
            })
            .collect();
        Load { shared, threads }
    }

    /// Events answered 202 so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Events refused so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Waits until so many more events were answered.
    pub fn goes_on(&self, events: u64) {
        let enough = self.answered() + events;
        self.wait("events are answered", |load| load.answered() >= enough);
    }

    /// Waits until it is so.
    pub fn wait(&self, what: &str, condition: impl Fn(&Load) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            let (answered, refused) = (self.answered(), self.refused());
            let patience = crate::node::PATIENCE;
            assert!(begin.elapsed() < patience, "never: {what}; {answered} ok, {refused} refused");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it: requests under way still get their answer.
    pub fn stop(self) -> Account {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut account = Account::default();
        for thread in self.threads {
            account.add(thread.join().expect("a sender"));
        }
        account
    }

    /// Says that it shall end, and goes on at once.
    pub fn last_call(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// The body of request `number`.
pub fn body(number: u64, plan: Plan) -> String {
    let mut body = String::from("[");
    for place in 0..plan.events {
        let n = number * PLACES + place;
        let separator = if place == 0 { "" } else { "," };
        let (kind, amount) = match n % 4 {
            0 => ("purchase", format!(r#","amount":{}.{:02}"#, n % 500, n % 100)),
            1 => ("error", String::new()),
            _ => ("page_view", String::new()),
        };
        let id = if plan.ids { format!(r#""id":"event-{n}","#) } else { String::new() };
        write!(
            body,
            r#"{separator}{{"type":"{kind}",{id}"sessionId":"s{}","properties":{{"n":{n}{amount}}}}}"#,
            n % 977
        )
        .expect("a string");
    }
    body.push(']');
    body
}

/// The code of a refusal.
fn told(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// One sender, from its first request on.
#[derive(Default)]
struct Sender {
    /// Each with its connection.
    nodes: Vec<(SocketAddr, Option<Connection>)>,
    /// Tries so far.
    tries: usize,
    plan: Plan,
    shared: Arc<Shared>,
    account: Account,
}

impl Sender {
    fn run(mut self, first: u64) -> Account {
        let begin = Instant::now();
        for number in first.. {
            if let Some(rate) = self.plan.rate {
                let before = (number - first) * self.plan.events * self.plan.senders;
                let due = Duration::from_micros(before * 1_000_000 / rate);
                thread::sleep(due.saturating_sub(begin.elapsed()));
            }
            if self.stopping() {
                break;
            }
            let body = body(number, self.plan);
            let begun = Instant::now();
            let outcome = match self.plan.twice {
                false => self.once(&body).map(|(outcome, _)| outcome),
                true => self.twice(&body),
            };
            let Some(outcome) = outcome else { break };
            self.account.note(number, self.plan.events, outcome, begun);
        }
        self.account
    }

    fn stopping(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// One try; `None` where nobody listened until the end.
    fn once(&mut self, body: &str) -> Option<(Outcome, Option<Answer>)> {
        let (node, mut connection) = loop {
            let node = self.tries % self.nodes.len();
            self.tries += 1;
            let (addr, kept) = &mut self.nodes[node];
            match kept.take().map_or_else(|| Connection::open(*addr), Ok) {
                Ok(connection) => break (node, connection),
                Err(_) if self.stopping() => return None,
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        let request = Request::post(self.nodes[node].0, "/v1/events", body);
        let Ok(answer) = request.send_on(&mut connection) else {
            return Some((Outcome::Silent, None));
        };
        self.nodes[node].1 = Some(connection);
        let events = self.plan.events;
        match answer.status {
            202 => {
                self.shared.answered.fetch_add(events, Ordering::Relaxed);
                Some((Outcome::Answered, Some(answer)))
            }
            // What the disk has kept is not known before a restart.
            503 if ["spool_failed", "stopping"].contains(&told(&answer).as_str()) => {
                self.shared.refused.fetch_add(events, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
                Some((Outcome::Silent, None))
            }
            503 => {
                self.shared.refused.fetch_add(events, Ordering::Relaxed);
                self.account.told_when += u64::from(answer.header("retry-after").is_some());
                // Sooner than it was told to: a test has no five seconds.
                thread::sleep(Duration::from_millis(20));
                Some((Outcome::Refused, Some(answer)))
            }
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    /// The same request until it has its 202, and once more.
    fn twice(&mut self, body: &str) -> Option<Outcome> {
        let mut answers = 0;
        let mut outcome = Outcome::Silent;
        while answers < 2 {
            let Some((this, answer)) = self.once(body) else { break };
            match (this, answer) {
                (Outcome::Answered, Some(answer)) => {
                    answers += 1;
                    outcome = this;
                    let told = answer.json();
                    let known = told["accepted"].as_u64().zip(told["duplicates"].as_u64());
                    let (accepted, duplicates) = known.expect("numbers");
                    assert_eq!(accepted + duplicates, self.plan.events, "{told}");
                    assert!(answers < 2 || accepted == 0, "all of it had come before: {told}");
                }
                _ if self.stopping() => break,
                _ => {}
            }
        }
        Some(outcome)
    }
}
