//! Viewers, on real sockets: who may watch, who comes back, who is closed and told why.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use flate2::read::DeflateDecoder;
use serde::Deserialize;
use serde_json::Value;
use support::{
    post,
    server::Server,
    viewer::{Socket, frame, many_types, stalled, upgrade, watch},
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

/// The code of the Close frame, after whatever comes before it.
fn closed(socket: &mut Socket) -> Option<CloseCode> {
    loop {
        match socket.read() {
            Ok(Message::Close(reason)) => return reason.map(|reason| reason.code),
            Ok(_) => {}
            Err(e) => panic!("closed without a reason: {e}"),
        }
    }
}

/// Sends a handshake and reads no more than asked.
fn handshake(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(upgrade(server, headers).as_bytes()).unwrap();
    stream
}

/// Reads to the end, a little at a time.
fn drain(mut stream: TcpStream, pause: Duration) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 2048]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&some[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("neither data nor an end: {e}"),
        }
        std::thread::sleep(pause);
    }
}

/// Whether these bytes end with a Close frame of this code.
fn ends_with_close(bytes: &[u8], code: u16) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(127)..];
    let code = code.to_be_bytes();
    (0..tail.len().saturating_sub(3)).any(|at| {
        let (head, rest) = tail[at..].split_at(2);
        head[0] == 0x88 && rest.len() == usize::from(head[1]) && rest.starts_with(&code)
    })
}

/// Posts large frames, which `good` reads without a gap, until the metric says so.
fn post_until(server: &Server, good: &mut Socket, last: &mut u64, line: &str) {
    let batch = many_types();
    let mut rounds = 0;
    while !server.has_metric(line) {
        assert_eq!(post(server.addr(), &batch).unwrap(), 202);
        loop {
            let frame = frame(good);
            let seq = frame["seq"].as_u64().unwrap();
            assert!(frame["type"] == "snapshot" || seq == *last + 1, "the other misses nothing");
            *last = seq;
            if !frame["counts"].as_object().unwrap().is_empty() {
                break;
            }
        }
        rounds += 1;
        assert!(rounds < 2000, "never: {line}");
    }
}

fn status(mut stream: TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).into_owned()
}

#[test]
fn another_sites_page_may_not_watch() {
    let server = Server::with(&[("FLOODMARK_STREAM__ALLOWED_ORIGINS", "https://shop.example")]);
    assert_eq!(status(handshake(&server, "")), "101", "no browser");
    let own = format!("Origin: http://{}\r\n", server.addr());
    assert_eq!(status(handshake(&server, &own)), "101", "the server's own page");
    assert_eq!(status(handshake(&server, "Origin: https://shop.example\r\n")), "101");
    assert_eq!(status(handshake(&server, "Origin: https://evil.example\r\n")), "403");
    assert_eq!(status(handshake(&server, "Origin: null\r\n")), "403");
}

#[test]
fn more_viewers_than_allowed_are_told_to_come_back() {
    let server = Server::with(&[("FLOODMARK_STREAM__MAX_VIEWERS", "2")]);
    let _first = watch(&server, "");
    let second = watch(&server, "");
    assert_eq!(status(handshake(&server, "")), "503");
    drop(second);
    server.until("the place is free again", |server| status(handshake(server, "")) == "101");
}

