//! The stream over real sockets: a server in this process, and viewers good and bad.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    rt::{net::TcpStream, time::timeout},
    web,
};
use floodmark::{
    broadcast::{ActiveUsers, Clock, Settings, Viewers, on_connect, real_clock, start},
    config::{self, Config},
    domain::{
        delta::{Delta, DeltaSum, Series},
        time::{BusinessZone, Millis, now_ms, parse_rfc3339},
    },
    http,
    live::{Feed, state::LiveState},
};
use futures_util::{SinkExt, StreamExt, future::join_all};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::frame::{CloseFrame, coding::CloseCode},
    },
};

/// How long a condition is waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    addr: SocketAddr,
    viewers: Viewers,
    feed: mpsc::Sender<Feed>,
}

fn stream_config() -> config::Stream {
    config::Stream {
        tick_ms: 20,
        heartbeat_ms: 200,
        ..Config::default().stream
    }
}

impl Server {
    async fn start(stream: config::Stream) -> Server {
        Server::with_clock(stream, real_clock()).await
    }

    async fn with_clock(stream: config::Stream, clock: Clock) -> Server {
        let (feed, events) = mpsc::channel(64);
        let zone = BusinessZone::named("UTC").unwrap();
        let settings = Settings {
            stream,
            zone: zone.clone(),
            currency: "EUR".into(),
            active_window_s: 300,
            clock,
        };
        let viewers = start(settings, events, &actix::Arbiter::new().handle());
        let data = web::Data::new(viewers.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .configure(http::stream::routes)
                .configure(http::query::routes)
        })
        .on_connect(on_connect)
        .workers(2)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let addr = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        let server = Server {
            addr,
            viewers,
            feed,
        };
        server
            .send(Feed::Reset(Box::new(LiveState::new(zone))))
            .await;
        until(|| server.viewers.view().is_filled()).await;
        server
    }

    async fn send(&self, event: Feed) {
        self.feed.send(event).await.unwrap();
    }

    async fn delta(&self, delta: Delta) {
        let delta = Arc::new(delta);
        let sealed_at = now_ms();
        self.send(Feed::Delta { delta, sealed_at }).await;
    }

    fn url(&self, query: &str) -> String {
        format!("ws://{}/api/analytics/stream{query}", self.addr)
    }

    async fn viewer(&self, query: &str) -> Viewer {
        let connected = timeout(PATIENCE, connect_async(self.url(query))).await;
        let (socket, _) = connected.unwrap().unwrap();
        Viewer {
            socket,
            epoch: String::new(),
            seq: 0,
            snapshots: 0,
            counts: BTreeMap::new(),
        }
    }

    /// A client that speaks TCP only: what it reads, it reads itself.
    fn raw(&self, receive_buffer: Option<usize>) -> std::net::TcpStream {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.connect(&self.addr.into()).unwrap();
        let mut stream: std::net::TcpStream = socket.into();
        let request = format!(
            "GET /api/analytics/stream HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.addr
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.addr);
        let mut response = awc::Client::default().get(url).send().await.unwrap();
        let body = response.body().await.unwrap();
        (
            response.status().as_u16(),
            serde_json::from_slice(&body).unwrap(),
        )
    }
}

/// A viewer that adds frames up and checks that none is missing.
struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    epoch: String,
    seq: u64,
    snapshots: u64,
    counts: BTreeMap<String, u64>,
}

impl Viewer {
    async fn message(&mut self) -> Option<Result<Message, Error>> {
        let next = timeout(PATIENCE, self.socket.next()).await;
        next.expect("a frame comes every second")
    }

    async fn frame(&mut self) -> Value {
        loop {
            let message = self.message().await.unwrap().unwrap();
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            let seq = frame["seq"].as_u64().unwrap();
            if frame["type"] == "snapshot" {
                self.epoch = frame["epoch"].as_str().unwrap().into();
                self.counts.clear();
                self.add(&frame["snapshot"]["counts"]);
                self.snapshots += 1;
            } else {
                assert_eq!(seq, self.seq + 1, "a gap in the stream");
                self.add(&frame["counts"]);
            }
            self.seq = seq;
            return frame;
        }
    }

