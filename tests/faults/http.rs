//! A plain HTTP client on one connection that is kept: no pool and no retry, so that a test
//! knows for each request whether an answer came.

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take. Nothing here may be slower, whatever is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{}: {e}: {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

/// One connection.
pub struct Http {
    stream: BufReader<TcpStream>,
}

impl Http {
    pub fn connect(addr: SocketAddr) -> Result<Http> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Http { stream: BufReader::new(stream) })
    }

    /// An error means that no answer came, whatever the server did.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    pub fn post(&mut self, body: &[u8]) -> Result<Answer> {
        self.send("POST", "/v1/events", body)
    }

    fn answer(&mut self) -> Result<Answer> {
        let broken = || Error::from(ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
        let (mut length, mut retry_after, mut chunked) = (0, None, false);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let Some((name, value)) = line.split_once(':') else { break };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("content-length", value) => length = value.parse().map_err(|_| broken())?,
                ("retry-after", value) => retry_after = value.parse().ok(),
                ("transfer-encoding", "chunked") => chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        while chunked {
            line.clear();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| broken())?;
            let from = body.len();
            body.resize(from + size + 2, 0);
            self.stream.read_exact(&mut body[from..])?;
            body.truncate(from + size);
            chunked = size > 0;
        }
        if length > 0 {
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Answer { status, retry_after, body })
    }
}

/// One request on a connection of its own.
pub fn request(addr: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
    Http::connect(addr)?.send(method, path, body)
}
