//! A viewer that adds up the frames it gets, as the plainest client does, and connects again when
//! it is cut off.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    shop::ten_thousandths,
    support::{
        client::{Received, WebSocket},
        viewer::STREAM,
    },
};

/// The sums that a viewer shows, and what it has noted about its frames.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// The events counted by type.
    pub counts: BTreeMap<String, u64>,
    /// The revenue, in 1/10,000 of the base currency.
    pub revenue: i64,
    pub frames: u64,
    /// The number of connections that the viewer has made.
    pub connections: u64,
    /// The largest `behindMs` of all frames, and the one of the last frame.
    pub behind_most: i64,
    pub behind_now: i64,
    /// Epoch and seq of the last frame.
    pub last: Option<(String, u64)>,
    /// The longest time between two frames of one connection.
    pub pause: Duration,
}

impl Screen {
    pub fn events(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds a frame. Panics if a delta does not follow the frame before it.
    pub fn show(&mut self, frame: &Value) {
        let seq = frame["seq"].as_u64().expect("seq");
        if frame["type"] == "snapshot" {
            self.counts.clear();
            self.revenue = 0;
            let snapshot = &frame["snapshot"];
            self.add(&snapshot["counts"], &snapshot["revenue"]);
            let epoch = frame["epoch"].as_str().expect("epoch").to_owned();
            self.last = Some((epoch, seq));
        } else {
            let last = self.last.as_mut().expect("a snapshot comes first");
            assert_eq!(seq, last.1 + 1, "no frame is missing");
            last.1 = seq;
        }
        self.add(&frame["counts"], &frame["revenue"]);
        self.frames += 1;
        self.behind_now = frame["behindMs"].as_i64().unwrap_or(0);
        self.behind_most = self.behind_most.max(self.behind_now);
    }

    fn add(&mut self, counts: &Value, revenue: &Value) {
        for (kind, count) in counts.as_object().expect("counts") {
            *self.counts.entry(kind.clone()).or_default() += count.as_u64().expect("a count");
        }
        self.revenue += ten_thousandths(&revenue.to_string());
    }
}

/// A viewer that runs on a thread of its own.
pub struct Viewer {
    screen: Arc<Mutex<Screen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    /// Watches until it is dropped. Every `hangs_up_after`, if that is given, it closes its
    /// connection and resumes on another.
    pub fn watch(addr: SocketAddr, hangs_up_after: Option<Duration>) -> Viewer {
        let (screen, stop) = (Arc::new(Mutex::new(Screen::default())), Arc::default());
        let thread = thread::spawn({
            let (screen, stop) = (Arc::clone(&screen), Arc::clone(&stop));
            move || follow(addr, hangs_up_after, &screen, &stop)
        });
        Viewer { screen, stop, thread: Some(thread) }
    }

    /// The sums that the viewer shows now.
    pub fn screen(&self) -> Screen {
        self.screen.lock().clone()
    }

    /// Waits until the viewer shows these sums.
    pub fn until(&self, what: &str, condition: impl Fn(&Screen) -> bool) {
        let begin = Instant::now();
        while !condition(&self.screen.lock()) {
            let gone = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
            let patience = begin.elapsed() < crate::node::PATIENCE;
            assert!(patience && !gone, "a viewer never saw: {what}; it shows {:?}", self.screen());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the viewer found a fault");
        }
    }
}

fn follow(
    addr: SocketAddr,
    hangs_up_after: Option<Duration>,
    screen: &Mutex<Screen>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let resume = match &screen.lock().last {
            Some((epoch, seq)) => format!("?resume={epoch}:{seq}"),
            None => String::new(),
        };
        let path = format!("{STREAM}{resume}");
        let connected = WebSocket::attempt(addr, &path, &[], Duration::from_secs(5));
        let Ok(mut socket) = connected else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        screen.lock().connections += 1;
        let begin = Instant::now();
        let mut last = Instant::now();
        while !stop.load(Ordering::Relaxed)
            && hangs_up_after.is_none_or(|after| begin.elapsed() < after)
        {
            match socket.try_receive() {
                Some(Received::Frame(frame)) => {
                    let mut screen = screen.lock();
                    screen.show(&frame);
                    screen.pause = screen.pause.max(last.elapsed());
                    last = Instant::now();
                }
                // The server may be stopped for a while, so the viewer tries again.
                None => {}
                Some(Received::Closed(..)) => break,
            }
        }
    }
}
