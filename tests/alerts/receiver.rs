//! A small HTTP server that receives webhooks. It keeps every request, and can refuse them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use floodmark::{alert::signature, domain::time::Millis};
use serde_json::Value;

pub const SECRET: &str = "only between us";

/// A request that was received.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// With 200.
    Ok,
    /// It closes the connection without an answer.
    Nothing,
    /// With this status and a `Retry-After` of so many seconds.
    Later(u16, u32),
    /// With this status alone.
    Status(u16),
    /// With 307, a redirect to another path of this server.
    Elsewhere,
}

struct Shared {
    answer: Mutex<Answer>,
    requests: Mutex<Vec<Request>>,
    refused: Mutex<Vec<Request>>,
}

pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::Ok),
            requests: Mutex::default(),
            refused: Mutex::default(),
        });
        let serve = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                thread::spawn(move || take(stream, &serve));
            }
        });
        Receiver { addr, shared }
    }

    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// The `[[webhook]]` entry that makes Floodmark post to this server.
    pub fn webhook(&self) -> String {
        format!(
            "[[webhook]]\nname = \"test\"\nurl = \"http://{}/hook\"\nsecret = \"{SECRET}\"\n",
            self.addr
        )
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests that were not answered with 200.
    pub fn refused(&self) -> Vec<Request> {
        self.shared.refused.lock().unwrap().clone()
    }

    /// The change and the name of the alert, of every request that was answered with 200.
    pub fn changes(&self) -> Vec<(String, String)> {
        self.requests()
            .iter()
            .map(|request| (request.text("change"), request.text("name")))
            .collect()
    }
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn is_signed(&self) -> bool {
        let timestamp: Millis = self.header("X-Floodmark-Timestamp").parse().unwrap_or(0);
        self.header("X-Floodmark-Signature") == signature(SECRET, timestamp, &self.body)
    }
}

fn take(stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut request = Request { at: Instant::now(), path, headers, body: String::new() };
        let mut body = vec![0; request.header("content-length").parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8(body).ok()?;
        let answer = *shared.answer.lock().unwrap();
        let mut out = &stream;
        match answer {
            Answer::Nothing => return None,
            Answer::Ok => {
                shared.requests.lock().unwrap().push(request);
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
            }
            Answer::Later(status, seconds) => {
                shared.refused.lock().unwrap().push(request);
                let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 0");
                write!(out, "{head}\r\nRetry-After: {seconds}\r\n\r\n").ok()?;
            }
            Answer::Status(status) => {
                shared.refused.lock().unwrap().push(request);
                write!(out, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").ok()?;
            }
            Answer::Elsewhere => {
                shared.refused.lock().unwrap().push(request);
                let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0";
                write!(out, "{head}\r\nLocation: /elsewhere\r\n\r\n").ok()?;
            }
        }
    }
}
