//! Viewers that send too much: large messages, floods of pings, broken frames.

use std::{
    io::{Read, Write},
    time::Duration,
};

use super::{closed, drain, ends_with_close, handshake};
use crate::support::{
    client::Received,
    server::Server,
    viewer::{frame, stalled, watch},
};

/// The close code that says that a message is too big.
const TOO_BIG: u16 = 1009;

#[test]
fn viewers_have_little_to_say() {
    let server = Server::start();
    let mut socket = watch(&server, "");
    frame(&mut socket);
    socket.send("hello");
    socket.send(vec![7; 4096]);
    frame(&mut socket);
    socket.send("x".repeat(4097));
    assert_eq!(closed(&mut socket), TOO_BIG);
}

#[test]
fn a_megabyte_from_a_viewer_is_refused_at_its_first_bytes() {
    let server = Server::start();
    let mut good = watch(&server, "");
    frame(&mut good);
    let before = server.memory_kb();
    for _ in 0..20 {
        let mut socket = watch(&server, "");
        frame(&mut socket);
        // The server may have hung up before all of it was sent.
        socket.try_send(vec![7; 1024 * 1024]);
        while matches!(socket.receive(), Received::Frame(_)) {}
    }
    server.until("only the good one is left", |server| server.has_metric("floodmark_viewers 1"));
    let grown = server.memory_kb().saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} kB for 20 MB that were refused");
    frame(&mut good);
}

#[test]
fn a_flood_of_pings_is_answered_and_slows_nobody() {
    let server = Server::start();
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let before = server.memory_kb();
    let mut flood = handshake(&server);
    // Sends 5,000 empty masked pings at a time.
    let pings = [0x89, 0x80, 1, 2, 3, 4].repeat(5000);
    let mut unread = flood.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut pongs, mut some) = (0, vec![0; 65536]);
        while pongs < 200_000 {
            let n = unread.read(&mut some).expect("pongs");
            assert!(n > 0, "closed");
            pongs += some[..n].windows(2).filter(|two| *two == [0x8a, 0]).count();
        }
    });
    for _ in 0..42 {
        flood.write_all(&pings).unwrap();
    }
    reader.join().unwrap();
    for _ in 0..3 {
        let seq = frame(&mut good)["seq"].as_u64().unwrap();
        assert_eq!(seq, last + 1);
        last = seq;
    }
    let grown = server.memory_kb().saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} kB");
    // A viewer that floods the server and never reads the answers is stopped by its own full
    // buffers.
    let mut deaf = stalled(server.addr(), 4096);
    deaf.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let sent = (0..4000).take_while(|_| deaf.write_all(&pings).is_ok()).count();
    assert!(sent < 4000, "the server takes no more than it can answer");
    let grown = server.memory_kb().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} kB");
    frame(&mut good);
}

#[test]
fn a_viewer_that_sends_without_end_is_closed() {
    let server = Server::start();
    let mut stream = handshake(&server);
    // The header announces a frame of a gigabyte, of which 64 kB are sent.
    let announced = [&[0x82, 0x80 | 127][..], &(1_u64 << 30).to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&announced).unwrap();
    // The server may hang up before all of it was sent.
    let _ = stream.write_all(&[0; 65536]);
    let all = drain(stream, Duration::ZERO);
    assert!(ends_with_close(&all, 1009), "{:?}", String::from_utf8_lossy(&all));
}