    fn add(&mut self, counts: &Value) {
        for (kind, n) in counts.as_object().unwrap() {
            *self.counts.entry(kind.clone()).or_default() += n.as_u64().unwrap();
        }
    }

    fn count(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    /// Follows until it has counted this many events.
    async fn until_count(&mut self, kind: &str, n: u64) {
        while self.count(kind) < n {
            self.frame().await;
        }
        assert_eq!(self.count(kind), n);
    }

    /// Follows until it is closed.
    async fn until_closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.message().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            actix_web::rt::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("condition in time");
}

fn events(kind: &str, n: u64, at: Millis) -> Delta {
    let mut sum = DeltaSum::default();
    for _ in 0..n {
        sum.count(kind, at);
        sum.sum(Series::revenue(), at, 199_900);
    }
    sum.finish()
}

/// A delta that makes a frame of some 50 kB.
fn big_delta() -> Delta {
    let mut sum = DeltaSum::default();
    for n in 0..300 {
        sum.count(&format!("{n:03}{}", "x".repeat(60)), now_ms());
    }
    sum.count("tick", now_ms());
    sum.finish()
}

/// Reads a raw connection to its end, on a thread of its own.
async fn drain(mut stream: std::net::TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = web::block(move || {
        let mut all = Vec::new();
        let mut some = [0; 64 * 1024];
        loop {
            match stream.read(&mut some) {
                Ok(0) => return all,
                Ok(n) => all.extend_from_slice(&some[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return all,
                Err(e) => panic!("neither data nor an end: {e}"),
            }
        }
    });
    read.await.unwrap()
}

#[actix_web::test]
async fn a_viewer_follows_and_agrees_with_current() {
    let server = Server::start(stream_config()).await;
    let at = now_ms();
    server.delta(events("page_view", 3, at)).await;
    let mut early = server.viewer("").await;
    assert_eq!(early.frame().await["type"], "snapshot");
    early.until_count("page_view", 3).await;
    server.delta(events("purchase", 2, at)).await;
    early.until_count("purchase", 2).await;
    let mut late = server.viewer("").await;
    let first = late.frame().await;
    assert_eq!(first["counts"], serde_json::json!({}));
    assert_eq!(first["snapshot"]["revenue"].to_string(), "99.95");
    assert_eq!(first["snapshot"]["seconds"].as_array().unwrap().len(), 60);
    assert_eq!(first["snapshot"]["minutes"].as_array().unwrap().len(), 60);
    assert_eq!(late.counts, early.counts);

    let active = server.viewers.active_users();
    active.send(ActiveUsers(7)).await.unwrap();
    while early.frame().await["activeUsers"] != 7 {}

    let (status, current) = server.get("/api/analytics/current").await;
    assert_eq!(status, 200);
    assert_eq!(current["pageViews"], 3);
    assert_eq!(current["purchases"], 2);
    assert_eq!(current["events"], 5);
    assert_eq!(current["errorRate"], 0.0);
    assert_eq!(current["activeUsers"], 7);
    assert_eq!(current["revenue"].to_string(), "99.95");
    assert_eq!(current.get("behindMs"), None);

    let (_, series) = server
        .get("/api/analytics/timeseries?type=page_view&hours=1")
        .await;
    let series = series.as_array().unwrap();
    assert_eq!(series.len(), 60);
    assert_eq!(
        series
            .iter()
            .map(|p| p["count"].as_u64().unwrap())
            .sum::<u64>(),
        3
    );
    let (status, error) = server.get("/api/analytics/timeseries?hours=x").await;
    assert_eq!(status, 400);
    assert_eq!(error["error"]["code"], "invalid_parameter");
}

#[actix_web::test]
async fn a_viewer_resumes_where_it_left() {
    let server = Server::start(stream_config()).await;
    let mut viewer = server.viewer("").await;
    viewer.frame().await;
    server.delta(events("a", 1, now_ms())).await;
    viewer.until_count("a", 1).await;

    let mut other = server.viewer("").await;
    other.frame().await;
    drop(viewer.socket);
    for n in 2..=5 {
        server.delta(events("a", 1, now_ms())).await;
        other.until_count("a", n).await;
    }
    let back = format!("?resume={}:{}", viewer.epoch, viewer.seq);
    viewer.socket = server.viewer(&back).await.socket;
    viewer.until_count("a", 5).await;
    // A seq gap would have failed; a snapshot would show here.
    assert_eq!(viewer.snapshots, 1);

    for unknown in ["?resume=nope:1", "?resume=garbage", "?resume="] {
        let mut fresh = server.viewer(unknown).await;
        assert_eq!(fresh.frame().await["type"], "snapshot");
        assert_eq!(fresh.count("a"), 5);
    }
}

#[actix_web::test]
async fn a_viewer_that_never_reads_is_evicted_and_delays_nobody() {
    let server = Server::start(config::Stream {
        slow_timeout_ms: 500,
        // Neither silence nor TCP_USER_TIMEOUT ends it here.
        silence_timeout_ms: 600_000,
        send_buffer_bytes: 16 * 1024,
        ..stream_config()
    })
    .await;
    let mut reader = server.viewer("").await;
    reader.frame().await;
    let stuck = server.raw(Some(4096));
    until(|| server.viewers.count() == 2).await;

    // The one that reads sees every frame (a gap fails) with nothing but its first
    // snapshot, until the other is gone.
    let others_go_on = async {
        let mut sent = 0;
        while server.viewers.count() == 2 {
            server.delta(big_delta()).await;
            sent += 1;
            reader.until_count("tick", sent).await;
        }
    };
    timeout(PATIENCE, others_go_on)
        .await
        .expect("it is evicted");
    assert_eq!(reader.snapshots, 1);
    // It is over for the other one, too: what the kernel still holds, and then the end.
    let got = drain(stuck).await;
    assert!(got.starts_with(b"HTTP/1.1 101"));
    reader.frame().await;
}

#[actix_web::test]
async fn a_viewer_that_lags_is_caught_up_with_a_snapshot() {
    let server = Server::start(config::Stream {
        slow_timeout_ms: 60_000,
        send_buffer_bytes: 16 * 1024,
        ..stream_config()
    })
    .await;
    let mut reader = server.viewer("").await;
    reader.frame().await;
    let mut pausing = server.viewer("").await;
    pausing.frame().await;
    // It reads nothing while a multiple of all buffers is sent.
    for n in 1..=200 {
        server.delta(big_delta()).await;
        reader.until_count("tick", n).await;
    }
    pausing.until_count("tick", 200).await;
    assert_eq!(reader.snapshots, 1);
    assert!(pausing.snapshots > 1);
    assert!(pausing.seq <= reader.seq + 5);
}

#[actix_web::test]
async fn a_viewer_that_answers_no_ping_is_closed() {
    let server = Server::start(config::Stream {
        ping_interval_ms: 50,
        silence_timeout_ms: 400,
        ..stream_config()
    })
    .await;
    let mut alive = server.viewer("").await;
    alive.frame().await;
    // It reads, but never sends a thing.
    let mut silent = actix_web::rt::spawn(drain(server.raw(None)));
    let got = loop {
        tokio::select! {
            got = &mut silent => break got.unwrap(),
            _ = alive.frame() => {}
        }
    };
    let ping = [0x89, 0];
    assert!(got.windows(2).any(|bytes| bytes == ping));
    let close = [&[0x88, 2 + 7], &1008u16.to_be_bytes()[..], b"no pong"].concat();
    assert!(
        got.ends_with(&close),
        "{:?}",
        &got[got.len().saturating_sub(20)..]
    );
    until(|| server.viewers.count() == 1).await;
    alive.frame().await;
}

#[actix_web::test]
async fn a_foreign_origin_is_refused() {
    let server = Server::start(config::Stream {
        allowed_origins: vec!["https://wall.example".into()],
        ..stream_config()
    })
    .await;
    let own = format!("http://{}", server.addr);
    for (origin, expected) in [
        ("https://evil.example", 403),
        (own.as_str(), 101),
        ("https://wall.example", 101),
    ] {
        let mut request = server.url("").into_client_request().unwrap();
        request
            .headers_mut()
            .insert("Origin", origin.parse().unwrap());
        let status = match connect_async(request).await {
            Ok((_, response)) => response.status(),
            Err(Error::Http(response)) => {
                let body: Value =
                    serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
                assert_eq!(body["error"]["code"], "origin_not_allowed");
                response.status()
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(status, expected, "{origin}");
    }
    let (status, error) = server.get("/api/analytics/stream").await;
    assert_eq!(status, 400);
    assert_eq!(error["error"]["code"], "websocket_expected");
}

#[actix_web::test]
async fn what_a_viewer_sends_is_ignored_up_to_4_kib_and_refused_beyond() {
    let server = Server::start(stream_config()).await;
    let mut viewer = server.viewer("").await;
    viewer.frame().await;
    let small = "x".repeat(4096);
    viewer
        .socket
        .send(Message::text(small.clone()))
        .await
        .unwrap();
    viewer.socket.send(Message::binary(small)).await.unwrap();
    viewer
        .socket
        .send(Message::Ping("hi".into()))
        .await
        .unwrap();
    loop {
        if let Message::Pong(bytes) = viewer.message().await.unwrap().unwrap() {
            assert_eq!(bytes, "hi");
            break;
        }
    }
    viewer.frame().await;
    viewer
        .socket
        .send(Message::text("x".repeat(4097)))
        .await
        .unwrap();
    let closed = viewer.until_closed().await.expect("a Close frame");
    assert_eq!(closed.code, CloseCode::Size);
    until(|| server.viewers.count() == 0).await;
}

#[actix_web::test]
async fn a_full_house_answers_503() {
    let server = Server::start(config::Stream {
        max_viewers: 1,
        ..stream_config()
    })
    .await;
    let mut first = server.viewer("").await;
    first.frame().await;
    let Err(Error::Http(response)) = connect_async(server.url("")).await else {
        panic!("there was no place");
    };
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "10");
    first.socket.close(None).await.unwrap();
    until(|| server.viewers.count() == 0).await;
    server.viewer("").await.frame().await;
}

#[actix_web::test]
async fn a_shutdown_closes_all_with_1001() {
    let server = Server::start(stream_config()).await;
    let mut viewers = join_all((0..50).map(|_| server.viewer(""))).await;
    for viewer in &mut viewers {
        viewer.frame().await;
    }
    // One that does not read can't hold it up.
    let _stuck = server.raw(Some(4096));
    until(|| server.viewers.count() == 51).await;
    let shutdown = server.viewers.shutdown(Duration::from_secs(20));
    let closed = join_all(viewers.iter_mut().map(Viewer::until_closed));
    let (cut, closed) = futures_util::future::join(shutdown, closed).await;
    assert_eq!(cut, 0);
    assert!(closed.iter().all(|frame| {
        frame
            .as_ref()
            .is_some_and(|frame| frame.code == CloseCode::Away)
    }));
    let Err(Error::Http(response)) = connect_async(server.url("")).await else {
        panic!("it is closed");
    };
    assert_eq!(response.status(), 503);
}

#[actix_web::test]
async fn today_turns_over_at_midnight_for_those_who_watch() {
    let clock = Arc::new(AtomicI64::new(
        parse_rfc3339("2026-11-27T23:59:59Z").unwrap(),
    ));
    let read = clock.clone();
    let moved: Clock = Arc::new(move || read.load(Ordering::Relaxed));
    let server = Server::with_clock(stream_config(), moved).await;
    let mut viewer = server.viewer("").await;
    assert_eq!(viewer.frame().await["snapshot"]["day"], "2026-11-27");
    server
        .delta(events("a", 4, clock.load(Ordering::Relaxed)))
        .await;
    viewer.until_count("a", 4).await;

    clock.fetch_add(1_500, Ordering::Relaxed);
    let snapshot = loop {
        let frame = viewer.frame().await;
        if frame["type"] == "snapshot" && frame["snapshot"]["day"] == "2026-11-28" {
            break frame;
        }
    };
    assert_eq!(snapshot["snapshot"]["counts"], serde_json::json!({}));
    // A late event of yesterday is yesterday's; one of today counts.
    let now = clock.load(Ordering::Relaxed);
    server.delta(events("a", 1, now - 2_000)).await;
    server.delta(events("a", 2, now)).await;
    viewer.until_count("a", 2).await;
    let (_, current) = server.get("/api/analytics/current").await;
    assert_eq!(current["counts"], serde_json::json!({"a": 2}));
    assert_eq!(current["revenue"].to_string(), "39.98");
}

#[actix_web::test]
async fn a_rebuilt_live_store_and_an_interruption_reach_the_viewers() {
    let server = Server::start(stream_config()).await;
    let mut viewer = server.viewer("").await;
    viewer.frame().await;
    let reason = "redis does not answer".to_string();
    server
        .send(Feed::Interrupted {
            reason: reason.clone(),
        })
        .await;
    while viewer.frame().await.get("behindMs").is_none() {}
    assert_eq!(server.viewers.view().interrupted(), Some(reason));

    let mut rebuilt = LiveState::new(BusinessZone::named("UTC").unwrap());
    rebuilt.apply(&events("a", 9, now_ms()), now_ms());
    server.send(Feed::Reset(Box::new(rebuilt))).await;
    viewer.until_count("a", 9).await;
    assert_eq!(viewer.snapshots, 2);
    assert!(viewer.frame().await.get("behindMs").is_none());
}

#[actix_web::test]
async fn five_hundred_connect_at_once_and_all_agree() {
    let server = Server::start(stream_config()).await;
    let feed = server.feed.clone();
    let sending = actix_web::rt::spawn(async move {
        for _ in 0..200 {
            let delta = Arc::new(events("a", 5, now_ms()));
            let sealed_at = now_ms();
            feed.send(Feed::Delta { delta, sealed_at }).await.unwrap();
            actix_web::rt::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let viewers = join_all((0..500).map(|_| async {
        let mut viewer = server.viewer("").await;
        viewer.until_count("a", 1_000).await;
        viewer
    }))
    .await;
    sending.await.unwrap();
    assert_eq!(server.viewers.count(), 500);
    drop(viewers);
    until(|| server.viewers.count() == 0).await;
}

/// Run by hand: `cargo test --release --test stream -- --ignored --nocapture memory`.
#[actix_web::test]
#[ignore = "a measurement"]
async fn memory_of_a_viewer() {
    const VIEWERS: usize = 2_000;
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let server = Server::start(stream_config()).await;
    server.viewer("").await.frame().await;
    until(|| server.viewers.count() == 0).await;
    let before = rss();
    let mut raw = Vec::new();
    for _ in 0..VIEWERS {
        let stream = server.raw(None);
        stream.set_nonblocking(true).unwrap();
        raw.push(stream);
        until(|| server.viewers.count() == raw.len()).await;
    }
    let mut read_all = async |times: usize, delta: &dyn Fn() -> Delta| {
        let mut sink = vec![0; 256 * 1024];
        for _ in 0..times {
            server.delta(delta()).await;
            actix_web::rt::time::sleep(Duration::from_millis(100)).await;
            for stream in &mut raw {
                while stream.read(&mut sink).is_ok_and(|n| n > 0) {}
            }
        }
    };
    let per_viewer = |now: f64| (now - before) / VIEWERS as f64;
    read_all(20, &|| events("page_view", 5, now_ms())).await;
    println!("quiet: {:.1} KiB a viewer", per_viewer(rss()));
    read_all(20, &big_delta).await;
    println!("in a burst of 50 kB frames: {:.1}", per_viewer(rss()));
    read_all(50, &|| events("page_view", 5, now_ms())).await;
    println!("after the burst: {:.1}", per_viewer(rss()));
    assert_eq!(server.viewers.count(), VIEWERS);
}
