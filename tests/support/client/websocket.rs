//! A WebSocket client that blocks. It gives each text message as JSON, and the end of the
//! connection.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    self, HandshakeError, Message,
    client::IntoClientRequest,
    http::{HeaderName, HeaderValue},
    protocol::CloseFrame,
};

use super::http::{Answer, connect};
use crate::support::program::PATIENCE;

/// What comes over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A text message, which is JSON.
    Frame(Value),
    /// The end: code and reason of the Close frame. The code is 1005 if the frame has none, and
    /// 1006 if the connection ended without a Close frame.
    Closed(u16, String),
}

/// One end of a WebSocket.
pub struct WebSocket<S = TcpStream>(tungstenite::WebSocket<S>);

impl WebSocket {
    /// Connects to a server that is running; `path` may have a query.
    ///
    /// # Errors
    /// What the server answered in place of the upgrade.
    pub fn open(
        addr: SocketAddr,
        path: &str,
        headers: &[(String, String)],
    ) -> Result<WebSocket, Answer> {
        WebSocket::attempt(addr, path, headers, PATIENCE).map_err(|error| match error {
            tungstenite::Error::Http(response) => refusal(&response),
            other => panic!("neither an upgrade nor an answer: {other}"),
        })
    }

    /// Connects to a server that may be down. The handshake and each later message may take as long
    /// as `patience`.
    ///
    /// # Errors
    /// There is no connection, or an answer in place of the upgrade.
    pub fn attempt(
        addr: SocketAddr,
        path: &str,
        headers: &[(String, String)],
        patience: Duration,
    ) -> tungstenite::Result<WebSocket> {
        let stream = connect(addr)?;
        stream.set_read_timeout(Some(patience))?;
        WebSocket::over(stream, &format!("ws://{addr}{path}"), headers)
    }
}

impl<S: Read + Write> WebSocket<S> {
    /// Asks for the upgrade over a stream that is open already, such as TLS; the address begins with
    /// `ws:` all the same.
    ///
    /// # Errors
    /// The stream ended, or there is an answer in place of the upgrade.
    pub fn over(
        stream: S,
        address: &str,
        headers: &[(String, String)],
    ) -> tungstenite::Result<WebSocket<S>> {
        let mut request = address.into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header"));
        }
        match tungstenite::client::client(request, stream) {
            Ok((socket, _)) => Ok(WebSocket(socket)),
            Err(HandshakeError::Failure(error)) => Err(error),
            Err(HandshakeError::Interrupted(_)) => {
                Err(tungstenite::Error::Io(ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Waits for the next message and answers pings on the way. Panics if nothing comes.
    pub fn receive(&mut self) -> Received {
        self.try_receive().unwrap_or_else(|| panic!("nothing came over this WebSocket in time"))
    }

    /// Waits for the next message; `None` if nothing comes within the patience of this WebSocket.
    pub fn try_receive(&mut self) -> Option<Received> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    let frame = serde_json::from_str(&text);
                    return Some(Received::Frame(frame.expect("every text message is JSON")));
                }
                Ok(Message::Close(reason)) => return Some(closed(reason)),
                Ok(_) => {}
                Err(tungstenite::Error::Io(e))
                    if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(_) => return Some(Received::Closed(1006, String::new())),
            }
        }
    }

    /// Sends a message: a string as text, bytes as binary.
    pub fn send(&mut self, message: impl Into<Message>) {
        assert!(self.try_send(message), "the server takes messages");
    }

    /// Sends a message to a server that may hang up meanwhile; returns whether all of it was sent.
    pub fn try_send(&mut self, message: impl Into<Message>) -> bool {
        self.0.send(message.into()).is_ok()
    }
}

fn closed(reason: Option<CloseFrame>) -> Received {
    match reason {
        Some(CloseFrame { code, reason }) => Received::Closed(code.into(), reason.to_string()),
        None => Received::Closed(1005, String::new()),
    }
}

fn refusal(response: &tungstenite::http::Response<Option<Vec<u8>>>) -> Answer {
    let headers = response.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Answer {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: response.body().clone().unwrap_or_default(),
    }
}
