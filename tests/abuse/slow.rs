//! Clients that are slow in every direction: each loses its connection in the time that is set for it, and
//! meanwhile everybody else is served.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    support::{program::PATIENCE, viewer::stalled},
    victim::Victim,
};

/// Timeouts of a second or so for all that can be slow.
const IMPATIENT: &[(&str, &str)] = &[
    ("FLOODMARK_HTTP__HEADER_TIMEOUT_MS", "1500"),
    ("FLOODMARK_HTTP__BODY_TIMEOUT_MS", "2000"),
    ("FLOODMARK_HTTP__BODY_GRACE_MS", "500"),
    ("FLOODMARK_HTTP__WRITE_TIMEOUT_MS", "1500"),
    ("FLOODMARK_HTTP__KEEP_ALIVE_MS", "1500"),
    ("FLOODMARK_STREAM__PING_INTERVAL_MS", "500"),
    ("FLOODMARK_STREAM__SILENCE_TIMEOUT_MS", "1500"),
    ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "1000"),
    ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "1000"),
];

fn connect(victim: &Victim) -> TcpStream {
    let stream = TcpStream::connect(victim.server.addr()).expect("it takes connections");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The sockets that the server has open.
fn connections(victim: &Victim) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", victim.server.pid())).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Sends one drop after the other until the server has ended the connection.
fn trickle(mut stream: TcpStream, what: &str, drop: &[u8]) {
    let began = Instant::now();
    while stream.write_all(drop).is_ok() {
        thread::sleep(Duration::from_millis(50));
        assert!(began.elapsed() < PATIENCE, "{what}: it is still open");
    }
}

/// Waits until the server has ended the connection, and reads all that comes.
fn ends(mut stream: TcpStream, what: &str) {
    match std::io::copy(&mut stream, &mut std::io::sink()) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(e) => panic!("{what}: {e}"),
    }
}

/// Does what `attack` does, while somebody else posts events one after the other.
fn while_others_are_served(victim: &Victim, attack: impl FnOnce() + Send) {
    let is_over = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut taken = 0;
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                assert_eq!(victim.server.post("{\"type\":\"page_view\"}").status, 202);
                assert!(began.elapsed() < PATIENCE / 4, "others wait for {:?}", began.elapsed());
                taken += 1;
                thread::sleep(Duration::from_millis(20));
            }
            taken
        });
        let attack = scope.spawn(attack);
        let attacked = attack.join();
        is_over.store(true, Ordering::Relaxed);
        let taken = others.join().expect("others are served");
        attacked.expect("the attack went as described");
        taken
    });
    assert!(taken > 0);
    victim.took(taken);
}

#[test]
fn who_sends_slowly_is_closed() {
    let victim = Victim::with(IMPATIENT);
    let start = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n";
    let sized = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    let chunked = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begin = |bytes: &[u8]| {
        let mut stream = connect(&victim);
        stream.write_all(bytes).unwrap();
        stream
    };
    while_others_are_served(&victim, || {
        thread::scope(|scope| {
            let cases: [(&str, &[u8], &[u8]); 8] = [
                ("nothing but a drop of a method", b"", b"P"),
                ("a head", start, b"X"),
                ("headers, one at a time", start, b"X: y\r\n"),
                ("a body of a length", sized, b"x"),
                ("chunks of one byte", chunked, b"1\r\nx\r\n"),
                ("the size of a chunk", chunked, b"0"),
                ("the extension of a chunk", &[chunked, &b"1;"[..]].concat(), b"x"),
                ("trailers", &[chunked, &b"0\r\n"[..]].concat(), b"X: y\r\n"),
            ];
            for (what, first, drop) in cases {
                let stream = begin(first);
                scope.spawn(move || trickle(stream, what, drop));
            }
            for (what, first) in [
                ("silence", &b""[..]),
                ("silence in a head", start),
                ("silence in a body", sized),
                ("silence in chunks", chunked),
                ("silence after a request", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
            ] {
                let stream = begin(first);
                scope.spawn(move || ends(stream, what));
            }
        });
    });
    victim.stands();
}

#[test]
fn two_hundred_slow_heads_stop_nobody() {
    let victim = Victim::with(IMPATIENT);
    while_others_are_served(&victim, || {
        let slow: Vec<TcpStream> = (0..200)
            .map(|_| {
                let mut stream = connect(&victim);
                stream.write_all(b"POST /v1/events HTTP/1.1\r\n").unwrap();
                stream
            })
            .collect();
        for stream in slow {
            ends(stream, "a slow head");
        }
    });
    victim.stands();
}

#[test]
fn who_never_reads_is_cut() {
    let victim = Victim::with(IMPATIENT);
    // Answers of some 100 kB, more than the kernel keeps for who does not read.
    let ask = b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let before = connections(&victim);
    while_others_are_served(&victim, || {
        let pipelined: Vec<TcpStream> = (0..20)
            .map(|_| {
                let mut stream = connect(&victim);
                stream.write_all(&ask).unwrap();
                stream
            })
            .collect();
        let viewers: Vec<TcpStream> =
            (0..20).map(|_| stalled(victim.server.addr(), 4096)).collect();
        victim.server.until("those who read nothing have no connection", |server| {
            server.has_metric("floodmark_viewers 0") && connections(&victim) < before + 10
        });
        for stream in pipelined.into_iter().chain(viewers) {
            ends(stream, "who never reads");
        }
    });
    victim.stands();
}

#[test]
fn who_reads_a_byte_now_and_then_is_cut() {
    let victim = Victim::with(IMPATIENT);
    let ask = b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let mut stream = connect(&victim);
    stream.write_all(&ask).unwrap();
    let (mut byte, began) = ([0], Instant::now());
    while matches!(stream.read(&mut byte), Ok(1)) {
        // What the kernel has for it lasts for long, but the server stops long before.
        if victim.server.get_text("/metrics").contains("{limit=\"write_timeout_ms\"} 1") {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        assert!(began.elapsed() < PATIENCE, "it still gets its answers");
    }
    victim.stands();
}