#[test]
fn a_viewer_resumes_where_it_was() {
    let server = Server::start();
    let mut first = watch(&server, "");
    let snapshot = frame(&mut first);
    assert_eq!(snapshot["type"], "snapshot");
    assert_eq!(snapshot["snapshot"]["seconds"].as_array().map(Vec::len), Some(60));
    let epoch = snapshot["epoch"].as_str().unwrap();
    assert_eq!(post(server.addr(), br#"{"type":"page_view"}"#).unwrap(), 202);
    let mut seen = Vec::new();
    while !seen.iter().any(|frame: &Value| frame["counts"]["page_view"] == 1) {
        seen.push(frame(&mut first));
    }
    // Another viewer that says it saw the snapshot gets the very same frames.
    let seq = snapshot["seq"].as_u64().unwrap();
    let mut second = watch(&server, &format!("?resume={epoch}:{seq}"));
    for expected in seen {
        assert_eq!(frame(&mut second), expected);
    }
    // One that comes from another run of the server gets a snapshot.
    let mut third = watch(&server, "?resume=other:1");
    assert_eq!(frame(&mut third)["type"], "snapshot");
}

#[test]
fn a_resume_reaches_back_as_far_as_frames_are_kept() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "5"),
        ("FLOODMARK_STREAM__HEARTBEAT_MS", "5"),
        ("FLOODMARK_STREAM__RESUME_FRAMES", "300"),
    ]);
    let mut stayed = watch(&server, "");
    let snapshot = frame(&mut stayed);
    let (epoch, left_at) = (snapshot["epoch"].as_str().unwrap(), snapshot["seq"].as_u64().unwrap());
    // Many times what a mailbox holds, and what one write takes.
    let missed: Vec<Value> = (0..250).map(|_| frame(&mut stayed)).collect();
    let mut back = watch(&server, &format!("?resume={epoch}:{left_at}"));
    for expected in &missed {
        assert_eq!(&frame(&mut back), expected);
    }
    // And on, without a gap, among those that stayed.
    let last = missed.last().unwrap()["seq"].as_u64().unwrap();
    for seq in last + 1..last + 50 {
        let frame = frame(&mut back);
        assert_eq!((&frame["type"], frame["seq"].as_u64()), (&"delta".into(), Some(seq)));
    }
    while frame(&mut stayed)["seq"].as_u64().unwrap() < left_at + 400 {}
    let mut late = watch(&server, &format!("?resume={epoch}:{left_at}"));
    assert_eq!(frame(&mut late)["type"], "snapshot", "more than is kept");
}

#[test]
fn a_resume_of_too_many_bytes_is_a_snapshot() {
    let server = Server::with(&[("FLOODMARK_STREAM__RESUME_BYTES", "1000")]);
    let mut stayed = watch(&server, "");
    let snapshot = frame(&mut stayed);
    let resume =
        |frame: &Value| format!("?resume={}:{}", snapshot["epoch"].as_str().unwrap(), frame["seq"]);
    let quiet = frame(&mut stayed);
    assert_eq!(post(server.addr(), &many_types()).unwrap(), 202);
    while frame(&mut stayed)["counts"].as_object().unwrap().is_empty() {}
    let mut back = watch(&server, &resume(&quiet));
    assert_eq!(frame(&mut back)["type"], "snapshot");
}

#[test]
fn a_viewer_that_never_reads_is_cut_off_and_slows_nobody() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "500"),
        ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "200"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "4096"),
    ]);
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let stalled = stalled(&server);
    post_until(&server, &mut good, &mut last, "floodmark_viewer_evictions_total 1");
    post_until(&server, &mut good, &mut last, "floodmark_viewers 1");
    // Its connection is closed: what was in the buffers, and then the end.
    let rest = drain(stalled, Duration::ZERO);
    assert!(rest.starts_with(b"HTTP/1.1 101"));
}

#[test]
fn a_viewer_that_reads_too_slowly_is_told_so() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "300"),
        // As long as it takes to read what is in the buffers, on a busy machine too.
        ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "30000"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "16384"),
    ]);
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let slow = stalled(&server);
    let reader = std::thread::spawn(move || drain(slow, Duration::from_millis(100)));
    post_until(&server, &mut good, &mut last, "floodmark_viewer_evictions_total 1");
    let all = reader.join().unwrap();
    assert!(ends_with_close(&all, 1013), "{:?}", String::from_utf8_lossy(&all[all.len() - 60..]));
}

