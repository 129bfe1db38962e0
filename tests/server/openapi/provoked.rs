//! Provokes every status and every error code of every operation.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use flate2::{Compression, write::GzEncoder};

use super::{
    document::{Document, Operation, PATH},
    entering, watched,
    ways::{KEY, TOKEN, WITH_KEY, with, written},
};
use crate::{
    access,
    api_doc::NOT_SHOWN,
    support::{
        client::{Answer, Request},
        server::Server,
    },
};

/// Who may send and watch, in every configuration.
const KEYS: &str = r#"
auth.viewer_tokens = ["view-token"]
http.allowed_hosts = ["shop.example"]

[[source]]
name = "web"
key = "write-key"
public = true
ids = ["shop", "shop.example", "1"]
allowed_origins = ["https://shop.example"]

[[source]]
name = "shopify"
webhook = "shopify"
secret = "hush"

[[source]]
name = "stripe"
webhook = "stripe"
secret = "hush"

[[source]]
name = "github"
webhook = "github"
secret = "hush"

[[source]]
name = "gitlab"
webhook = "gitlab"
secret = "hush"
"#;

/// A status with its error code; the code of an answer that is no refusal is empty.
pub(super) type Ending = (u16, String);

/// What has come so far.
pub(super) struct Provoked {
    pub(super) document: Document,
    /// The endings of each operation, by its name.
    pub(super) came: BTreeMap<String, BTreeSet<Ending>>,
    faults: Vec<String>,
}

pub(super) fn server(settings: &str) -> Server {
    Server::with_config(&format!("{settings}\n{KEYS}"))
}

/// A server whose key stands in no page, as imports want it.
fn secret(settings: &str) -> Server {
    let public = "public = true\nids = [\"shop\", \"shop.example\", \"1\"]\n";
    Server::with_config(&format!("{settings}\n{}", KEYS.replace(public, "")))
}

