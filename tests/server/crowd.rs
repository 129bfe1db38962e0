//! Many viewers of one server: most of them read, some never do, and some come and go. After a
//! crash all of them come back at once.

use crate::support::{
    program::PATIENCE,
    server::Server,
    viewer::{many_types, stalled, watch_among_many},
};
use futures_util::{StreamExt, future::join_all};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// A viewer that adds up its frames, and panics if a frame is missing.
struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    epoch: String,
    seq: u64,
    snapshots: u64,
    events: u64,
}

impl Viewer {
    async fn watch(server: &Server) -> Viewer {
        let socket = watch_among_many(server.addr(), "").await;
        Viewer { socket, epoch: String::new(), seq: 0, snapshots: 0, events: 0 }
    }

    /// Opens another connection that goes on after the last frame it has seen.
    async fn resume(&mut self, server: &Server) {
        let query = format!("?resume={}:{}", self.epoch, self.seq);
        self.socket = watch_among_many(server.addr(), &query).await;
    }

    async fn frame(&mut self) {
        let frame: Value = loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("frames go on");
            if let Message::Text(text) = next.expect("open").expect("well-formed") {
                break serde_json::from_str(&text).unwrap();
            }
        };
        let seq = frame["seq"].as_u64().unwrap();
        if frame["type"] == "snapshot" {
            self.epoch = frame["epoch"].as_str().unwrap().to_owned();
            self.events = frame["snapshot"]["events"].as_u64().unwrap();
            self.snapshots += 1;
        } else {
            assert_eq!(seq, self.seq + 1, "a gap");
            let counts = frame["counts"].as_object().unwrap();
            self.events += counts.values().filter_map(Value::as_u64).sum::<u64>();
        }
        self.seq = seq;
    }

    async fn until_events(&mut self, n: u64) {
        while self.events < n {
            self.frame().await;
        }
        assert_eq!(self.events, n);
    }
}

#[tokio::test]
async fn of_three_hundred_viewers_thirty_never_read_and_the_rest_miss_nothing() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "1000"),
        ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "200"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "4096"),
    ]);
    let mut good = join_all((0..270).map(|_| Viewer::watch(&server))).await;
    join_all(good.iter_mut().map(Viewer::frame)).await;
    let _stuck: Vec<_> = (0..30).map(|_| stalled(server.addr(), 4096)).collect();
    server.until("all are there", |server| server.has_metric("floodmark_viewers 300"));
    let (mut sent, body) = (0, many_types());
    while !server.has_metric("floodmark_viewers 270") {
        assert_eq!(server.post(&body[..]).status, 202);
        sent += 1;
        join_all(good.iter_mut().map(|viewer| viewer.until_events(sent * 400))).await;
        assert!(sent < 2000, "never cut");
    }
    assert!(server.has_metric("floodmark_viewer_evictions_total 30"));
    assert!(good.iter().all(|viewer| viewer.snapshots == 1), "none had to be caught up");
}

#[tokio::test]
async fn a_viewer_that_comes_and_goes_misses_nothing_and_leaves_nothing_behind() {
    let server = Server::with(&[("FLOODMARK_STREAM__TICK_MS", "20")]);
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let mut restless = Viewer::watch(&server).await;
    restless.frame().await;
    let before = open_files();
    for n in 1..=100 {
        assert_eq!(server.post(br#"{"type":"page_view"}"#).status, 202);
        restless.resume(&server).await;
        restless.until_events(n).await;
    }
    assert_eq!(restless.snapshots, 1, "each time it was only caught up");
    server.until("one viewer is there", |server| server.has_metric("floodmark_viewers 1"));
    // The connection of this test's last request may still be open.
    server.until("files are closed", |_| open_files() <= before + 2);
}

#[tokio::test]
async fn all_come_back_at_once_after_a_crash_and_agree() {
    let mut server = Server::start();
    let mut viewers = join_all((0..300).map(|_| Viewer::watch(&server))).await;
    assert_eq!(server.post(br#"{"type":"page_view"}"#).status, 202);
    join_all(viewers.iter_mut().map(|viewer| viewer.until_events(1))).await;
    server.restart();
    join_all(viewers.iter_mut().map(|viewer| viewer.resume(&server))).await;
    assert_eq!(server.post(br#"{"type":"page_view"}"#).status, 202);
    join_all(viewers.iter_mut().map(|viewer| async {
        let old = viewer.epoch.clone();
        // The viewer's last frame is of another run of the server, so it gets a snapshot.
        viewer.frame().await;
        assert_ne!(viewer.epoch, old);
        viewer.until_events(2).await;
    }))
    .await;
}
