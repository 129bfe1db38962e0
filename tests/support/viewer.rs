//! Viewers of the stream, of three kinds: over the WebSocket client; hundreds at once, on a
//! runtime; and bare sockets, which read only when the test does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{
    client::{Received, Request, WebSocket},
    program::PATIENCE,
    server::Server,
};

/// The path of the stream.
pub const STREAM: &str = "/api/analytics/stream";

/// Connects a viewer to the stream, with this query (`?resume=…`).
pub fn watch(server: &Server, query: &str) -> WebSocket {
    let opened = WebSocket::open(server.addr(), &format!("{STREAM}{query}"), &[]);
    opened.unwrap_or_else(|answer| panic!("not admitted: {answer:?}"))
}

/// Waits for the next frame and answers pings on the way.
pub fn frame<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
    match socket.receive() {
        Received::Frame(frame) => {
            // Every frame has these three keys, and they are enough for the plainest client.
            assert!(frame["counts"].is_object() && frame["revenue"].is_number(), "{frame}");
            assert!(frame["timestamp"].is_i64(), "{frame}");
            frame
        }
        closed @ Received::Closed(..) => panic!("the stream ended: {closed:?}"),
    }
}

/// One of hundreds of viewers, which share the threads of a runtime.
pub async fn watch_among_many(
    addr: SocketAddr,
    query: &str,
) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
    let url = format!("ws://{addr}{STREAM}{query}");
    let opened = timeout(PATIENCE, tokio_tungstenite::connect_async(url)).await;
    opened.expect("in time").expect("admitted").0
}

/// The request that asks for the upgrade to a WebSocket.
pub fn upgrade(addr: SocketAddr) -> Request {
    Request::get(addr, STREAM)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A viewer that has sent its handshake and reads nothing by itself. The system keeps about
/// `receive_buffer` bytes for it.
pub fn stalled(addr: SocketAddr, receive_buffer: usize) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // The buffer's size is set before connecting, since TCP agrees on the window then.
    socket.set_recv_buffer_size(receive_buffer).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&upgrade(addr).bytes()).unwrap();
    stream
}

/// Events that make a frame of some 30 kB: one of each of many types.
pub fn many_types() -> Vec<u8> {
    let events: Vec<Value> = (0..400)
        .map(|n| serde_json::json!({"type": format!("a-rather-long-type-of-event-{n}")}))
        .collect();
    serde_json::to_vec(&events).unwrap()
}
