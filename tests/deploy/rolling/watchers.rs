//! Viewers that add up their frames, and connect again at once when they are told to go.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    proxies::front::{Front, NAME},
    support::{
        certificate::TlsConnection,
        client::{Received, WebSocket},
        program::wait_until,
        sums::Sums,
        viewer::STREAM,
    },
};

/// Viewers of the shop, each on a thread.
pub struct Watchers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    seen: Vec<Arc<Mutex<Seen>>>,
}

/// What a viewer shows.
#[derive(Debug, Default)]
struct Seen {
    sums: Sums,
    frames: u64,
    /// When the last frame came, over whichever connection.
    last: Option<Instant>,
    longest: Duration,
}

impl Seen {
    fn frame(&mut self, frame: &serde_json::Value) {
        if frame["type"] == "snapshot" {
            self.sums = Sums::of_current(&frame["snapshot"]);
        }
        self.sums.add(&frame["counts"], &frame["revenue"]);
        self.frames += 1;
        self.longest = self.longest.max(self.silent());
        self.last = Some(Instant::now());
    }

    fn silent(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| last.elapsed())
    }
}

impl Watchers {
    /// Starts them, and waits until each has its snapshot.
    pub fn start(front: &Front, count: usize) -> Watchers {
        let stop = Arc::new(AtomicBool::new(false));
        let seen: Vec<_> = (0..count).map(|_| Arc::new(Mutex::new(Seen::default()))).collect();
        let threads = seen.iter().map(|seen| {
            let (seen, stop, addr, host) = (seen.clone(), stop.clone(), front.addr(), front.host());
            thread::spawn(move || follow(addr, &host, &seen, &stop))
        });
        let watchers = Watchers { threads: threads.collect(), stop, seen };
        wait_until("each viewer has a snapshot", || {
            let missing = watchers.seen.iter().filter(|seen| seen.lock().frames == 0).count();
            if missing == 0 { Ok(()) } else { Err(missing) }
        });
        watchers
    }

    /// Waits until each shows these sums, and ends them. Returns the longest time that any was without a
    /// frame.
    pub fn stop(self, sums: &Sums) -> Duration {
        for seen in &self.seen {
            wait_until("each viewer shows what was sent", || match seen.lock() {
                seen if seen.sums == *sums => Ok(()),
                seen => Err(seen.sums.clone()),
            });
        }
        let silences = self.seen.iter().map(|seen| {
            let seen = seen.lock();
            seen.longest.max(seen.silent())
        });
        let longest = silences.max().expect("there are viewers");
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a viewer");
        }
        longest
    }
}

fn follow(addr: SocketAddr, host: &str, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let origin = [("Origin".to_owned(), format!("https://{host}"))];
    while !stop.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(addr).and_then(|stream| TlsConnection::over(stream, NAME));
        let address = format!("ws://{host}{STREAM}");
        let opened = stream.map(|stream| WebSocket::over(stream, &address, &origin));
        let Ok(Ok(mut socket)) = opened else {
            // The time without a frame goes on meanwhile.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        while !stop.load(Ordering::SeqCst) {
            match socket.try_receive() {
                Some(Received::Frame(frame)) => seen.lock().frame(&frame),
                None => {}
                Some(Received::Closed(..)) => break,
            }
        }
    }
}
