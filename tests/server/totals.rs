//! The main job, end to end: a file of 200,000 events is replayed. The store, the ledger, the
//! totals and what a viewer adds up agree exactly with sums computed from the file.

use std::process::Command;

use crate::support::{
    server::Server,
    sums::{Sums, follow},
};

const EVENTS: u64 = 200_000;

fn floodmark(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_floodmark")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_replayed_file_is_stored_counted_and_shown_exactly() {
    let server = Server::start();
    let file = server.data().join("events.ndjson");
    let file_name = file.to_str().unwrap();
    let events = EVENTS.to_string();
    floodmark(&["demo", "--write", file_name, "--events", &events]);
    let mut sent = Sums::default();
    sent.add_file(&file);
    assert_eq!(sent.events(), EVENTS);

    let viewer = std::thread::spawn({
        let addr = server.addr();
        move || follow(addr, |sums| sums.events() >= EVENTS).0
    });
    floodmark(&["replay", file_name, "--to", &server.url(), "--batch", "1000"]);

    assert_eq!(viewer.join().unwrap(), sent, "what a viewer added up");
    assert_eq!(Sums::of_current(&server.current()), sent, "/current");
    server.until("all are stored", |server| server.count("events") == EVENTS);
    let ledger: i64 = server
        .database()
        .query_row("SELECT sum(events) FROM ledger", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ledger as u64, EVENTS, "the ledger");
}
