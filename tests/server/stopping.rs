//! How a server reacts to signals, what it says before it stops, and by which exit code it ends.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    client::{Connection, Request},
    server::Server,
};

fn ready(server: &Server) -> u16 {
    server.request("GET", "/readyz").send().expect("it answers").status
}

#[test]
fn readiness_goes_first_and_the_door_a_stated_time_later() {
    let mut server = Server::with(&[("FLOODMARK_HTTP__DRAIN_MS", "1500")]);
    assert_eq!(ready(&server), 200);
    let told = Instant::now();
    server.signal(Signal::SIGTERM);
    server.until("/readyz says so", |server| ready(server) == 503);
    assert_eq!(server.post(r#"{"type":"page_view"}"#).status, 202, "it still takes events");
    assert!(told.elapsed() < Duration::from_millis(1500), "the machine is too slow for this test");
    assert_eq!(server.wait().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for first in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        // A request that never ends would hold an orderly stop up for these times.
        let mut server = Server::with(&[
            ("FLOODMARK_HTTP__DRAIN_MS", "100000"),
            ("FLOODMARK_HTTP__SHUTDOWN_TIMEOUT_MS", "100000"),
        ]);
        let mut open = Connection::open(server.addr()).unwrap();
        let begun = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
        std::io::Write::write_all(&mut open, begun).unwrap();
        server.signal(first);
        server.until("it has heard the first", |server| {
            server.request("GET", "/readyz").send().is_ok_and(|answer| answer.status == 503)
        });
        server.signal(Signal::SIGINT);
        assert_eq!(server.wait().code(), Some(4), "after {first}");
    }
}

#[test]
fn signals_that_mean_nothing_here_do_not_end_it() {
    let mut server = Server::start();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
        server.signal(signal);
    }
    assert_eq!(server.post(r#"{"type":"page_view"}"#).status, 202);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn an_outage_of_the_sinks_is_a_reason_and_no_503_and_a_stop_then_has_its_own_exit_code() {
    // Nobody listens on port 1.
    let mut server = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", "postgres://nobody@127.0.0.1:1/shop"),
        ("FLOODMARK_HTTP__SHUTDOWN_TIMEOUT_MS", "500"),
        // Without one, a node that has never seen its store can't know whether there are keys.
        ("FLOODMARK_AUTH__WRITE_KEYS", "w"),
    ]);
    let event = Request::post(server.addr(), "/v1/events?key=w", r#"{"type":"page_view"}"#);
    assert_eq!(event.send().unwrap().status, 202);
    server.until("it says why", |server| {
        let body = server.get("/readyz");
        let of_store = |reason: &serde_json::Value| reason.to_string().starts_with("\"store");
        body["status"] == "degraded" && body["reasons"].as_array().unwrap().iter().any(of_store)
    });
    assert_eq!(ready(&server), 200);
    let strict = Request::get(server.addr(), "/readyz?sinks").send().unwrap();
    assert_eq!((strict.status, strict.json()["status"].as_str()), (503, Some("not ready")));
    assert_eq!(server.terminate().code(), Some(3), "an event waits in the spool");
}

#[test]
fn a_wish_for_another_protocol_is_not_taken_and_the_answer_says_how_the_connection_goes_on() {
    let server = Server::start();
    // As Java's HttpClient asks, and others might.
    for wish in ["h2c", "TLS/1.0"] {
        let mut connection = Connection::open(server.addr()).unwrap();
        let event = Request::post(server.addr(), "/v1/events", r#"{"type":"page_view"}"#)
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")
            .header("Upgrade", wish);
        let answer = event.send_on(&mut connection).unwrap();
        assert_eq!(answer.status, 202, "{wish}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{wish}: {answer:?}");
    }
}
