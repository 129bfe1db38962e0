//! The HTTP client and the WebSocket client of the tests. Both block, both take a connection of
//! their own, and both give up after [`PATIENCE`].

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    self, ClientHandshake, HandshakeError, Message,
    client::IntoClientRequest,
    http::{HeaderName, HeaderValue},
    protocol::CloseFrame,
};

use super::program::PATIENCE;

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub struct Request {
    addr: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Of any method; `path` may have a query.
    pub fn new(addr: SocketAddr, method: &str, path: &str) -> Request {
        let (method, path) = (method.to_owned(), path.to_owned());
        Request { addr, method, path, headers: Vec::new(), body: Vec::new() }
    }

    /// `GET path`
    pub fn get(addr: SocketAddr, path: &str) -> Request {
        Request::new(addr, "GET", path)
    }

    /// `POST path`, with a body and no Content-Type.
    pub fn post(addr: SocketAddr, path: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new(addr, "POST", path).body(body)
    }

    /// With one header more. A `Content-Length` takes the place of the true one, for bodies that
    /// don't come as announced.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// The server did not answer, or not in full.
    pub fn send(&self) -> io::Result<Answer> {
        let mut stream = connect(self.addr)?;
        let (method, path) = (&self.method, &self.path);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.addr);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        let request = [head.as_bytes(), b"\r\n", &self.body].concat();
        // The server may refuse before it has read everything, and close: its answer counts.
        let written = stream.write_all(&request);
        let answer = read_answer(&mut stream, method == "HEAD")?;
        written.or_else(|e| if answer.is_empty() { Err(e) } else { Ok(()) })?;
        Answer::parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads to the end of the connection, or of the answer where this is announced: not every server
/// closes because it is asked to.
fn read_answer(stream: &mut TcpStream, is_head: bool) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut some = [0; 16 * 1024];
    loop {
        match stream.read(&mut some)? {
            0 => return Ok(answer),
            n => answer.extend_from_slice(&some[..n]),
        }
        let Some(head) = Answer::parse(&answer) else { continue };
        let announced = head.header("content-length").and_then(|text| text.parse::<usize>().ok());
        let is_complete = announced.is_some_and(|length| head.body.len() >= length);
        if is_complete || is_head {
            return Ok(answer);
        }
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code of the first line.
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks, but packed as `content-encoding` says.
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = without_chunks(&answer.body)?;
        }
        Some(answer)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body, which is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the body is no JSON ({e}): {:?}", self.text()))
    }
}

/// The body in its chunks; `None` where it broke off.
fn without_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

/// What comes over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A text message, which is JSON.
    Frame(Value),
    /// The end: code and reason of the Close frame; 1006 where the connection ended without one.
    Closed(u16, String),
}

/// One end of a WebSocket.
pub struct WebSocket(tungstenite::WebSocket<TcpStream>);

impl WebSocket {
    /// Opens one; `path` may have a query.
    ///
    /// # Errors
    /// What the server answered in place of the upgrade.
    pub fn open(
        addr: SocketAddr,
        path: &str,
        headers: &[(String, String)],
    ) -> Result<WebSocket, Answer> {
        let mut request =
            format!("ws://{addr}{path}").into_client_request().expect("a path is part of a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header"));
        }
        let stream = connect(addr).expect("the server takes connections");
        match tungstenite::client::client(request, stream) {
            Ok((socket, _)) => Ok(WebSocket(socket)),
            Err(error) => Err(refusal(error)),
        }
    }

    /// What comes next; pings are answered on the way.
    pub fn receive(&mut self) -> Received {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    let frame = serde_json::from_str(&text);
                    return Received::Frame(frame.expect("every text message is JSON"));
                }
                Ok(Message::Close(reason)) => return closed(reason),
                Ok(_) => {}
                Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}")
                }
                Err(_) => return Received::Closed(1006, String::new()),
            }
        }
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("the server takes messages");
    }
}

fn closed(reason: Option<CloseFrame>) -> Received {
    match reason {
        Some(CloseFrame { code, reason }) => Received::Closed(code.into(), reason.to_string()),
        None => Received::Closed(1005, String::new()),
    }
}

fn refusal(error: HandshakeError<ClientHandshake<TcpStream>>) -> Answer {
    let HandshakeError::Failure(tungstenite::Error::Http(response)) = error else {
        panic!("neither an upgrade nor an answer: {error}");
    };
    let headers = response.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Answer {
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: response.body().clone().unwrap_or_default(),
    }
}
