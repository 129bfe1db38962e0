//! Faults of clients: requests that are sent twice, and connections that send a byte now and
//! then, or never read.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    load::{Load, Plan},
    node::Node,
    shop::Shop,
    support::client::Request,
    verdict::Row,
    viewer::Viewer,
};

#[test]
fn every_request_comes_twice() {
    let row = Row::new(
        "every_request_comes_twice",
        "a client sends every request twice, with the same ids",
        "the second answer says that all of it are duplicates",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let plan = Plan { ids: true, twice: true, ..Plan::PLAIN };
    let load = Load::start(shop.node.addr(), 0, plan);
    load.goes_on(10_000);
    let account = load.stop();
    row.close(&mut shop, &account, Some(&viewer));
}

#[test]
fn slow_loris() {
    let row = Row::new(
        "slow_loris",
        "100 clients that send a byte now and then, in the head and in the body",
        "they are cut off in time, and nobody else waits for them",
    );
    let mut shop = Shop::embedded(&[
        ("FLOODMARK_HTTP__HEADER_TIMEOUT_MS", "1000"),
        ("FLOODMARK_HTTP__BODY_TIMEOUT_MS", "1500"),
    ]);
    let heads = [
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned(),
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[".to_owned(),
    ];
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = TcpStream::connect(shop.node.addr()).expect("a connection");
            stream.write_all(heads[n % 2].as_bytes()).expect("a beginning");
            stream.set_nonblocking(true).expect("a socket");
            stream
        })
        .collect();
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    let begin = Instant::now();
    while !slow.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{} still there", slow.len());
        slow.retain_mut(|stream| {
            let mut answer = [0; 256];
            match stream.read(&mut answer) {
                Ok(0) => false,
                Ok(_) => true,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    stream.write_all(b" ").is_ok()
                }
                Err(_) => false,
            }
        });
        load.goes_on(20);
        std::thread::sleep(Duration::from_millis(50));
    }
    let account = load.stop();
    row.close(&mut shop, &account, None);
}

/// A connection from another address of this machine than the load's. Its client would take next
/// to nothing of an answer that it does not read.
fn from_another_address(to: SocketAddr) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).expect("an address");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&to.into()).expect("a connection");
    socket.set_nonblocking(true).expect("a socket");
    socket.into()
}

const LIMITS: &str = "floodmark_http_limits_reached_total";

fn reached(node: &Node, limit: &str) -> f64 {
    node.metric(&format!("{LIMITS}{{limit=\"{limit}\"}}"))
}

#[test]
fn slow_bodies_of_one_address() {
    let row = Row::new(
        "slow_bodies_of_one_address",
        "100 clients at one address that each send most of a body of 6 KB and then a byte now and \
         then, again and again, with room for 85 such bodies in all",
        "they get 429 and 408; no request of another address is refused",
    );
    let mut shop = Shop::embedded(&[
        ("FLOODMARK_HTTP__MAX_BODY_BYTES", "65536"),
        ("FLOODMARK_HTTP__MAX_DECODED_BYTES", "65536"),
        ("FLOODMARK_HTTP__MAX_INFLIGHT_BYTES", "524288"),
        ("FLOODMARK_HTTP__BODY_GRACE_MS", "500"),
    ]);
    let metrics = Request::get(shop.node.addr(), "/metrics").send().expect("metrics");
    let zeros = metrics.text().lines().filter(|line| line.starts_with(LIMITS));
    assert_eq!(zeros.filter(|line| line.ends_with("} 0")).count(), 7, "there from the start");
    let begin = || {
        let mut stream = from_another_address(shop.node.addr());
        let head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 6144\r\n\r\n[";
        let body = " ".repeat(6000);
        stream.write_all(format!("{head}{body}").as_bytes()).expect("it fits into the buffer");
        stream
    };
    let mut slow: Vec<TcpStream> = (0..100).map(|_| begin()).collect();
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    let began = Instant::now();
    while reached(&shop.node, "min_body_bytes_per_s") < 40.0
        || reached(&shop.node, "client_inflight_percent") < 100.0
    {
        assert!(began.elapsed() < Duration::from_secs(30), "they are not refused");
        for stream in &mut slow {
            let answered = !matches!(stream.read(&mut [0; 512]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
            if answered || stream.write_all(b" ").is_err() {
                *stream = begin();
            }
        }
        load.goes_on(20);
        assert_eq!(load.refused(), 0, "the other address waits for nobody");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(reached(&shop.node, "max_inflight_bytes"), 0.0);
    let account = load.stop();
    row.close(&mut shop, &account, None);
}

#[test]
fn answers_that_nobody_reads() {
    let row = Row::new(
        "answers_that_nobody_reads",
        "60 clients at one address that ask for the page's files and never read, with room for 40 \
         connections",
        "they get half of the connections, and are cut; nobody else waits for them",
    );
    let mut shop = Shop::embedded(&[
        ("FLOODMARK_HTTP__WORKERS", "2"),
        ("FLOODMARK_HTTP__MAX_CONNECTIONS", "40"),
        ("FLOODMARK_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "12"),
        ("FLOODMARK_HTTP__WRITE_TIMEOUT_MS", "1000"),
    ]);
    shop.is_ready();
    let page = Request::get(shop.node.addr(), "/").send().expect("the page");
    let page = String::from_utf8(page.body).expect("text");
    let script = page.split(['"', '.']).find(|word| word.starts_with("/app")).expect("a script");
    let asked = format!("GET {script}.js HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(400);
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    load.goes_on(20);
    let deaf: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = from_another_address(shop.node.addr());
            // One that is refused may have ended already.
            let _ = stream.write_all(asked.as_bytes());
            stream
        })
        .collect();
    shop.node.until("one connection after the other is cut", |node| {
        load.goes_on(20);
        reached(node, "write_timeout_ms") + reached(node, "max_connections_per_address") >= 60.0
    });
    assert!(reached(&shop.node, "write_timeout_ms") >= 12.0);
    assert!(reached(&shop.node, "max_connections_per_address") >= 1.0);
    // Their places are free again, also for this address.
    let mut polite = from_another_address(shop.node.addr());
    polite.set_nonblocking(false).expect("a socket");
    polite.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let mut answer = [0; 12];
    polite.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(deaf);
    assert_eq!(load.refused(), 0);
    let account = load.stop();
    row.close(&mut shop, &account, None);
}
