//! Sends the requests of the document in their order, and compares the answers.

use std::{
    collections::BTreeSet,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    blocks::{Block, HttpText, Kind, PATH, blocks, document},
    named,
    pattern::{Kept, differences, filled, matches_text},
};
use crate::{
    access,
    openapi::document::Document,
    support::{
        client::{Answer, Received, Request, WebSocket},
        server::Server,
    },
};

/// How long a GET may give another answer than the document's, since events are counted and shown a
/// moment after they were sent.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn every_request_of_the_document_is_answered_as_it_says() {
    let document = document();
    let mut run = Run::new();
    let blocks = blocks(&document);
    let mut rest = blocks.iter().peekable();
    while let Some(block) = rest.next() {
        let answer = rest.next_if(|next| next.kind == Kind::Answer);
        run.execute(block, answer);
    }
    named::all_headers_are_named(&document, &run.headers);
    named::all_codes_are_shown(&document, &run.codes);
    named::all_routes_are_shown(&document, &run.paths);
}

/// What the test keeps from one block to the next.
struct Run {
    server: Server,
    /// What programs are told of the same answers.
    openapi: Document,
    socket: Option<Opened>,
    kept: Kept,
    /// The names of the headers of all requests and answers, in lower case.
    headers: BTreeSet<String>,
    /// The codes of all answers.
    codes: BTreeSet<String>,
    /// Method and path of all requests.
    paths: BTreeSet<(String, String)>,
}

struct Opened {
    socket: WebSocket,
    /// Whether the first frame of the WebSocket is still to come. The document must show this
    /// frame, and not a later one.
    is_new: bool,
}

impl Run {
    fn new() -> Run {
        Run {
            server: Server::start(),
            openapi: Document::load(),
            socket: None,
            kept: Kept::new(),
            headers: BTreeSet::new(),
            codes: BTreeSet::new(),
            paths: BTreeSet::new(),
        }
    }

    fn execute(&mut self, block: &Block, answer: Option<&Block>) {
        let found = match (block.kind, answer) {
            (Kind::Config, None) => {
                self.socket = None;
                self.server = Server::with_config(&block.text);
                Vec::new()
            }
            (Kind::Request, Some(answer)) => self.request(block, answer),
            (Kind::WebSocket, answer) => self.open(block, answer),
            (Kind::Send, None) => {
                let text = filled(&block.text, &self.kept);
                self.opened().socket.send(text);
                Vec::new()
            }
            (Kind::Frame, None) => self.frame(&block.text),
            (Kind::Close, None) => self.close(&block.text),
            (Kind::Signal, None) => {
                let signal: Signal = block.text.trim().parse().expect("a signal's name");
                self.server.signal(signal);
                Vec::new()
            }
            (Kind::Command, None) => {
                block.text.lines().for_each(|line| self.command(line));
                Vec::new()
            }
            (kind, _) => vec![format!("{kind:?}: an answer is missing, or answers to nothing")],
        };
        let line = answer.unwrap_or(block).line;
        assert!(found.is_empty(), "{PATH}:{line} is not true:\n  {}", found.join("\n  "));
    }

    /// Runs `floodmark …   # <name>` beside the server. What it prints is kept under the name.
    fn command(&mut self, line: &str) {
        let (line, name) = line.split_once('#').unwrap_or((line, ""));
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let printed = access::command(&self.server.data(), &words);
        let name = name.trim().trim_matches(['<', '>']);
        if !name.is_empty() {
            self.kept.insert(name.to_owned(), printed);
        }
    }

