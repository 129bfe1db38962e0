//! Faults of clients: requests that are sent twice, and connections that send a byte now and then.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    load::{Load, Plan},
    shop::Shop,
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