pub(super) fn name(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

/// How often requests were refused with each code.
fn refusals(server: &Server) -> BTreeMap<String, u64> {
    let text = server.get_text(&format!("/metrics?token={TOKEN}"));
    let prefix = "floodmark_http_refused_total{code=\"";
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    let counted = lines.filter_map(|line| line.split_once("\"} "));
    counted.map(|(code, count)| (code.to_owned(), count.parse().expect("a count"))).collect()
}

impl Provoked {
    /// Sends a request, holds the answer against the document, and notes how it ended. Vendors' answers
    /// don't have the code in them, so it is taken from the metrics.
    pub(super) fn send(
        &mut self,
        server: &Server,
        operation: &Operation,
        request: &Request,
    ) -> Answer {
        let before = refusals(server);
        let answer = operation.signed(request).send().expect("an answer");
        let after = refusals(server);
        let grown = |(code, count): &(String, u64)| before.get(code).copied().unwrap_or(0) < *count;
        let code = after.into_iter().find(grown).map(|(code, _)| code).unwrap_or_default();
        self.note(operation, &answer, code);
        answer
    }

    pub(super) fn note(&mut self, operation: &Operation, answer: &Answer, code: String) {
        let status = answer.status;
        let named = self.document.codes(operation, status);
        // An answer of /readyz that is no refusal of ours has no code.
        let code = if named.is_empty() && code == "other" { String::new() } else { code };
        let path = operation.target("one");
        let path = path.split('?').next().unwrap_or_default();
        self.faults.extend(self.document.faults(&operation.method, path, answer));
        if !code.is_empty() && !named.contains(&code) {
            self.faults.push(format!("{}: {status} came with {code:?}", name(operation)));
        }
        self.came.entry(name(operation)).or_default().insert((status, code));
    }

    /// What an operation does with requests as they should be.
    fn well(&mut self, server: &Server, operation: &Operation) {
        let headers: &[(&str, &str)] =
            if operation.is_of_viewers() { &[("X-Viewer-Token", TOKEN)] } else { WITH_KEY };
        let examples = operation.examples("one");
        if operation.has_body() {
            assert!(!examples.is_empty(), "{}: no example \"one\"", name(operation));
        }
        for (kind, value) in examples.iter().chain(&operation.examples("many")) {
            let schema = &operation.value["requestBody"]["content"][kind]["schema"];
            let of = format!("{}: the example of {kind}", name(operation));
            self.faults.extend(self.document.violations(&of, schema, value));
            let request = operation.request(server, Some((kind.clone(), value.clone())));
            self.send(server, operation, &with(request, headers));
        }
        if examples.is_empty() {
            self.send(server, operation, &with(operation.usual(server), headers));
        }
        if operation.is_of_viewers() && self.document.response(operation, 304).is_some() {
            let known = operation.usual(server).header("If-None-Match", "*");
            self.send(server, operation, &with(known, headers));
        }
    }

    /// The refusals of senders that need no configuration of their own.
    fn refused(&mut self, server: &Server, operation: &Operation) {
        let usual = || with(operation.usual(server), WITH_KEY);
        let elsewhere = usual().header("Origin", "https://other.example");
        self.send(server, operation, &elsewhere);
        // Neither a header nor an example has a known key or id.
        let (kind, text) = match operation.example("one") {
            Some((kind, value)) => (kind, String::from_utf8(written(&value)).expect("text")),
            None => (String::new(), String::new()),
        };
        let unknown = |text: &str| {
            let text = text.replace(KEY, "wrong-key").replace("shop", "nobody");
            text.replace("idsite=1", "idsite=9").replace(&base64(KEY), &base64("wrong-key"))
        };
        let target = match operation.parameters.iter().any(|it| it["name"] == "data") {
            true => format!("{}?data=%5B%5D", operation.path),
            false => match operation.target("one").split_once('?') {
                Some((path, query)) => format!("{path}?{}", unknown(query)),
                None => operation.target("one").replace(KEY, "wrong-key"),
            },
        };
        let mut request = Request::new(server.addr(), &operation.method, &target);
        if operation.has_body() {
            let text =
                if kind.contains("form") { "data=e30%3D".to_owned() } else { unknown(&text) };
            request = request.header("Content-Type", &kind).body(text);
        }
        self.send(server, operation, &request);
        if !operation.has_body() {
            let target = operation.target("rejected");
            let rejected = Request::new(server.addr(), &operation.method, &target);
            self.send(server, operation, &with(rejected, WITH_KEY));
            return;
        }
        for (headers, body) in [
            (&[][..], &b""[..]),
            (&[], b"{\"a\":"),
            (&[], b"17"),
            (&[("Content-Encoding", "gzip")], b"no gzip"),
            (&[("Content-Encoding", "compress")], b"{}"),
            (&[("Content-Type", "text/xml")], b"[]"),
            (&[], &[b'x'; 20_001]),
        ] {
            let request = Request::new(server.addr(), &operation.method, &operation.path_only());
            let request = with(with(request, WITH_KEY), headers);
            let typed = headers.iter().any(|(name, _)| *name == "Content-Type");
            let request = if typed { request } else { request.header("Content-Type", &kind) };
            self.send(server, operation, &request.body(body));
        }
        if let Some(rejected) = operation.example("rejected") {
            let request = operation.request(server, Some(rejected));
            self.send(server, operation, &with(request, WITH_KEY));
        }
    }

    /// A body that is announced and does not come.
    fn slow(&mut self, server: &Server, operation: &Operation) {
        let request = operation.usual(server).header("Content-Length", "20000");
        self.send(server, operation, &with(request, WITH_KEY));
    }

    /// More events than a request may have, and more bytes than the server reads at once.
    fn crowded(&mut self, server: &Server, operation: &Operation) {
        if let Some(many) = operation.example("many") {
            let request = operation.request(server, Some(many));
            self.send(server, operation, &with(request, WITH_KEY));
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&[b'x'; 2_095]).expect("memory takes it");
        let packed = gzip.finish().expect("memory takes it");
        let request = operation.usual(server).body(packed).header("Content-Encoding", "gzip");
        self.send(server, operation, &with(request, WITH_KEY));
    }

    /// More events than a sender may send.
    fn throttled(&mut self, server: &Server, operation: &Operation) {
        // Who signs a webhook is another client than who has the key.
        for _ in 0..50 {
            if operation.is_signed() || operation.imports() {
                let usual = with(operation.usual(server), WITH_KEY);
                if self.send(server, operation, &usual).status == 429 {
                    return;
                }
                continue;
            }
            let more = r#"[{"type":"a"},{"type":"a"}]"#;
            let more = Request::post(server.addr(), "/v1/events", more);
            if with(more, WITH_KEY).send().expect("an answer").status == 429 {
                break;
            }
        }
        self.send(server, operation, &with(operation.usual(server), WITH_KEY));
    }

    /// What viewers are refused for.
    fn unread(&mut self, server: &Server, operation: &Operation) {
        if operation.is_of_viewers() {
            self.send(server, operation, &operation.usual(server));
        }
        let elsewhere = operation.usual(server).header("Host", "evil.example");
        if self.document.response(operation, 421).is_some() {
            self.send(server, operation, &elsewhere);
        }
        let twice = operation.parameters.iter().find(|it| it["in"] == "query");
        if let Some(parameter) = twice.filter(|_| !operation.path.ends_with("/stream")) {
            let name = parameter["name"].as_str().expect("a name");
            let target = format!("{}?{name}=1&{name}=1&token={TOKEN}", operation.path);
            self.send(server, operation, &Request::get(server.addr(), &target));
        }
    }

    /// What tokens are refused for that are known, at the routes of viewers: one without a scope that
    /// reads, and one that sees no money.
    fn forbidden(&mut self, server: &Server, operation: &Operation, tokens: &[String; 2]) {
        for token in tokens {
            let request = with(operation.usual(server), &[("X-Viewer-Token", token)]);
            self.send(server, operation, &request);
        }
        if operation.path.ends_with("/timeseries") {
            let target = format!("{}?metric=revenue", operation.path_only());
            let [_, sees_no_money] = tokens;
            let request = Request::get(server.addr(), &target);
            self.send(server, operation, &request.header("X-Viewer-Token", sees_no_money));
        }
    }

    /// Panics with what stands in the document and never came: a status of an operation, or an error code
    /// of what operations share.
    fn compare(&self) {
        let mut faults = self.faults.clone();
        let (mut named, mut came) = (BTreeSet::new(), BTreeSet::new());
        for operation in self.document.operations() {
            let nothing = BTreeSet::new();
            let endings = self.came.get(&name(&operation)).unwrap_or(&nothing);
            for status in operation.value["responses"].as_object().expect("answers").keys() {
                let status: u16 = status.parse().expect("a status");
                let codes = self.document.codes(&operation, status);
                let excused = |code: &String| NOT_SHOWN.iter().any(|(known, _)| known == code);
                // Without a body only what can't be provoked makes a 503.
                let can_come = match operation.has_body() && !operation.is_of_access() {
                    true => true,
                    false if status == 503 => false,
                    // Only a provider leads anywhere; tests/oidc has one.
                    false if status == 303 => false,
                    false => codes.is_empty() || !codes.iter().all(excused),
                };
                if can_come && !endings.iter().any(|(came, _)| *came == status) {
                    faults.push(format!("{}: {status} never came", name(&operation)));
                }
                let shared = self.document.shared_name(&operation, status);
                let codes = self.document.codes(&operation, status).into_iter();
                named.extend(codes.map(|code| (shared.clone(), code)));
                let codes =
                    endings.iter().filter(|(came, code)| *came == status && !code.is_empty());
                came.extend(codes.map(|(_, code)| (shared.clone(), code.clone())));
            }
        }
        for (shared, code) in &named {
            let can = !NOT_SHOWN.iter().any(|(known, _)| known == code);
            if can != came.contains(&(shared.clone(), code.clone())) {
                let whether = if can { "never came" } else { "can't come, and came" };
                faults.push(format!("{shared}: {code} {whether}"));
            }
        }
        assert!(faults.is_empty(), "{PATH} is not true:\n  {}", faults.join("\n  "));
    }
}

impl Operation {
    /// The target without its query.
    fn path_only(&self) -> String {
        self.target("one").split('?').next().unwrap_or_default().to_owned()
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    STANDARD_NO_PAD.encode(text)
}

#[test]
fn every_status_and_code_of_the_document_comes_and_no_other() {
    let document = Document::load();
    let operations = document.operations();
    let (senders, readers): (Vec<_>, Vec<_>) = operations
        .iter()
        .filter(|operation| !operation.is_of_access())
        .partition(|operation| operation.is_of_senders());
    let mut provoked = Provoked { document, came: BTreeMap::new(), faults: Vec::new() };
    let (imports, others): (Vec<_>, Vec<_>) =
        senders.into_iter().partition(|operation| operation.imports());
    let usual = sent(&mut provoked, &others, server);
    sent(&mut provoked, &imports, secret);
    for operation in &imports {
        // The key of this server is public.
        provoked.send(&usual, operation, &with(operation.usual(&usual), WITH_KEY));
    }
    for operation in readers.iter().filter(|operation| !operation.path.ends_with("/stream")) {
        provoked.well(&usual, operation);
    }
    readers.iter().for_each(|operation| provoked.unread(&usual, operation));
    let tokens = tokens(&usual);
    let of_viewers = readers.iter().filter(|operation| operation.is_of_viewers());
    of_viewers.for_each(|operation| provoked.forbidden(&usual, operation, &tokens));
    watched::provoke(&mut provoked);
    entering::provoke(&mut provoked);
    provoked.compare();
}

/// Calls operations of senders in every way, at servers that `start` starts. Gives the usual one.
fn sent(provoked: &mut Provoked, senders: &[&Operation], start: fn(&str) -> Server) -> Server {
    let usual = start("http.max_body_bytes = 20000");
    senders.iter().for_each(|operation| provoked.well(&usual, operation));
    senders.iter().for_each(|operation| provoked.refused(&usual, operation));
    let crowded = start(
        "event.max_bytes = 1000\nhttp.max_request_events = 1\nhttp.max_body_bytes = 2000\nhttp.max_decoded_bytes = 2100\n\
         http.max_inflight_bytes = 2100",
    );
    let throttled = start("http.client_events_per_s = 1\nhttp.max_request_events = 2");
    let with_body = senders.iter().filter(|operation| operation.has_body());
    with_body.clone().for_each(|operation| provoked.crowded(&crowded, operation));
    senders.iter().for_each(|operation| provoked.throttled(&throttled, operation));
    for settings in [
        "http.body_timeout_ms = 150",
        "http.min_body_bytes_per_s = 1000000\nhttp.body_grace_ms = 150",
    ] {
        let slow = start(settings);
        with_body.clone().for_each(|operation| provoked.slow(&slow, operation));
    }
    usual
}

/// A token of the store that reads nothing, and one that sees no money; both are in force.
fn tokens(server: &Server) -> [String; 2] {
    let add = |args: &[&str]| access::command(&server.data(), &[&["tokens", "add"], args].concat());
    let tokens = [add(&["admin", "--scope", "access"]), add(&["lobby", "--hide-money"])];
    let known = |token: &String| access::get(server, "/metrics", token) == 403;
    access::soon("both are known", || tokens.iter().all(known));
    tokens
}
