//! The room in which spans wait for the collector.

use std::{net::TcpListener, thread};

use crate::{
    otlp::{metrics, traced},
    support::client::{Connection, Request},
};

/// More than wait at most, and than one request to the collector takes with it.
const REQUESTS: usize = 6_000;
const CLIENTS: usize = 4;

#[test]
fn spans_that_find_no_room_are_counted_and_hold_up_nobody() {
    // Whoever connects is not answered: nobody accepts.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("it listens"));
    let server = traced(&endpoint, &[("FLOODMARK_OTLP__TIMEOUT_MS", "60000")]);
    let dropped = || {
        let text = metrics(&server);
        let value =
            text.lines().find_map(|line| line.strip_prefix("floodmark_otlp_spans_dropped_total "));
        value.expect("it is there from the start").parse::<usize>().expect("a number")
    };
    assert_eq!(dropped(), 0);
    let addr = server.addr();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            thread::spawn(move || {
                let mut connection = Connection::open(addr).expect("it listens");
                for _ in 0..REQUESTS / CLIENTS {
                    let answer = Request::get(addr, "/healthz").send_on(&mut connection);
                    assert_eq!(answer.expect("it answers").status, 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("all are answered"));
    // The collector has some in its hands: one request of 512 spans at most.
    let least = REQUESTS - 4_096 - 512;
    server.until("they are counted", |_| dropped() >= least);
    assert!(dropped() < REQUESTS, "what found room is not counted");
}
