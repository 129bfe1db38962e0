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

/// How a load sends its events.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The number of connections; each has one request under way at a time.
    pub senders: u64,
    /// The number of events in a request.
    pub events: u64,
    /// Events a second of all connections together; `None` sends as fast as the answers come.
    pub rate: Option<u64>,
    /// Whether each event has an id.
    pub ids: bool,
    /// Whether each request is sent twice, each time until it is answered with 202.
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

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was 202.
    Answered,
    /// The answer was 503, so none of its events may be stored.
    Refused,
    /// No answer came, so its events may be stored or not.
    Silent,
}

/// Everything that was sent: the requests by their number, which stands in each of their events.
#[derive(Debug, Default)]
pub struct Account {
    requests: HashMap<u64, Sent>,
    /// The number of refusals that had a `Retry-After` header.
    pub told_when: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    events: u64,
    outcome: Outcome,
    begun: Instant,
}

/// The number of an event is that of its request times this, plus its place in the request.
const PLACES: u64 = 1 << 13;

impl Account {
    fn note(&mut self, number: u64, events: u64, outcome: Outcome, begun: Instant) {
        self.requests.insert(number, Sent { events, outcome, begun });
    }

    /// Adds one event that the test has sent itself, and that was answered with 202.
    pub fn answered(&mut self, event: u64) {
        let (number, place) = (event / PLACES, event % PLACES);
        let begun = Instant::now();
        let fresh = Sent { events: 0, outcome: Outcome::Answered, begun };
        let sent = self.requests.entry(number).or_insert(fresh);
        assert_eq!(sent.events, place, "events are noted in order");
        sent.events += 1;
    }

    /// Adds everything that another load has sent.
    pub fn add(&mut self, other: Account) {
        let both = self.requests.len() + other.requests.len();
        self.requests.extend(other.requests);
        assert_eq!(self.requests.len(), both, "loads with numbers of their own");
        self.told_when += other.told_when;
    }

    /// Everything that several loads have sent.
    pub fn of(all: &[&Account]) -> Account {
        let mut merged = Account::default();
        for account in all {
            let requests = account.requests.clone();
            merged.add(Account { requests, told_when: account.told_when });
        }
        merged
    }

    /// How the request of an event ended; `None` if the event was never sent.
    pub fn outcome(&self, event: u64) -> Option<Outcome> {
        let sent = self.requests.get(&(event / PLACES))?;
        (event % PLACES < sent.events).then_some(sent.outcome)
    }

    /// The numbers of all events whose request ended like this.
    pub fn events(&self, outcome: Outcome) -> impl Iterator<Item = u64> {
        let of = self.requests.iter().filter(move |(_, sent)| sent.outcome == outcome);
        of.flat_map(|(number, sent)| (0..sent.events).map(move |place| number * PLACES + place))
    }

    /// How many events were in requests that ended like this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let of = self.requests.values().filter(|sent| sent.outcome == outcome);
        of.map(|sent| sent.events).sum()
    }

    /// Requests that were begun before this moment and did not get 202.
    pub fn failed_before(&self, moment: Instant) -> usize {
        let failed = |sent: &&Sent| sent.begun < moment && sent.outcome != Outcome::Answered;
        self.requests.values().filter(failed).count()
    }
}

/// A load that is running: its senders, each on a thread.
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
    /// Begins to send. `run` makes the events of several loads of one test different.
    pub fn start(addr: SocketAddr, run: u64, plan: Plan) -> Load {
        Load::over(&[addr], run, plan)
    }

    /// Begins to send to several nodes: each try of a request goes to the next of them.
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

    /// The number of events that were answered with 202 so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// The number of events that were refused so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Waits until this many more events were answered with 202.
    pub fn goes_on(&self, events: u64) {
        let enough = self.answered() + events;
        self.wait("events are answered", |load| load.answered() >= enough);
    }

    /// Waits until the condition holds.
    pub fn wait(&self, what: &str, condition: impl Fn(&Load) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            let (answered, refused) = (self.answered(), self.refused());
            let patience = crate::node::PATIENCE;
            assert!(begin.elapsed() < patience, "never: {what}; {answered} ok, {refused} refused");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends the load. Requests that are under way still get their answer.
    pub fn stop(self) -> Account {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut account = Account::default();
        for thread in self.threads {
            account.add(thread.join().expect("a sender"));
        }
        account
    }

    /// Tells the senders to end, without waiting for them.
    pub fn last_call(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// The numbers of the events of request `number`.
pub fn numbers(number: u64, plan: Plan) -> impl Iterator<Item = u64> {
    (0..plan.events).map(move |place| number * PLACES + place)
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

/// The error code in the body of a refusal.
fn told(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// One sender, from its first request on.
#[derive(Default)]
struct Sender {
    /// The nodes, each with the connection to it.
    nodes: Vec<(SocketAddr, Option<Connection>)>,
    /// The number of tries so far.
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

    /// Sends a request once; `None` if no node listened until the load was ended.
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
            // After this code, only a restart shows whether the events are on disk.
            503 if ["spool_failed", "stopping"].contains(&told(&answer).as_str()) => {
                self.shared.refused.fetch_add(events, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
                Some((Outcome::Silent, None))
            }
            503 => {
                self.shared.refused.fetch_add(events, Ordering::Relaxed);
                self.account.told_when += u64::from(answer.header("retry-after").is_some());
                // The sender does not wait as long as `Retry-After` says, so that the test is
                // quicker.
                thread::sleep(Duration::from_millis(20));
                Some((Outcome::Refused, Some(answer)))
            }
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    /// Sends the same request until it is answered with 202, and then once more.
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