#[test]
fn a_viewer_that_answers_no_ping_is_closed() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__PING_INTERVAL_MS", "200"),
        ("FLOODMARK_STREAM__SILENCE_TIMEOUT_MS", "1000"),
    ]);
    // It reads all and says nothing.
    let mute = handshake(&server, "");
    // Reading is what answers its pings.
    let mut answering = watch(&server, "");
    let follow = std::thread::spawn(move || (0..4).map(|_| frame(&mut answering)).count());
    let everything = drain(mute, Duration::ZERO);
    assert!(everything.len() > 200, "it was served until then");
    assert!(ends_with_close(&everything, 1008), "{:?}", String::from_utf8_lossy(&everything));
    assert_eq!(follow.join().unwrap(), 4, "the other goes on");
}

#[test]
fn viewers_have_little_to_say() {
    let server = Server::start();
    let mut socket = watch(&server, "");
    frame(&mut socket);
    socket.send(Message::text("hello")).unwrap();
    socket.send(Message::binary(vec![7; 4096])).unwrap();
    frame(&mut socket);
    socket.send(Message::text("x".repeat(4097))).unwrap();
    assert_eq!(closed(&mut socket), Some(CloseCode::Size));
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
        let _ = socket.send(Message::binary(vec![7; 1024 * 1024]));
        while socket.read().is_ok_and(|message| !message.is_close()) {}
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
    let mut flood = handshake(&server, "");
    // Masked, empty: 5,000 at a time.
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
    // One that floods and never reads what it asked for is stopped by its own full buffers.
    let mut deaf = stalled(&server);
    deaf.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let sent = (0..4000).take_while(|_| deaf.write_all(&pings).is_ok()).count();
    assert!(sent < 4000, "the server takes no more than it can answer");
    let grown = server.memory_kb().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} kB");
    frame(&mut good);
}

#[test]
fn a_wrong_token_sees_nothing() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "secret")]);
    assert_eq!(status(handshake(&server, "")), "401");
    assert_eq!(status(handshake(&server, "Authorization: Bearer secrez\r\n")), "401");
    assert_eq!(status(handshake(&server, "Authorization: Bearer secret\r\n")), "101");
    let mut watching = watch(&server, "?token=secret");
    assert_eq!(frame(&mut watching)["type"], "snapshot");
}

/// One request on a connection that stays open; the whole head of the answer.
fn ask(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// The payload of the next text message, and whether it says that it is deflated.
fn text_message(connection: &mut TcpStream) -> (Vec<u8>, bool) {
    loop {
        let mut head = [0; 2];
        connection.read_exact(&mut head).unwrap();
        let mut more = match head[1] {
            126 => vec![0; 2],
            127 => vec![0; 8],
            _ => vec![],
        };
        connection.read_exact(&mut more).unwrap();
        let length = match more[..] {
            [] => u64::from(head[1]),
            _ => more.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mut payload = vec![0; length as usize];
        connection.read_exact(&mut payload).unwrap();
        if head[0] & 0x0f == 1 {
            return (payload, head[0] & 0x40 != 0);
        }
    }
}

/// Without what was before, and with the end of the flush put back (RFC 7692).
fn inflate(payload: &[u8]) -> Value {
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = serde_json::Deserializer::from_reader(DeflateDecoder::new(&whole[..]));
    Value::deserialize(&mut stream).unwrap()
}

#[test]
fn frames_are_deflated_for_a_viewer_that_offers_it_and_for_no_other() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let server = Server::start();
    let watch_raw = |server: &Server, headers: &str| {
        let mut connection = TcpStream::connect(server.addr()).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = ask(&mut connection, &upgrade(server, headers));
        assert!(head.starts_with("http/1.1 101"), "{head}");
        (connection, head)
    };
    let (mut small, head) = watch_raw(&server, offer);
    let taken = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n";
    assert!(head.contains(taken), "{head}");
    let (mut plain, head) = watch_raw(&server, "");
    assert!(!head.contains("extensions"), "{head}");
    // Each message stands alone: the second is read without the first.
    for _ in 0..2 {
        let ((deflated, is_deflated), (text, is_other)) =
            (text_message(&mut small), text_message(&mut plain));
        assert!(is_deflated && !is_other && deflated.len() < text.len());
        let frames = [inflate(&deflated), serde_json::from_slice(&text).unwrap()];
        assert!(frames.iter().all(|frame| frame["seq"].is_u64()), "{frames:?}");
    }
    // What a viewer says may be deflated as well, and is of no interest.
    small.write_all(&[0xc1, 0x83, 0, 0, 0, 0, 0xca, 0x49, 0x05]).unwrap();
    small.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&[0x8a, 2, b'h', b'i']) {
        let mut byte = [0];
        small.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }

    let server = Server::with(&[("FLOODMARK_STREAM__COMPRESSION", "false")]);
    let (mut plain, head) = watch_raw(&server, offer);
    assert!(!head.contains("extensions"), "{head}");
    assert!(!text_message(&mut plain).1);
}

