//! Viewers, on real sockets: who may watch, who comes back, who is cut off.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;
use support::{post, server::Server};
use tokio_tungstenite::tungstenite::{self, Message, protocol::frame::coding::CloseCode};

type Socket = tungstenite::WebSocket<tungstenite::stream::MaybeTlsStream<TcpStream>>;

fn watch(server: &Server, query: &str) -> Socket {
    let url = format!("ws://{}/api/analytics/stream{query}", server.addr());
    tungstenite::connect(url).expect("admitted").0
}

/// The next frame; pings are answered on the way.
fn frame(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("the stream goes on") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

/// Sends a handshake and reads no more than asked.
fn handshake(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "GET /api/analytics/stream HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        server.addr()
    )
    .unwrap();
    stream
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
fn a_viewer_that_never_reads_is_cut_off_and_slows_nobody() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "500"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "4096"),
    ]);
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let stalled = handshake(&server, "");
    socket2::SockRef::from(&stalled).set_recv_buffer_size(1024).unwrap();

    // Frames are large where there are many types.
    let batch: Vec<Value> = (0..400)
        .map(|n| serde_json::json!({"type": format!("a-rather-long-type-of-event-{n}")}))
        .collect();
    let batch = serde_json::to_vec(&batch).unwrap();
    let mut rounds = 0;
    loop {
        assert_eq!(post(server.addr(), &batch).unwrap(), 202);
        for _ in 0..3 {
            let frame = frame(&mut good);
            let seq = frame["seq"].as_u64().unwrap();
            assert!(frame["type"] == "snapshot" || seq == last + 1, "the other misses nothing");
            last = seq;
        }
        let metrics = server.get_text("/metrics");
        if metrics.lines().any(|line| line == "floodmark_viewer_evictions_total 1") {
            break;
        }
        rounds += 1;
        assert!(rounds < 2000, "never evicted:\n{metrics}");
    }
    // Its connection is closed: what was in the buffers, and then the end.
    let mut stalled = stalled;
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    server.until("one viewer is left", |server| {
        server.get_text("/metrics").lines().any(|line| line == "floodmark_viewers 1")
    });
}

#[test]
fn a_viewer_that_answers_no_ping_is_closed() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__PING_INTERVAL_MS", "200"),
        ("FLOODMARK_STREAM__SILENCE_TIMEOUT_MS", "1000"),
    ]);
    let mut mute = handshake(&server, "");
    // Reading is what answers its pings.
    let mut answering = watch(&server, "");
    let follow = std::thread::spawn(move || (0..4).map(|_| frame(&mut answering)).count());
    let mut everything = Vec::new();
    // Reads all, says nothing: ends when the server closes.
    let _ = mute.read_to_end(&mut everything);
    assert!(everything.len() > 200, "it was served until then");
    assert_eq!(follow.join().unwrap(), 4, "the other goes on");
}

#[test]
fn viewers_have_little_to_say() {
    let server = Server::start();
    let mut socket = watch(&server, "");
    frame(&mut socket);
    socket.send(Message::text("hello")).unwrap();
    frame(&mut socket);
    socket.send(Message::text("x".repeat(5000))).unwrap();
    let closed = loop {
        match socket.read() {
            Ok(Message::Close(reason)) => break reason.map(|reason| reason.code),
            Ok(_) => {}
            Err(e) => panic!("closed without a reason: {e}"),
        }
    };
    assert_eq!(closed, Some(CloseCode::Size));
}

#[test]
fn a_server_that_stops_says_so() {
    let mut server = Server::start();
    let mut sockets: Vec<Socket> = (0..20).map(|_| watch(&server, "")).collect();
    sockets.iter_mut().for_each(|socket| {
        frame(socket);
    });
    let reader = std::thread::spawn(move || {
        for mut socket in sockets {
            let code = loop {
                match socket.read() {
                    Ok(Message::Close(reason)) => break reason.map(|reason| reason.code),
                    Ok(_) => {}
                    Err(e) => panic!("closed without a reason: {e}"),
                }
            };
            assert_eq!(code, Some(CloseCode::Away));
        }
    });
    assert!(server.terminate().success());
    reader.join().unwrap();
}
