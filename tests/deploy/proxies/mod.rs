//! The configurations of docs/PROXIES.md, each run by its real proxy, and what must hold behind it.

pub mod front;
mod probe;
mod tap;

use std::{net::SocketAddr, process::Command};

use serde_json::Value;

use self::{
    front::{Brand, Front, NAME},
    tap::Tap,
};
use crate::support::{
    certificate::TlsConnection,
    client::{Connection, WebSocket},
    process::{run, wait_until},
    server::Server,
    viewer::frame,
};

/// A node that believes proxies on 127.0.0.1, and shows its numbers without a token.
fn node(further: &[(&str, &str)]) -> Server {
    let mut variables = vec![
        ("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("FLOODMARK_HTTP__ALLOWED_HOSTS", NAME),
    ];
    // Of a variable that is there twice, the last counts.
    variables.extend(further);
    Server::with(&variables)
}

const VIEW: &str = r#"{"type":"page_view","sessionId":"s"}"#;

#[test]
#[ignore = "needs haproxy: ./test --deploy"]
fn haproxy_passes_on_all_that_is_needed() {
    passes_on(Brand::HaProxy);
}

#[test]
#[ignore = "needs nginx: ./test --deploy"]
fn nginx_passes_on_all_that_is_needed() {
    passes_on(Brand::Nginx);
}

#[test]
#[ignore = "needs caddy: ./test --deploy"]
fn caddy_passes_on_all_that_is_needed() {
    passes_on(Brand::Caddy);
}

fn passes_on(brand: Brand) {
    let node = node(&[]);
    let tap = Tap::before(node.addr());
    let front = Front::start(brand, [tap.addr(); 3]);
    connections_are_reused(&front, &tap);
    wait_until("all events are counted", || views(&node.current()) == 60);
    viewers_on_connections_that_have_posted(&front, &node);
    http_2(&front);
    // A page by the shop's name, over TLS, is told to stay there: the server believes X-Forwarded-Proto.
    let page = front.get("/").expect("an answer");
    assert!(page.status == 200 && page.text().contains("<title>"), "{page:?}");
    assert!(page.header("strict-transport-security").is_some(), "{page:?}");
    // What stands in a query is in no file of the proxy.
    let secret = "a-secret-in-a-query";
    let asked = front.get(&format!("/api/analytics/current?token={secret}"));
    assert_eq!(asked.expect("an answer").status, 200);
    for entry in std::fs::read_dir(&front.folder).unwrap().flatten() {
        let text = std::fs::read(entry.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(secret), "{:?}", entry.path());
    }
}

fn views(current: &Value) -> u64 {
    current["counts"]["page_view"].as_u64().unwrap_or(0)
}

/// Sixty requests, half of them on one connection, half of them each on its own.
fn connections_are_reused(front: &Front, tap: &Tap) {
    let request = front.request("POST", "/v1/events").body(VIEW);
    let mut kept = front.connect().expect("a connection");
    for _ in 0..30 {
        assert_eq!(request.send_on(&mut kept).expect("an answer").status, 202);
        let mut fresh = front.connect().expect("a connection");
        assert_eq!(request.send_on(&mut fresh).expect("an answer").status, 202);
    }
    let carried = tap.connections_with_events();
    assert!((1..=6).contains(&carried), "{carried} connections for 60 requests");
}

/// The proxy hands connections that have carried events to viewers, too. Each event comes to each of
/// them while nothing else is sent that could push it out of a buffer.
fn viewers_on_connections_that_have_posted(front: &Front, node: &Server) {
    let mut viewers: Vec<_> = (0..20)
        .map(|_| {
            let posted =
                front.request("POST", "/v1/events").body(r#"{"type":"error","sessionId":"s"}"#);
            assert_eq!(posted.send_on(&mut front.connect().unwrap()).unwrap().status, 202);
            front.watch().expect("it is admitted")
        })
        .collect();
    for viewer in &mut viewers {
        shows(viewer, 0, 60);
    }
    let posted = front.request("POST", "/v1/events").body(VIEW);
    assert_eq!(posted.send_on(&mut front.connect().unwrap()).unwrap().status, 202);
    for viewer in &mut viewers {
        shows(viewer, 60, 61);
    }
    node.until("the viewers have their places", |node| {
        node.get_text("/metrics").lines().any(|line| line == "floodmark_viewers 20")
    });
}

/// Adds frames up until they show so many page views.
fn shows(viewer: &mut WebSocket<TlsConnection>, mut shown: u64, wanted: u64) {
    while shown < wanted {
        let frame = frame(viewer);
        if frame["type"] == "snapshot" {
            shown = views(&frame["snapshot"]);
        }
        shown += views(&frame);
    }
    assert_eq!(shown, wanted);
}

/// The same events over HTTP/2, which a real client of it sends.
fn http_2(front: &Front) {
    let url = format!("https://{}/v1/events", front.host());
    let resolve = format!("{}:127.0.0.1", front.host());
    let said = run(Command::new("curl")
        .args(["--http2", "--insecure", "--silent", "--show-error", "--resolve", &resolve])
        .args(["--data", VIEW, "--header", "Content-Type: application/json"])
        .args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}", &url]));
    assert_eq!(said, "2 202");
}

#[test]
#[ignore = "needs haproxy: ./test --deploy"]
fn haproxy_says_whom_it_passes_on() {
    says_whom(Brand::HaProxy);
}

#[test]
#[ignore = "needs nginx: ./test --deploy"]
fn nginx_says_whom_it_passes_on() {
    says_whom(Brand::Nginx);
}

#[test]
#[ignore = "needs caddy: ./test --deploy"]
fn caddy_says_whom_it_passes_on() {
    says_whom(Brand::Caddy);
}

/// A limit by address holds for each client by itself, whatever the client writes into the header.
fn says_whom(brand: Brand) {
    // Two hundred events may come at once, then twenty a second.
    let node = node(&[("FLOODMARK_HTTP__CLIENT_EVENTS_PER_S", "20")]);
    let front = Front::start(brand, [node.addr(); 3]);
    let hundred = format!("[{}]", vec![VIEW; 100].join(","));
    let send = |from: &str, claimed: &str| {
        let request = front.request("POST", "/v1/events").body(hundred.as_str());
        let request = request.header("X-Forwarded-For", claimed);
        let mut connection = connect_from(from, &front);
        request.send_on(&mut connection).expect("an answer").status
    };
    let answers: Vec<u16> = (1..=5).map(|n| send("127.0.0.2", &format!("203.0.113.{n}"))).collect();
    assert_eq!(answers[0], 202, "{answers:?}");
    assert!(answers.contains(&429), "one client beyond its rate: {answers:?}");
    assert_eq!(send("127.0.0.3", "203.0.113.9"), 202, "another client");
}

fn connect_from(address: &str, front: &Front) -> Connection<TlsConnection> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{address}:0").parse().unwrap();
    socket.bind(&from.into()).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(&front.addr().into()).expect("the proxy listens");
    Connection::over(TlsConnection::over(socket.into(), NAME).expect("a handshake"))
}
