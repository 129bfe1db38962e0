//! A server that stops tells every viewer that reads.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{closed, drain, ends_with_close};
use crate::support::{
    client::{Connection, Request, WebSocket},
    server::Server,
    viewer::{frame, many_types, stalled, upgrade, watch},
};

/// The close code that says that the server goes away.
const GOING_AWAY: u16 = 1001;

#[test]
fn a_server_that_stops_says_so_to_everyone_who_reads() {
    let mut server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "60000"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "16384"),
    ]);
    let mut sockets: Vec<WebSocket> = (0..50).map(|_| watch(&server, "")).collect();
    sockets.iter_mut().for_each(|socket| {
        frame(socket);
    });
    // This viewer is far behind when the server stops, and reads on only then.
    let behind = stalled(server.addr(), 4096);
    let batch = many_types();
    for _ in 0..20 {
        assert_eq!(server.post(&batch[..]).status, 202);
        for socket in &mut sockets {
            while frame(socket)["counts"].as_object().unwrap().is_empty() {}
        }
    }
    // The connection was made before, since none is accepted while the server stops.
    let mut early = Connection::open(server.addr()).unwrap();
    Request::new(server.addr(), "HEAD", "/healthz").send_on(&mut early).expect("an answer");

    server.signal(Signal::SIGTERM);
    assert_eq!(closed(&mut sockets[0]), GOING_AWAY);
    let answer = upgrade(server.addr()).send_on(&mut early).unwrap();
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}");
    let late = std::thread::spawn(move || drain(behind, Duration::ZERO));
    for socket in &mut sockets[1..] {
        assert_eq!(closed(socket), GOING_AWAY);
    }
    let all = late.join().unwrap();
    assert!(ends_with_close(&all, 1001), "{:?}", String::from_utf8_lossy(&all[all.len() - 60..]));
    drop((sockets, early));
    assert!(server.wait().success());
}
