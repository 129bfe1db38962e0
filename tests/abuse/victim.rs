//! The server that is attacked, and what must be true of it afterwards.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::support::{
    client::{Answer, raw},
    program::PATIENCE,
    server::Server,
};

/// `memory.max_bytes`, in KiB. It is the least with which a server of these settings starts, so that
/// whatever a stranger makes it keep shows.
const BUDGET_KB: u64 = 208 << 10;

/// A server under attack.
pub struct Victim {
    pub server: Server,
    /// Events that were taken, as far as the test knows.
    taken: AtomicU64,
}

impl Victim {
    pub fn start() -> Victim {
        Victim::with(&[])
    }

    /// A victim with further variables.
    pub fn with(variables: &[(&str, &str)]) -> Victim {
        let budget = (BUDGET_KB << 10).to_string();
        let mut all = vec![
            ("FLOODMARK_MEMORY__MAX_BYTES", &*budget),
            ("FLOODMARK_HTTP__MAX_INFLIGHT_BYTES", "16777216"),
            ("FLOODMARK_BATCH__MAX_BYTES", "2097152"),
            ("FLOODMARK_LIVE__MAX_EVENT_TYPES", "20"),
        ];
        all.extend(variables);
        Victim { server: Server::with(&all), taken: AtomicU64::new(0) }
    }

    /// Sends bytes as they are, and gives what comes until the server closes.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        raw(self.server.addr(), bytes.as_ref())
    }

    /// Sends bytes as they are, says that no more will come, and gives what comes until the server
    /// closes.
    pub fn raw_and_close(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.server.addr()).expect("it takes connections");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(bytes.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Posts a body with these headers to `/v1/events`.
    pub fn post(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        let mut request = self.server.request("POST", "/v1/events").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().expect("the server answers")
    }

    /// Notes that the attack had so many events taken, as it may.
    pub fn took(&self, events: u64) {
        self.taken.fetch_add(events, Ordering::Relaxed);
    }

    /// The server takes an event and counts it, has counted what it took and nothing else, in the store
    /// and on the live side, and has never held more memory than it may.
    pub fn stands(&self) {
        let server = &self.server;
        assert_eq!(
            server.post(r#"{"type":"page_view"}"#).status,
            202,
            "it takes no event any more"
        );
        self.took(1);
        let taken = self.taken.load(Ordering::Relaxed);
        let of = |name: &str| {
            let text = server.get_text("/metrics");
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map(|value| value.parse::<u64>().expect("a whole number")).expect(name)
        };
        server.until("all is stored", |_| of("floodmark_events_stored_total") >= taken);
        server.until("all is counted", |_| of("floodmark_events_counted_total") >= taken);
        assert_eq!(of("floodmark_events_stored_total"), taken, "stored");
        assert_eq!(of("floodmark_events_counted_total"), taken, "counted");
        assert_eq!(server.count("events"), taken, "rows");
        assert_eq!(of("floodmark_panics_total"), 0, "panics");
        let peak = server.peak_memory_kb();
        assert!(peak <= BUDGET_KB, "{peak} kB of {BUDGET_KB} kB");
    }
}
