//! Viewers: over WebSocket, and some that speak TCP only, which read what the test reads.

use std::{io::Write, net::TcpStream};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{program::PATIENCE, server::Server};

pub type Socket = tungstenite::WebSocket<tungstenite::stream::MaybeTlsStream<TcpStream>>;

/// A viewer of the stream, with this query (`?resume=…`).
pub fn watch(server: &Server, query: &str) -> Socket {
    let url = format!("ws://{}/api/analytics/stream{query}", server.addr());
    tungstenite::connect(url).expect("admitted").0
}

/// The next frame; pings are answered on the way.
pub fn frame(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("the stream goes on") {
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            // DESIGN section 4, whatever else is in it.
            assert!(frame["counts"].is_object() && frame["revenue"].is_number(), "{frame}");
            assert!(frame["timestamp"].is_i64(), "{frame}");
            return frame;
        }
    }
}

/// The bytes of a handshake.
pub fn upgrade(server: &Server, headers: &str) -> String {
    format!(
        "GET /api/analytics/stream HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        server.addr()
    )
}

/// A viewer with small buffers that reads nothing by itself.
pub fn stalled(server: &Server) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Before it connects: the window is agreed on then.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.addr().into()).unwrap();
    let mut stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(upgrade(server, "").as_bytes()).unwrap();
    stream
}

/// Events that make a frame of some 30 kB: one of each of many types.
pub fn many_types() -> Vec<u8> {
    let events: Vec<Value> = (0..400)
        .map(|n| serde_json::json!({"type": format!("a-rather-long-type-of-event-{n}")}))
        .collect();
    serde_json::to_vec(&events).unwrap()
}
