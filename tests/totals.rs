//! The main job, end to end: a file of 200,000 events replayed; the store, the ledger, the
//! totals and what a viewer adds up agree exactly with sums computed from the file.

mod support;

use std::{path::Path, process::Command};

use floodmark::domain::money::Amount;
use serde_json::Value;
use support::server::Server;

const EVENTS: u64 = 200_000;

/// What a file or a server adds up to: events by type, revenue in 1/10,000.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    counts: std::collections::BTreeMap<String, u64>,
    revenue: i64,
}

impl Sums {
    fn add(&mut self, counts: &Value, revenue: &Value) {
        for (kind, count) in counts.as_object().expect("counts") {
            *self.counts.entry(kind.clone()).or_default() += count.as_u64().expect("a count");
        }
        self.revenue += Amount::parse(&revenue.to_string()).expect("an amount").0;
    }

    fn of_file(file: &Path) -> Sums {
        let mut sums = Sums::default();
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let kind = event["type"].as_str().unwrap();
            *sums.counts.entry(kind.to_owned()).or_default() += 1;
            if kind == "purchase" {
                sums.revenue += support::amount_of(&event["properties"]);
            }
        }
        sums
    }

    fn of_server(server: &Server) -> Sums {
        let current = server.current();
        let mut sums = Sums::default();
        sums.add(&current["counts"], &current["revenue"]);
        sums
    }

    fn events(&self) -> u64 {
        self.counts.values().sum()
    }
}

fn floodmark(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_floodmark")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Follows the stream from before the first event until it has seen them all.
async fn follow(url: String) -> Sums {
    use futures_util::StreamExt;
    let url = format!("{}/api/analytics/stream", url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut sums = Sums::default();
    let mut seq = None;
    while sums.events() < EVENTS {
        let message = socket.next().await.expect("the stream goes on").unwrap();
        let Ok(text) = message.into_text() else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else { continue };
        let this = frame["seq"].as_u64().expect("seq");
        if frame["type"] == "snapshot" {
            sums = Sums::default();
            sums.add(&frame["snapshot"]["counts"], &frame["snapshot"]["revenue"]);
        } else {
            assert_eq!(seq.map(|seq: u64| seq + 1), Some(this), "no gap");
        }
        sums.add(&frame["counts"], &frame["revenue"]);
        seq = Some(this);
    }
    sums
}

#[test]
fn a_replayed_file_is_stored_counted_and_shown_exactly() {
    let server = Server::start();
    let file = server.data().join("events.ndjson");
    let file_name = file.to_str().unwrap();
    let events = EVENTS.to_string();
    floodmark(&["demo", "--write", file_name, "--events", &events]);
    let sent = Sums::of_file(&file);
    assert_eq!(sent.events(), EVENTS);

    let viewer = std::thread::spawn({
        let url = server.url();
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(follow(url))
        }
    });
    floodmark(&["replay", file_name, "--to", &server.url(), "--batch", "1000"]);

    assert_eq!(viewer.join().unwrap(), sent, "what a viewer added up");
    assert_eq!(Sums::of_server(&server), sent, "/current");
    server.until("all are stored", |server| server.count("events") == EVENTS);
    let ledger: i64 = server
        .database()
        .query_row("SELECT sum(events) FROM ledger", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ledger as u64, EVENTS, "the ledger");
}
