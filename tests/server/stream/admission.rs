//! Which viewers are admitted, and how many.

use crate::support::{
    client::{Connection, Request},
    server::Server,
    viewer::{frame, upgrade, watch},
};

/// The status of the answer to a handshake.
fn status(handshake: &Request) -> u16 {
    handshake.send().expect("the server answers").status
}

#[test]
fn another_sites_page_may_not_watch() {
    let server = Server::with(&[("FLOODMARK_STREAM__ALLOWED_ORIGINS", "https://shop.example")]);
    assert_eq!(status(&upgrade(server.addr())), 101, "no browser");
    let from = |origin: &str| status(&upgrade(server.addr()).header("Origin", origin));
    assert_eq!(from(&server.url()), 101, "the server's own page");
    assert_eq!(from("https://shop.example"), 101);
    assert_eq!(from("https://evil.example"), 403);
    assert_eq!(from("null"), 403);
}

#[test]
fn more_viewers_than_allowed_are_told_to_come_back() {
    let server = Server::with(&[("FLOODMARK_STREAM__MAX_VIEWERS", "2")]);
    let _first = watch(&server, "");
    let second = watch(&server, "");
    assert_eq!(status(&upgrade(server.addr())), 503);
    drop(second);
    server.until("the place is free again", |server| status(&upgrade(server.addr())) == 101);
}

#[test]
fn a_wrong_token_sees_nothing() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "secret")]);
    let with = |token: &str| upgrade(server.addr()).header("Authorization", token);
    assert_eq!(status(&upgrade(server.addr())), 401);
    assert_eq!(status(&with("Bearer secrez")), 401);
    assert_eq!(status(&with("Bearer secret")), 101);
    let mut watching = watch(&server, "?token=secret");
    assert_eq!(frame(&mut watching)["type"], "snapshot");
}

/// A connection that has sent an event.
fn sender(server: &Server) -> Connection {
    let mut connection = Connection::open(server.addr()).unwrap();
    let event = Request::post(server.addr(), "/v1/events", r#"{"type":"page_view"}"#);
    assert_eq!(event.send_on(&mut connection).unwrap().status, 202);
    connection
}

#[test]
fn a_connection_that_has_sent_events_can_watch() {
    // A reverse proxy uses its connections for whatever comes next.
    let server = Server::start();
    let mut connections: Vec<Connection> = (0..20).map(|_| sender(&server)).collect();
    for connection in &mut connections {
        assert_eq!(upgrade(server.addr()).send_on(connection).unwrap().status, 101);
    }
    server.until("all watch", |server| server.has_metric("floodmark_viewers 20"));
    drop(connections);
    server.until("nobody watches", |server| server.has_metric("floodmark_viewers 0"));
}

#[test]
fn very_many_connections_that_send_events_cost_one_file_each_and_can_not_watch() {
    let server = Server::with(&[("FLOODMARK_STREAM__MAX_VIEWERS", "1")]);
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let mut first = sender(&server);
    let _second = sender(&server);
    let before = open_files();
    let collectors: Vec<Connection> = (0..100).map(|_| sender(&server)).collect();
    // The server opens and closes some files of its own meanwhile.
    let more = open_files().abs_diff(before);
    assert!(more.abs_diff(collectors.len()) < 20, "{more} more files");
    assert_eq!(upgrade(server.addr()).send_on(&mut first).unwrap().status, 101);
    drop(first);
    server.until("nobody watches", |server| server.has_metric("floodmark_viewers 0"));
    let mut last = collectors.into_iter().last().unwrap();
    let answer = upgrade(server.addr()).send_on(&mut last).unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn the_first_subprotocol_that_is_asked_for_is_answered() {
    let server = Server::start();
    let asked = upgrade(server.addr()).header("Sec-WebSocket-Protocol", "floodmark.v1, json");
    let answer = asked.send().unwrap();
    assert_eq!(
        (answer.status, answer.header("sec-websocket-protocol")),
        (101, Some("floodmark.v1"))
    );
    let unasked = upgrade(server.addr()).send().unwrap();
    assert_eq!(unasked.header("sec-websocket-protocol"), None);
}
