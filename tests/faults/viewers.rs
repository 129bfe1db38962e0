//! Many viewers of which some never read, and viewers that keep hanging up and coming back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    load::{Load, Plan},
    shop::Shop,
    support::viewer::{stalled, watch_among_many},
    verdict::Row,
    viewer::{Screen, Viewer},
};

/// Runs `total` viewers under load; a tenth of them never read.
fn crowd(row: Row, settings: &[(&str, &str)], total: u64, plan: Plan, time: Duration) {
    let mut shop = Shop::embedded(settings);
    let addr = shop.node.addr();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let deaf: Vec<_> = (0..total / 10).map(|_| stalled(addr, 1024)).collect();
    let readers: Vec<_> = (0..total - total / 10)
        .map(|_| {
            let (stop, watching) = (stop.clone(), watching.clone());
            runtime.spawn(async move { reads(addr, &stop, &watching).await })
        })
        .collect();
    shop.node.until("all readers have their snapshot", |_| {
        watching.load(Ordering::Relaxed) == total - total / 10
    });
    let viewer = Viewer::watch(addr, None);
    let load = Load::start(addr, 0, plan);
    load.goes_on(1000);
    std::thread::sleep(time);
    shop.node.until("those that never read are cut off", |node| {
        node.metric("floodmark_viewer_evictions_total") >= deaf.len() as f64
    });
    let account = load.stop();
    let (stored, _) = shop.compared(&account, 0);
    viewer.until("what the store holds", |screen| screen.counts == stored.counts);
    // After the last event, every reader gets at least one more heartbeat.
    let frames = viewer.screen().frames;
    viewer.until("two frames more", |screen| screen.frames >= frames + 2);
    std::thread::sleep(Duration::from_millis(1500));
    stop.store(true, Ordering::Relaxed);
    let mut connections = 0;
    for reader in readers {
        let screen = runtime.block_on(reader).expect("a reader");
        assert_eq!(screen.counts, stored.counts, "a reader's sum");
        assert_eq!(screen.revenue, stored.revenue, "a reader's sum");
        connections += screen.connections;
    }
    let readers = total - total / 10;
    assert!(connections <= readers + readers / 10, "{connections} connections of {readers}");
    row.close(&mut shop, &account, Some(&viewer));
}

/// Reads frames until `stop`. On a machine that is too slow for all viewers, one may be cut off; it
/// connects again, as a browser does.
async fn reads(addr: std::net::SocketAddr, stop: &AtomicBool, watching: &AtomicU64) -> Screen {
    let mut screen = Screen::default();
    while !stop.load(Ordering::Relaxed) {
        let mut socket = watch_among_many(addr, "").await;
        screen.connections += 1;
        // A frame comes at least once a second, so the loop sees `stop` soon enough.
        while !stop.load(Ordering::Relaxed)
            && let Some(Ok(message)) = socket.next().await
        {
            let Message::Text(text) = message else { continue };
            screen.show(&serde_json::from_str(&text).expect("JSON"));
            if screen.frames == 1 {
                watching.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    screen
}

const RICH: Plan = Plan { senders: 2, events: 50, rate: Some(1000), ids: false, twice: false };

#[test]
fn viewers_that_never_read() {
    let row = Row::new(
        "viewers_that_never_read",
        "200 viewers of which 20 never read",
        "those are cut off; every other one has the exact sums",
    );
    let brisk = [
        ("FLOODMARK_STREAM__TICK_MS", "50"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "1000"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "4096"),
    ];
    crowd(row, &brisk, 200, RICH, Duration::from_secs(2));
}

#[test]
#[ignore = "long: ./test --soak"]
fn viewers_that_never_read_of_2000() {
    let row = Row::new(
        "viewers_that_never_read_of_2000",
        "2,000 viewers of which 200 never read",
        "those are cut off; every other one has the exact sums",
    );
    crowd(row, &[], 2000, RICH, Duration::from_secs(60));
}

#[test]
fn viewer_that_reconnects_every_second() {
    let row = Row::new(
        "viewer_that_reconnects_every_second",
        "a viewer hangs up every second and resumes; another every 100 ms",
        "each has the exact sums",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let second = Viewer::watch(shop.node.addr(), Some(Duration::from_secs(1)));
    let moment = Viewer::watch(shop.node.addr(), Some(Duration::from_millis(100)));
    let load = Load::start(shop.node.addr(), 0, RICH);
    second.until("five connections", |screen| screen.connections >= 5);
    let account = load.stop();
    let (stored, _) = shop.compared(&account, 0);
    moment.until("what the store holds", |screen| screen.counts == stored.counts);
    row.close(&mut shop, &account, Some(&second));
}
