//! Clients that send events and read numbers through the proxy, and know of every request that failed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    proxies::front::{Front, NAME},
    support::{
        certificate::TlsConnection,
        client::{Connection, Request},
        program::wait_until,
        sums::Sums,
    },
};

/// Half of these keep their connection; the others open one for each request.
const SENDERS: u64 = 4;
/// How many events a request has.
const EVENTS: u64 = 10;
/// What a sender waits between two requests: so a slow machine is not at its limit.
const PAUSE: Duration = Duration::from_millis(20);

/// What was answered with 202, and what was not.
#[derive(Debug, Default)]
pub struct Sent {
    pub sums: Sums,
    pub requests: u64,
    pub reads: u64,
    /// What came in place of 202 or 200.
    pub failed: Vec<String>,
}

/// Clients that are at it, each on a thread.
pub struct Senders {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Sent>>,
}

/// Where a client of the shop connects to.
#[derive(Clone, Debug)]
struct Shopfront {
    addr: SocketAddr,
    host: String,
}

impl Shopfront {
    fn connect(&self) -> std::io::Result<Connection<TlsConnection>> {
        let stream = std::net::TcpStream::connect(self.addr)?;
        Ok(Connection::over(TlsConnection::over(stream, NAME)?))
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.addr, method, path).header("Host", &self.host)
    }
}

impl Senders {
    pub fn start(front: &Front) -> Senders {
        let shop = Shopfront { addr: front.addr(), host: front.host() };
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut threads: Vec<JoinHandle<Sent>> = (0..SENDERS)
            .map(|number| {
                let (shop, stop, answered) = (shop.clone(), stop.clone(), answered.clone());
                thread::spawn(move || sends(&shop, number, &stop, &answered))
            })
            .collect();
        let reading = stop.clone();
        threads.push(thread::spawn(move || reads(&shop, &reading)));
        Senders { stop, answered, threads }
    }

    /// Waits until a hundred more requests were answered.
    pub fn go_on(&self) {
        let enough = self.answered.load(Ordering::SeqCst) + 100;
        wait_until("requests are answered", || match self.answered.load(Ordering::SeqCst) {
            answered if answered >= enough => Ok(()),
            answered => Err(answered),
        });
    }

    /// Ends them, and says what was sent.
    pub fn stop(self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Sent::default();
        for thread in self.threads {
            let one = thread.join().expect("a sender");
            all.requests += one.requests;
            all.reads += one.reads;
            all.failed.extend(one.failed);
            all.sums.revenue += one.sums.revenue;
            for (kind, count) in one.sums.counts {
                *all.sums.counts.entry(kind).or_default() += count;
            }
        }
        all
    }
}

/// The events of one request.
fn events(sender: u64, request: u64) -> Vec<Value> {
    let event = |place: u64| {
        let number = request * EVENTS + place;
        let session = format!("s-{sender}-{}", number % 97);
        match number % 3 {
            0 => json!({"type": "purchase", "sessionId": session, "properties": {
                "amount": number % 500, "orderId": format!("o-{sender}-{number}"),
            }}),
            1 => json!({"type": "error", "sessionId": session}),
            _ => json!({"type": "page_view", "sessionId": session}),
        }
    };
    let with_id = |place| {
        let mut event = event(place);
        event["id"] = format!("e-{sender}-{request}-{place}").into();
        event
    };
    (0..EVENTS).map(with_id).collect()
}

fn sends(shop: &Shopfront, sender: u64, stop: &AtomicBool, answered: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    let mut kept = None;
    while !stop.load(Ordering::SeqCst) {
        let events = events(sender, sent.requests);
        sent.requests += 1;
        let request = shop.request("POST", "/v1/events").body(serde_json::to_vec(&events).unwrap());
        let outcome = kept.take().map_or_else(|| shop.connect(), Ok).and_then(|mut connection| {
            let answer = request.send_on(&mut connection)?;
            Ok((answer, connection))
        });
        match outcome {
            Ok((answer, connection)) if answer.status == 202 => {
                events.iter().for_each(|event| sent.sums.add_event(event));
                answered.fetch_add(1, Ordering::SeqCst);
                kept = sender.is_multiple_of(2).then_some(connection);
            }
            other => sent.failed.push(format!("{:?}", other.map(|(answer, _)| answer))),
        }
        thread::sleep(PAUSE);
    }
    sent
}

fn reads(shop: &Shopfront, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let request = shop.request("GET", "/api/analytics/current");
    while !stop.load(Ordering::SeqCst) {
        match shop.connect().and_then(|mut connection| request.send_on(&mut connection)) {
            Ok(answer) if answer.status == 200 => sent.reads += 1,
            other => sent.failed.push(format!("{other:?}")),
        }
        thread::sleep(PAUSE);
    }
    sent
}
