//! A simulated shop that sends its events to a server in real time.

use std::time::{Duration, Instant};

use floodmark::{
    demo::{event::ShopEvent, shop::Shop, traffic::Incidents},
    domain::time::now_ms,
};

use crate::support::server::Server;

/// The number of events in a request.
const REQUEST: usize = 2_000;
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(120);

/// A shop that sends each event when its time has come.
pub struct OpenShop<'a> {
    /// `None` only while it changes.
    shop: Option<Shop>,
    /// The next event, whose time has not come yet.
    next: Option<ShopEvent>,
    server: &'a Server,
    /// The number of events that were sent.
    pub sent: usize,
}

impl<'a> OpenShop<'a> {
    pub fn new(shop: Shop, server: &'a Server) -> OpenShop<'a> {
        OpenShop { shop: Some(shop), next: None, server, sent: 0 }
    }

    /// Gives the shop these incidents from now on.
    pub fn change(&mut self, incidents: Incidents) {
        self.shop = self.shop.take().map(|shop| shop.with_incidents(incidents));
    }

    /// Sends all events whose time has come.
    pub fn catch_up(&mut self) {
        let mut lines = Vec::new();
        let mut events = 0;
        while let Some(event) = self.next.take().or_else(|| self.shop.as_mut()?.next()) {
            if event.timestamp > now_ms() {
                self.next = Some(event);
                break;
            }
            event.write_line(&mut lines);
            events += 1;
            if events == REQUEST {
                self.send(&mut lines);
                events = 0;
            }
        }
        if events > 0 {
            self.send(&mut lines);
        }
    }

    fn send(&mut self, lines: &mut Vec<u8>) {
        let request = self.server.request("POST", "/v1/events");
        let request = request.header("Content-Type", "application/x-ndjson").body(&lines[..]);
        // A server that can take no more answers 503, and the request is sent again.
        let answer = loop {
            let answer = request.send().unwrap();
            match answer.status {
                503 => std::thread::sleep(Duration::from_millis(200)),
                _ => break answer,
            }
        };
        assert_eq!(answer.status, 202, "{answer:?}");
        self.sent += lines.iter().filter(|byte| **byte == b'\n').count();
        lines.clear();
    }

    /// Goes on sending until the condition holds.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            self.catch_up();
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "never: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Goes on sending until this moment.
    pub fn go_on_until(&mut self, moment: Instant) {
        while Instant::now() < moment {
            self.catch_up();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