    fn request(&mut self, block: &Block, answer: &Block) -> Vec<String> {
        let text = HttpText::parse(&filled(&block.text, &self.kept));
        let expected = HttpText::parse(&answer.text);
        let (method, path) = text.first.split_once(' ').expect("a method and a path");
        let route = path.split('?').next().unwrap_or_default();
        self.paths.insert((method.to_owned(), route.to_owned()));
        let mut request = Request::new(self.server.addr(), method, path).body(packed(&text));
        for (name, value) in &text.headers {
            self.headers.insert(name.to_ascii_lowercase());
            request = request.header(name, value);
        }
        let give_up = Instant::now() + SETTLES_WITHIN;
        loop {
            let came = request.send().expect("the server answers");
            let mut found = self.compare(&expected, &came);
            if method != "OPTIONS" {
                found.extend(self.openapi.faults(method, route, &came));
            }
            if found.is_empty() || method != "GET" || Instant::now() > give_up {
                return found;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn open(&mut self, block: &Block, answer: Option<&Block>) -> Vec<String> {
        let text = HttpText::parse(&filled(&block.text, &self.kept));
        let path = text.first.strip_prefix("GET ").expect("a WebSocket begins with GET");
        let route = path.split('?').next().unwrap_or_default();
        self.paths.insert(("GET".to_owned(), route.to_owned()));
        let opened = WebSocket::open(self.server.addr(), path, &text.headers);
        match (opened, answer) {
            (Ok(socket), None) => {
                self.socket = Some(Opened { socket, is_new: true });
                Vec::new()
            }
            (Err(came), Some(answer)) => self.compare(&HttpText::parse(&answer.text), &came),
            (Ok(_), Some(_)) => vec!["the handshake is documented as refused".to_owned()],
            (Err(came), None) => vec![format!("refused: {} {}", came.status, came.text())],
        }
    }

    fn opened(&mut self) -> &mut Opened {
        self.socket.as_mut().expect("a WebSocket is open")
    }

    /// Reads frames until one is as the document says. The first frame of a WebSocket is never
    /// skipped.
    fn frame(&mut self, expected: &str) -> Vec<String> {
        let give_up = Instant::now() + SETTLES_WITHIN;
        loop {
            let opened = self.opened();
            let is_first = std::mem::take(&mut opened.is_new);
            let frame = match opened.socket.receive() {
                Received::Frame(frame) => frame,
                Received::Closed(code, reason) => return vec![format!("closed: {code} {reason}")],
            };
            let mut kept = self.kept.clone();
            let found = differences(expected, &frame, &mut kept);
            if found.is_empty() {
                self.kept = kept;
                return found;
            }
            if is_first || Instant::now() > give_up {
                return found;
            }
        }
    }

    fn close(&mut self, expected: &str) -> Vec<String> {
        loop {
            if let Received::Closed(code, reason) = self.opened().socket.receive() {
                let came = format!("{code} {reason}");
                let is_same = came == expected;
                return if is_same { Vec::new() } else { vec![format!("closed: {came}")] };
            }
        }
    }

    fn compare(&mut self, expected: &HttpText, came: &Answer) -> Vec<String> {
        self.headers.extend(came.headers.iter().map(|(name, _)| name.clone()));
        let mut kept = self.kept.clone();
        let mut found = Vec::new();
        let status = expected.first.split(' ').nth(1).unwrap_or_default();
        if status != came.status.to_string() {
            found.push(format!("the status is documented as {status} and came as {}", came.status));
        }
        for (name, value) in &expected.headers {
            let given = came.header(name).unwrap_or("nothing");
            if !matches_text(value, given, &mut kept) {
                found.push(format!("{name} is documented as {value:?} and came as {given:?}"));
            }
        }
        let is_json = came.header("content-type") == Some("application/json");
        if let (true, Ok(body)) = (is_json, serde_json::from_slice::<Value>(&came.body)) {
            self.note_codes(&body);
            if let Some(expected) = &expected.body {
                found.extend(differences(expected, &body, &mut kept));
            }
        } else if let Some(expected) = &expected.body {
            for line in expected.lines() {
                if !came.text().lines().any(|came| matches_text(line, came, &mut kept)) {
                    found.push(format!("no such line came: {line}"));
                }
            }
        }
        if found.is_empty() {
            self.kept = kept;
        } else {
            found.push(format!("what came: {}", String::from_utf8_lossy(&came.body)));
        }
        found
    }

    fn note_codes(&mut self, body: &Value) {
        let of = |list: &str| body[list].as_array().into_iter().flatten();
        let listed = of("rejected").chain(of("notes")).map(|about| &about["code"]);
        let codes = listed.chain([&body["error"]["code"]]);
        self.codes.extend(codes.filter_map(Value::as_str).map(str::to_owned));
    }
}

/// The body as it is sent. The document shows a gzipped body before its compression.
fn packed(text: &HttpText) -> Vec<u8> {
    let body = text.body.clone().unwrap_or_default().into_bytes();
    let is_gzip = |(name, value): &(String, String)| name == "Content-Encoding" && value == "gzip";
    if !text.headers.iter().any(is_gzip) {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&body).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
