//! The clients of all tests: one for HTTP, one for WebSockets, and raw bytes for requests that no
//! client would send. All of them block, none of them tries anything twice, and each gives up
//! after [`PATIENCE`](super::program::PATIENCE).

mod http;
mod websocket;

#[allow(unused_imports)] // each program uses its part
pub use http::{Answer, Connection, Request, raw};
pub use websocket::{Received, WebSocket};
