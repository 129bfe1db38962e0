//! Frames are deflated for viewers that offer it (permessage-deflate, RFC 7692), byte by byte.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use flate2::read::DeflateDecoder;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{
    client::{Connection, Request},
    server::Server,
    viewer::upgrade,
};

/// The header of a handshake that offers extensions, and of the answer that takes one.
pub const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
/// The extension that browsers offer.
pub const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// Connects a viewer; returns it with the extension that the server took.
pub fn watching(addr: SocketAddr, handshake: &Request) -> (Connection, Option<String>) {
    let mut connection = Connection::open(addr).unwrap();
    let answer = handshake.send_on(&mut connection).unwrap();
    assert_eq!(answer.status, 101, "{answer:?}");
    let taken = answer.header(EXTENSIONS).map(str::to_owned);
    (connection, taken)
}

/// The payload of the next text message, and whether its header says that it is deflated.
pub fn text_message(connection: &mut Connection) -> (Vec<u8>, bool) {
    loop {
        let mut head = [0; 2];
        connection.read_exact(&mut head).unwrap();
        let mut more = match head[1] {
            126 => vec![0; 2],
            127 => vec![0; 8],
            _ => vec![],
        };
        connection.read_exact(&mut more).unwrap();
        let length = match more[..] {
            [] => u64::from(head[1]),
            _ => more.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mut payload = vec![0; length as usize];
        connection.read_exact(&mut payload).unwrap();
        if head[0] & 0x0f == 1 {
            return (payload, head[0] & 0x40 != 0);
        }
    }
}

/// Inflates a message by itself, without those before it. The end of the flush, which is not sent,
/// is put back first (RFC 7692).
pub fn inflate(payload: &[u8]) -> Value {
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = serde_json::Deserializer::from_reader(DeflateDecoder::new(&whole[..]));
    Value::deserialize(&mut stream).unwrap()
}

#[test]
fn frames_are_deflated_for_a_viewer_that_offers_it_and_for_no_other() {
    let server = Server::start();
    let offering = |server: &Server| upgrade(server.addr()).header(EXTENSIONS, OFFER);
    let (mut small, taken) = watching(server.addr(), &offering(&server));
    assert_eq!(taken.as_deref(), Some("permessage-deflate; server_no_context_takeover"));
    let (mut plain, taken) = watching(server.addr(), &upgrade(server.addr()));
    assert_eq!(taken, None);
    // Each message can be read by itself: the second one is read without the first.
    for _ in 0..2 {
        let ((deflated, is_deflated), (text, is_other)) =
            (text_message(&mut small), text_message(&mut plain));
        assert!(is_deflated && !is_other && deflated.len() < text.len());
        let frames = [inflate(&deflated), serde_json::from_slice(&text).unwrap()];
        assert!(frames.iter().all(|frame| frame["seq"].is_u64()), "{frames:?}");
    }
    // A viewer may send deflated messages as well; the server ignores them.
    small.write_all(&[0xc1, 0x83, 0, 0, 0, 0, 0xca, 0x49, 0x05]).unwrap();
    small.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&[0x8a, 2, b'h', b'i']) {
        let mut byte = [0];
        small.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }

    let server = Server::with(&[("FLOODMARK_STREAM__COMPRESSION", "false")]);
    let (mut plain, taken) = watching(server.addr(), &offering(&server));
    assert_eq!(taken, None);
    assert!(!text_message(&mut plain).1);
}
