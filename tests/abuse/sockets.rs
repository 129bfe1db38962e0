//! WebSockets: handshakes that are none, pages of other sites, and frames that no client sends.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    support::{
        client::Request,
        program::PATIENCE,
        viewer::{frame, upgrade, watch},
    },
    victim::Victim,
};

const STREAM: &str = "/api/analytics/stream";

#[test]
fn handshakes_that_are_none_are_refused() {
    let victim = Victim::start();
    let addr = victim.server.addr();
    let good: [(&str, &str); 4] = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let status = |method: &str, headers: &[(&str, &str)]| {
        let mut request = Request::new(addr, method, STREAM);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().expect("an answer").status
    };
    assert_eq!(status("GET", &good), 101);
    for missing in 0..good.len() {
        let rest: Vec<_> = (0..4).filter(|at| *at != missing).map(|at| good[at]).collect();
        assert_eq!(status("GET", &rest), 400, "without {}", good[missing].0);
    }
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "CONNECT"] {
        let refused = status(method, &good);
        assert!([400, 405].contains(&refused), "{method}: {refused}");
    }
    for (name, value, expected) in [
        ("Sec-WebSocket-Version", "12", 400),
        ("Sec-WebSocket-Version", "13, 8", 400),
        ("Upgrade", "h2c", 400),
        ("Connection", "keep-alive", 400),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Origin", "http://127.0.0.1", 403),
        ("Host", "evil.example", 421),
    ] {
        let others = good.iter().filter(|(known, _)| *known != name).copied();
        let headers: Vec<_> = others.chain([(name, value)]).collect();
        assert_eq!(status("GET", &headers), expected, "{name}: {value}");
    }
    victim.stands();
}

/// A frame of a client: its first two bytes, what comes before the mask, and the payload.
fn bytes_of(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [&[first][..], length, &mask].concat().into_iter().chain(masked).collect()
}

#[test]
fn frames_that_are_none_close_the_socket_and_nothing_else() {
    let victim = Victim::start();
    let mut good = watch(&victim.server, "");
    frame(&mut good);
    let huge = [&[0xff][..], &(1u64 << 63).to_be_bytes()].concat();
    let largest = [&[0xff][..], &u64::MAX.to_be_bytes()].concat();
    let bomb = {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'x'; 3 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    for (what, frames) in [
        ("no mask", b"\x81\x01x".to_vec()),
        ("2^63 bytes", bytes_of(0x82, &huge, b"x")),
        ("2^64 - 1 bytes", bytes_of(0x82, &largest, b"x")),
        ("an unknown opcode", bytes_of(0x83, &[0x81], b"x")),
        ("an unknown control opcode", bytes_of(0x8f, &[0x81], b"x")),
        ("all reserved bits", bytes_of(0xf1, &[0x81], b"x")),
        ("a long ping", bytes_of(0x89, &[0xfe, 0x01, 0x00], &[b'x'; 256])),
        ("a ping in pieces", bytes_of(0x09, &[0x81], b"x")),
        ("a continuation of nothing", bytes_of(0x80, &[0x81], b"x")),
        (
            "a text in a text",
            [bytes_of(0x01, &[0x81], b"x"), bytes_of(0x81, &[0x81], b"x")].concat(),
        ),
        ("no UTF-8", bytes_of(0x81, &[0x82], &[0xff, 0xfe])),
        ("a close of one byte", bytes_of(0x88, &[0x81], b"x")),
        ("a close of an odd code", bytes_of(0x88, &[0x82], &1005u16.to_be_bytes())),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (
            "a frame that unpacks to 3 MiB",
            bytes_of(0xc1, &[0xfe, (bomb.len() >> 8) as u8, bomb.len() as u8], &bomb),
        ),
        ("pieces without end", bytes_of(0x01, &[0x80], b"").repeat(20_000)),
    ] {
        let mut stream = TcpStream::connect(victim.server.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&upgrade(victim.server.addr()).bytes()).unwrap();
        // The server may have hung up before all of it was sent.
        let _ = stream.write_all(&frames);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut came = Vec::new();
        if let Err(e) = stream.read_to_end(&mut came) {
            assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{what}: {e}");
        }
        let second = String::from_utf8_lossy(&came).matches("HTTP/1.1 ").count();
        assert!(second <= 1, "{what}: a frame was read as a request");
    }
    frame(&mut good);
    victim.server.until("the others are gone", |server| server.has_metric("floodmark_viewers 1"));
    victim.stands();
}

/// A page of another site can open a WebSocket to any path, so no path but the stream may take one.
#[test]
fn no_other_route_becomes_a_socket() {
    let victim = Victim::start();
    for path in ["/", "/metrics", "/healthz", "/api/analytics/current", "/v1/events", "/nothing"] {
        let mut request = Request::get(victim.server.addr(), path);
        for (name, value) in [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.header(name, value);
        }
        let answer = request.send().expect("an answer");
        assert_ne!(answer.status, 101, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
    }
    victim.stands();
}
