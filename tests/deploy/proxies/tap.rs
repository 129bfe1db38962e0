//! What stands between a proxy and a node, and counts the connections that carry events. It passes
//! everything on as it comes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("it listens");
        let carried = Arc::new(AtomicUsize::new(0));
        thread::spawn({
            let carried = carried.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let carried = carried.clone();
                    thread::spawn(move || pass_on(&stream, node, &carried));
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

fn pass_on(from: &TcpStream, node: SocketAddr, carried: &AtomicUsize) {
    let Ok(to) = TcpStream::connect(node) else { return };
    for stream in [from, &to] {
        stream.set_nodelay(true).expect("it is open");
    }
    let answers = (to.try_clone().expect("open"), from.try_clone().expect("open"));
    thread::spawn(move || copy(&answers.0, &answers.1, |_| {}));
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
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
