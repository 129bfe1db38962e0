//! A rolling restart of three nodes on one Postgres and one Redis, behind a real HAProxy or Caddy with the
//! configuration of docs/PROXIES.md: nobody notices.

mod senders;
mod watchers;

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use self::{senders::Senders, watchers::Watchers};
use crate::{
    proxies::front::{Brand, Front, NAME},
    shop::{Live, Shop, ready},
    support::{
        client::Request, port::Port, postgres::Postgres, process::wait_until, redis::RedisServer,
        server::Server,
    },
};

/// `http.drain_ms` of each node: the default, which the page's configuration is made for.
const DRAIN: Duration = Duration::from_millis(5000);

/// No viewer may be without a frame for longer.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

#[test]
#[ignore = "half a minute, and needs haproxy: ./test --deploy"]
fn three_nodes_restart_in_turn_behind_haproxy_and_nobody_notices() {
    nobody_notices(Brand::HaProxy);
}

#[test]
#[ignore = "half a minute, and needs caddy: ./test --deploy"]
fn three_nodes_restart_in_turn_behind_caddy_and_nobody_notices() {
    nobody_notices(Brand::Caddy);
}

fn nobody_notices(brand: Brand) {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let places: Vec<(Port, TempDir)> =
        (0..3).map(|_| (Port::free(), TempDir::new().expect("a folder"))).collect();
    let nodes = places.iter().map(|(port, data)| node(port, data, &postgres, &redis)).collect();
    let mut shop = Shop::of(nodes, postgres, Live::Single(redis));
    let addresses: Vec<_> = shop.nodes.iter().map(Server::addr).collect();
    let front = Front::start(brand, addresses.try_into().expect("three"));
    let watchers = Watchers::start(&front, 100);
    let senders = Senders::start(&front);
    senders.go_on();
    for number in 0..3 {
        restart(&mut shop.nodes[number], number, &front);
        senders.go_on();
    }
    let sent = senders.stop();
    assert!(sent.failed.is_empty(), "{} failed: {:?}", sent.failed.len(), sent.failed);
    println!("{} events in {} requests, {} reads", sent.sums.events(), sent.requests, sent.reads);
    shop.agrees(&sent.sums);
    let silence = watchers.stop(&sent.sums);
    println!("the longest that a viewer was without a frame: {} ms", silence.as_millis());
    assert!(silence <= LONGEST_SILENCE, "a viewer had no frame for {silence:?}");
}

fn node(port: &Port, data: &TempDir, postgres: &Postgres, redis: &RedisServer) -> Server {
    let listen = format!("127.0.0.1:{}", port.number());
    let data = data.path().to_str().expect("temporary folders have plain names");
    Server::spawn(
        &["serve", "--listen", &listen, "--data-dir", data],
        &[
            ("FLOODMARK_POSTGRES__URL", &postgres.url()),
            ("FLOODMARK_REDIS__URLS", &redis.url()),
            ("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.1"),
            ("FLOODMARK_HTTP__ALLOWED_HOSTS", NAME),
            ("FLOODMARK_HTTP__DRAIN_MS", &DRAIN.as_millis().to_string()),
        ],
    )
}

/// Restarts a node as an operator does. First it says that it is not ready, while it takes
/// everything; then HAProxy has noticed; the door closes only after the stated pause.
fn restart(node: &mut Server, number: usize, front: &Front) {
    let told = Instant::now();
    node.signal(Signal::SIGTERM);
    let ask = |path: &str| Request::get(node.addr(), path).send();
    wait_until("/readyz says 503", || ask("/readyz").expect("it answers").status == 503);
    assert_eq!(ask("/api/analytics/current").expect("it answers").status, 200, "all else goes on");
    if front.brand == Brand::HaProxy {
        wait_until("HAProxy has noticed", || front.states()[number] == "DOWN");
        assert!(TcpStream::connect(node.addr()).is_ok(), "the door is still open");
        assert!(told.elapsed() < DRAIN, "HAProxy noticed in time: {:?}", told.elapsed());
    }
    let status = node.wait();
    assert!(told.elapsed() >= DRAIN, "{:?} after SIGTERM", told.elapsed());
    assert_eq!(status.code(), Some(0), "both sinks have everything");
    node.restart();
    ready(node);
    is_used(node);
}

/// Waits until the proxy sends events to a node that has just started. It has the fewest viewers, so it is
/// the first choice.
fn is_used(node: &Server) {
    wait_until("the proxy sends events to it", || {
        let metrics = node.get_text("/metrics");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("floodmark_events_accepted_total{source=\"http\"} "));
        line.is_some_and(|line| !line.ends_with(" 0"))
    });
}
