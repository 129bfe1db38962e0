//! Fixtures that several test binaries share.
#![allow(dead_code)] // each binary uses its part

pub mod batches;
pub mod client;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod program;
pub mod redis;
pub mod server;
pub mod sums;
pub mod viewer;

/// The amount of an event's `properties`, in 1/10,000.
pub fn amount_of(properties: &serde_json::Value) -> i64 {
    let amount = properties["amount"].to_string();
    floodmark::domain::money::Amount::parse(amount.trim_matches('"'))
        .expect("the amounts of the shop are exact")
        .0
}

/// Posts events to `/v1/events`; the status, or an error where no answer came.
pub fn post(addr: std::net::SocketAddr, body: &[u8]) -> std::io::Result<u16> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
    write!(
        stream,
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|code| code.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
