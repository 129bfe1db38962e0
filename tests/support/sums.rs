//! Sums of events: of a file of events, of a server, or of a viewer. A test compares them; they
//! must be equal.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use floodmark::domain::money::Amount;
use serde_json::Value;

use super::{
    client::WebSocket,
    viewer::{STREAM, frame},
};

/// How long a viewer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The events counted by type, and the revenue in 1/10,000 of the base currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub counts: BTreeMap<String, u64>,
    pub revenue: i64,
}

impl Sums {
    /// Adds `counts` and `revenue` as the server writes them.
    pub fn add(&mut self, counts: &Value, revenue: &Value) {
        for (kind, count) in counts.as_object().expect("counts") {
            *self.counts.entry(kind.clone()).or_default() += count.as_u64().expect("a count");
        }
        self.revenue += Amount::parse(&revenue.to_string()).expect("an amount").0;
    }

    /// Adds one event as a client writes it.
    pub fn add_event(&mut self, event: &Value) {
        let kind = event["type"].as_str().expect("a type");
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        if kind == "purchase" {
            self.revenue += super::amount_of(&event["properties"]);
        }
    }

    /// Adds a file of events, one a line.
    pub fn add_file(&mut self, file: &Path) {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            self.add_event(&serde_json::from_str(line).unwrap());
        }
    }

    /// The sums that `/api/analytics/current` shows.
    pub fn of_current(current: &Value) -> Sums {
        let mut sums = Sums::default();
        sums.add(&current["counts"], &current["revenue"]);
        sums
    }

    /// The number of events of all types together.
    pub fn events(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Follows the stream of the server at `addr` and adds its frames up until they are `wanted`;
/// returns what they add up to, with the number of snapshots. Nothing after the first snapshot
/// may be missing: each delta is the next one, or follows a new snapshot.
pub fn follow(addr: SocketAddr, wanted: impl Fn(&Sums) -> bool) -> (Sums, usize) {
    let opened = WebSocket::open(addr, STREAM, &[]);
    let mut socket = opened.unwrap_or_else(|answer| panic!("not admitted: {answer:?}"));
    let (mut sums, mut snapshots, mut seq) = (Sums::default(), 0, None);
    let give_up = Instant::now() + PATIENCE;
    while !wanted(&sums) {
        if Instant::now() > give_up {
            panic!("the viewer never added up to what it should: {sums:?}");
        }
        let frame = frame(&mut socket);
        let this = frame["seq"].as_u64().expect("seq");
        if frame["type"] == "snapshot" {
            snapshots += 1;
            sums = Sums::of_current(&frame["snapshot"]);
        } else {
            assert_eq!(seq.map(|seq: u64| seq + 1), Some(this), "no gap");
        }
        sums.add(&frame["counts"], &frame["revenue"]);
        seq = Some(this);
    }
    (sums, snapshots)
}
