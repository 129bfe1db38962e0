//! A plain HTTP client: no pool and no retry, so that a test knows for each request whether an
//! answer came.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::support::program::PATIENCE;

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
    /// A request of any method; `path` may have a query.
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

    /// Adds a header. A `Content-Length` replaces the true one, so that a test can send a body of
    /// another length than it announces; a `Host` replaces the address.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The request without this header.
    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// The body as it is sent.
    pub fn sent_body(&self) -> &[u8] {
        &self.body
    }

    /// Sends the request on a new connection, and reads the answer to its end.
    ///
    /// # Errors
    /// The server did not answer, or not in full.
    pub fn send(&self) -> io::Result<Answer> {
        let mut connection = Connection::open(self.addr)?;
        if self.has_header("connection") {
            return self.send_on(&mut connection);
        }
        // With `Connection: close` the answer ends where the server closes, so anything that it
        // sends too much is seen as well.
        let closing = self.clone().header("Connection", "close");
        let mut answer = closing.send_on(&mut connection)?;
        if closing.method == "HEAD" {
            connection.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Sends the request on a connection that stays open, and reads the answer to its end.
    ///
    /// # Errors
    /// The server did not answer, or not in full. It may have taken the request all the same.
    pub fn send_on<S: Read + Write>(&self, connection: &mut Connection<S>) -> io::Result<Answer> {
        // The server may refuse before it has read everything, and close: its answer counts.
        let written = connection.write_all(&self.bytes());
        let answer = connection.answer(&self.method);
        written.or_else(|e| if answer.is_err() { Err(e) } else { Ok(()) })?;
        answer
    }

    /// The bytes that are sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.has_header("host") {
            head += &format!("Host: {}\r\n", self.addr);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let bodiless = self.body.is_empty() && ["GET", "HEAD"].contains(&self.method.as_str());
        if !bodiless && !self.has_header("content-length") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// A connection that stays open for several requests. It can also be read and written like a
/// socket, for bytes that follow an answer, such as the frames after an upgrade. It is plain TCP, or
/// whatever the caller has opened, such as TLS.
pub struct Connection<S = TcpStream>(BufReader<S>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(addr: SocketAddr) -> io::Result<Connection> {
        Ok(Connection(BufReader::new(connect(addr)?)))
    }

    /// Another handle on the same socket, to write while this one reads.
    pub fn try_clone(&self) -> TcpStream {
        self.0.get_ref().try_clone().expect("a socket can be cloned")
    }
}

impl<S: Read + Write> Connection<S> {
    /// Speaks HTTP over a stream that is open already.
    pub fn over(stream: S) -> Connection<S> {
        Connection(BufReader::new(stream))
    }

    /// The next answer, to a request of this method that was written before.
    ///
    /// # Errors
    /// The server did not answer, or not in full.
    pub fn next_answer(&mut self, method: &str) -> io::Result<Answer> {
        self.answer(method)
    }

    /// One line of an answer, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(broken()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// The answer to a request of this method.
    fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(broken)?;
        let mut answer = Answer { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if method != "HEAD" && ![101, 204, 304].contains(&status) {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| broken())?;
                let from = body.len();
                // Each chunk is followed by a line end.
                body.resize(from + size + 2, 0);
                self.0.read_exact(&mut body[from..])?;
                body.truncate(from + size);
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match answer.header("content-length") {
            Some(length) => {
                body.resize(length.parse().map_err(|_| broken())?, 0);
                self.0.read_exact(&mut body)?;
            }
            None => {
                self.0.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }
}

impl<S: Read> Read for Connection<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<S: Write> Write for Connection<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

/// A socket that gives up after [`PATIENCE`].
pub(super) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn broken() -> io::Error {
    ErrorKind::UnexpectedEof.into()
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code of the first line.
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without the framing of chunks; still compressed as `content-encoding` says.
    pub body: Vec<u8>,
}

impl Answer {
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
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            let body = String::from_utf8_lossy(&self.body);
            panic!("the body of this {} is no JSON ({e}): {body:?}", self.status)
        })
    }
}

/// Sends bytes as they are, for requests that are broken on purpose, and reads until the server
/// closes. Returns an empty text if the server closed without an answer.
pub fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(addr).expect("the server takes connections");
    // The server may refuse before it has read everything, and close.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
