//! What stands between a proxy and a node, and counts the connections that carry events. It passes
//! everything on as it comes, or holds back what the node sends on a stream, as a proxy that buffers does.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a request with events begins with.
const EVENTS: &[u8] = b"POST /v1/events";

/// The threads end with the connections, and the one that listens with the test.
pub struct Tap {
    addr: SocketAddr,
    carried: Arc<AtomicUsize>,
}

impl Tap {
    /// Listens, and passes on to this node.
    pub fn before(node: SocketAddr) -> Tap {
        Tap::holding(node, Duration::ZERO)
    }

    /// As [`Tap::before`], but what the node sends after it has agreed to an upgrade goes out in bunches, of as
    /// long as this.
    pub fn holding(node: SocketAddr, bunch: Duration) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("it listens");
        let carried = Arc::new(AtomicUsize::new(0));
        thread::spawn({
            let carried = carried.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let carried = carried.clone();
                    thread::spawn(move || pass_on(&stream, node, &carried, bunch));
                }
            }
        });
        Tap { addr, carried }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections have carried events so far.
    pub fn connections_with_events(&self) -> usize {
        self.carried.load(Ordering::SeqCst)
    }
}

fn pass_on(from: &TcpStream, node: SocketAddr, carried: &AtomicUsize, bunch: Duration) {
    let Ok(to) = TcpStream::connect(node) else { return };
    for stream in [from, &to] {
        stream.set_nodelay(true).expect("it is open");
    }
    let answers = (to.try_clone().expect("open"), from.try_clone().expect("open"));
    thread::spawn(move || answer(&answers.0, &answers.1, bunch));
    let mut has_events = false;
    copy(from, &to, |bytes| {
        let events = bytes.windows(EVENTS.len()).any(|window| window == EVENTS);
        if events && !has_events {
            has_events = true;
            carried.fetch_add(1, Ordering::SeqCst);
        }
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, mut look: impl FnMut(&[u8])) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        look(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    end(from, to);
}

fn end(from: &TcpStream, to: &TcpStream) {
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Passes on what the node answers. From an upgrade on, it goes out once in a while only.
fn answer(mut from: &TcpStream, mut to: &TcpStream, bunch: Duration) {
    const UPGRADED: &[u8] = b"HTTP/1.1 101";
    let mut head = [0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut head) else { return end(from, to) };
        let bytes = &head[..count];
        let held = match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) if bytes.starts_with(UPGRADED) && !bunch.is_zero() => end + 4,
            _ => count,
        };
        if to.write_all(&bytes[..held]).is_err() {
            return end(from, to);
        }
        if bytes.starts_with(UPGRADED) && !bunch.is_zero() {
            return hold_back(from, to, bytes[held..].to_vec(), bunch);
        }
    }
}

fn hold_back(mut from: &TcpStream, mut to: &TcpStream, mut held: Vec<u8>, bunch: Duration) {
    from.set_read_timeout(Some(Duration::from_millis(20))).expect("it is open");
    let (mut piece, mut begun) = ([0; 16 * 1024], Instant::now());
    loop {
        match from.read(&mut piece) {
            Ok(0) => return end(from, to),
            Ok(count) => held.extend(&piece[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return end(from, to),
        }
        if begun.elapsed() >= bunch {
            if to.write_all(&held).is_err() {
                return end(from, to);
            }
            held.clear();
            begun = Instant::now();
        }
    }
}