#[test]
fn a_viewer_that_sends_without_end_is_closed() {
    let server = Server::start();
    let mut stream = handshake(&server, "");
    // A frame of a gigabyte, of which 64 kB come.
    let announced = [&[0x82, 0x80 | 127][..], &(1_u64 << 30).to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&announced).unwrap();
    // It may be cut before it has all of it.
    let _ = stream.write_all(&[0; 65536]);
    let all = drain(stream, Duration::ZERO);
    assert!(ends_with_close(&all, 1009), "{:?}", String::from_utf8_lossy(&all));
}

fn send_event(server: &Server, connection: &mut TcpStream) {
    let body = r#"{"type":"page_view"}"#;
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        server.addr(),
        body.len()
    );
    let head = ask(connection, &request);
    assert!(head.starts_with("http/1.1 202"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut answer = vec![0; length.unwrap().parse().unwrap()];
    connection.read_exact(&mut answer).unwrap();
}

#[test]
fn a_connection_that_sends_events_costs_one_file_and_can_not_watch() {
    let server = Server::start();
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let connect = || {
        let mut connection = TcpStream::connect(server.addr()).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        send_event(&server, &mut connection);
        connection
    };
    let mut first = connect();
    let before = open_files();
    let collectors: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    assert_eq!(open_files(), before + collectors.len());
    let head = ask(&mut first, &upgrade(&server, ""));
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(head.contains("retry-after: ") && head.contains("connection: close"), "{head}");
}

#[test]
fn a_server_that_stops_says_so_to_everyone_who_reads() {
    let mut server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "60000"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "16384"),
    ]);
    let mut sockets: Vec<Socket> = (0..50).map(|_| watch(&server, "")).collect();
    sockets.iter_mut().for_each(|socket| {
        frame(socket);
    });
    // One that is far behind when the server stops, and reads on only then.
    let behind = stalled(&server);
    let batch = many_types();
    for _ in 0..20 {
        assert_eq!(post(server.addr(), &batch).unwrap(), 202);
        for socket in &mut sockets {
            while frame(socket)["counts"].as_object().unwrap().is_empty() {}
        }
    }
    // A connection from before: no new one is accepted while the server stops.
    let mut early = TcpStream::connect(server.addr()).unwrap();
    early.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let health = format!("HEAD /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr());
    let head = ask(&mut early, &health);
    assert!(head.starts_with("http/1.1 "), "{head}");

    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(closed(&mut sockets[0]), Some(CloseCode::Away));
    let head = ask(&mut early, &upgrade(&server, ""));
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: "), "{head}");
    let late = std::thread::spawn(move || drain(behind, Duration::ZERO));
    for socket in &mut sockets[1..] {
        assert_eq!(closed(socket), Some(CloseCode::Away));
    }
    let all = late.join().unwrap();
    assert!(ends_with_close(&all, 1001), "{:?}", String::from_utf8_lossy(&all[all.len() - 60..]));
    drop((sockets, early));
    assert!(server.wait().success());
}
