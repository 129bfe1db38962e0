//! What is fuzzed: one function for each decoder that reads what others wrote. Each takes any
//! bytes and panics where a law is broken. `fuzz/` calls them with what a fuzzer thinks up,
//! `tests/server/corpus.rs` with the inputs that are kept in `tests/corpus/`.

use std::{
    fs,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest,
    dev::{Path, ResourceDef},
    http::{
        Uri,
        header::{HeaderName, HeaderValue},
    },
    test::TestRequest,
};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    config::Config,
    domain::{
        delta::Delta,
        event::{EventLimits, EventTime, Received},
        ids::IdSpace,
        metric::MetricSet,
        row::rows,
        source::Provenance,
        time::{EARLIEST, LATEST},
    },
    http::{
        collect::payload,
        dialect::{
            Dialect, DialectEvent, ForEach, Outcome, Rejected, for_each,
            native::body::{BodyFormat, split},
        },
        error::ApiError,
    },
    sink::Sink,
    spool::{self, IdWindow, Spool, SpoolOptions},
};

/// Who sends what is fuzzed.
const FROM: Provenance<'_> = Provenance {
    source: "http",
    dialect: "native",
    ids: IdSpace::Shop,
    has_revenue: true,
    is_bot: false,
};

/// A body in Floodmark's own JSON.
pub fn native(body: &[u8]) {
    intake(body, BodyFormat::Json);
}

/// A body of NDJSON.
pub fn ndjson(body: &[u8]) {
    intake(body, BodyFormat::NdJson);
}

/// The law of intake: every event becomes a row that can be read back, or is refused and leaves
/// nothing in the output.
fn intake(body: &[u8], format: BodyFormat) {
    let Ok(mut split) = split(body, format, 5000) else { return };
    let sent_at = match EventTime::read(split.sent_at()) {
        Ok(EventTime::At(at)) => Some(at),
        _ => None,
    };
    let received = Received { at: 1_795_766_400_000, sent_at };
    let limits = EventLimits { max_bytes: 65536, max_depth: 32, privacy: None };
    let metric_set = metric_set();
    let (mut out, mut events) = (Vec::new(), 0);
    for raw in split.events() {
        let before = out.len();
        match raw
            .read()
            .and_then(|event| event.encode(received, FROM, limits, &metric_set, &mut out))
        {
            Ok(_) => events += 1,
            Err(reason) => {
                assert_eq!(out.len(), before, "a refused event leaves nothing");
                assert!(!reason.code().is_empty() && !reason.to_string().is_empty());
            }
        }
    }
    let mut found = 0;
    for row in rows(&out) {
        let row = row.expect("an encoded row reads back");
        assert!((EARLIEST..=LATEST).contains(&row.time));
        assert!((1..=128).contains(&row.id.len()) && (1..=64).contains(&row.kind.len()));
        let json: Result<serde::de::IgnoredAny, _> = serde_json::from_str(row.properties);
        assert!(json.is_ok() && row.properties.starts_with('{'), "a JSON object");
        assert!(!row.properties.contains('\0'), "nothing that PostgreSQL refuses");
        found += 1;
    }
    assert_eq!(found, events);
}

/// A request in any dialect: a line `METHOD PATH`, a line for each header, an empty line, the body.
///
/// The law: a dialect takes any bytes. Each of its events becomes a row or is refused, and the request
/// gets an answer.
pub fn dialect(request: &[u8]) {
    let Some(at) = request.windows(2).position(|pair| pair == b"\n\n") else { return };
    let head = String::from_utf8_lossy(&request[..at]);
    let body = Bytes::copy_from_slice(&request[at + 2..]);
    for_each(&mut OneRequest { head: &head, body });
}

/// What each dialect is tried with.
struct OneRequest<'r> {
    head: &'r str,
    body: Bytes,
}

impl OneRequest<'_> {
    /// The request, if it is to this path.
    fn to(&self, endpoint: &str) -> Option<HttpRequest> {
        let mut lines = self.head.lines();
        let (method, uri) = lines.next()?.split_once(' ')?;
        let uri: Uri = uri.parse().ok()?;
        let mut path = Path::new(uri.path());
        if !ResourceDef::new(endpoint).capture_match_info(&mut path) {
            return None;
        }
        let mut request = TestRequest::with_uri(&uri.to_string()).method(method.parse().ok()?);
        for (name, value) in path.iter() {
            request = request.param(name.to_owned(), value.to_owned());
        }
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let Ok(name) = name.parse::<HeaderName>() else { continue };
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            request = request.append_header((name, value));
        }
        Some(request.to_http_request())
    }
}

impl ForEach for OneRequest<'_> {
    fn dialect<D: Dialect>(&mut self) {
        let request = D::ENDPOINTS.iter().find_map(|endpoint| self.to(endpoint.path));
        let Some(request) = request else { return };
        let _ = D::offer(&request);
        if let Err(error) = taken_in::<D>(&request, self.body.clone()) {
            assert!(D::refuse(&request, &error).status().as_u16() >= 400);
        }
    }
}

/// A request to one dialect, by its name: the first byte chooses the path, the second the type of the body.
/// What follows up to a NUL is the query string, and the rest is the body. The law is that of [`dialect`].
///
/// So a fuzzer does not have to find out how a path or a header is written.
pub fn body_of(name: &str, data: &[u8]) {
    let [path, kind, rest @ ..] = data else { return };
    let at = rest.iter().position(|byte| *byte == 0);
    let (query, body) = at.map_or((&[][..], rest), |at| (&rest[..at], &rest[at + 1..]));
    let is_plain = |byte: &&u8| byte.is_ascii_alphanumeric() || b"=&%+-._~[]{}\":,".contains(byte);
    let query: String = query.iter().filter(is_plain).map(|byte| char::from(*byte)).collect();
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let body = Bytes::copy_from_slice(body);
    for_each(&mut OneBody { name, path: *path, query, kind, body });
}

/// The types that clients give their bodies.
const KINDS: [&str; 6] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain;charset=UTF-8",
    "application/x-protobuf",
    "application/x-ndjson",
    "application/cloudevents-batch+json",
];

struct OneBody<'r> {
    name: &'r str,
    path: u8,
    query: String,
    kind: &'static str,
    body: Bytes,
}

impl ForEach for OneBody<'_> {
    fn dialect<D: Dialect>(&mut self) {
        if D::NAME != self.name {
            return;
        }
        let paths: Vec<String> = D::ENDPOINTS.iter().flat_map(|to| written_out(to.path)).collect();
        let path = &paths[usize::from(self.path) % paths.len()];
        let head = format!("POST {path}?{}\nContent-Type: {}", self.query, self.kind);
        let mut request = OneRequest { head: &head, body: self.body.clone() };
        request.dialect::<D>();
    }
}

/// The paths of an endpoint whose variables have alternatives; other variables get a value that fits.
fn written_out(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (variable, after) = rest.split_once('}').unwrap_or((rest, ""));
    let pattern = variable.split_once(':').map_or("", |(_, pattern)| pattern);
    let values: Vec<&str> = match pattern {
        "" => vec!["batch", "x"],
        "[0-9]+" => vec!["42"],
        set if set.starts_with('[') => vec![&set[1..2], &set[2..3]],
        names => names.split('|').collect(),
    };
    let ends = written_out(after);
    let with =
        |value: &&str| ends.iter().map(|end| format!("{before}{value}{end}")).collect::<Vec<_>>();
    values.iter().flat_map(with).collect()
}

/// The names of all dialects, for each of which there is a target in `fuzz/`.
pub fn dialects() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl ForEach for Names {
        fn dialect<D: Dialect>(&mut self) {
            self.0.push(D::NAME);
        }
    }
    let mut names = Names(Vec::new());
    for_each(&mut names);
    names.0
}

fn taken_in<D: Dialect>(request: &HttpRequest, body: Bytes) -> Result<(), ApiError> {
    let received = Received { at: 1_795_766_400_000, sent_at: None };
    let limits = EventLimits { max_bytes: 65536, max_depth: 32, privacy: None };
    let metric_set = metric_set();
    let mut dialect = D::open(request)?;
    let contents = dialect.contents(body)?;
    let mut split = dialect.split(&contents, 5000)?;
    let (mut out, mut outcome) = (Vec::new(), Outcome::default());
    for (index, event) in split.events().iter_mut().enumerate() {
        let read = event.read();
        match read.and_then(|event| event.encode(received, FROM, limits, &metric_set, &mut out)) {
            Ok(_) => outcome.accepted += 1,
            Err(reason) => outcome.rejected.push(Rejected { index, reason }),
        }
        let _ = event.as_sent();
    }
    assert_eq!(rows(&out).filter(Result::is_ok).count(), outcome.accepted as usize);
    let _ = (dialect.keys_in_body(), dialect.ids_in_body());
    assert!(dialect.answer(&outcome).status().as_u16() < 500);
    Ok(())
}

/// The metrics of the built-in configuration.
fn metric_set() -> Arc<MetricSet> {
    static METRIC_SET: LazyLock<Arc<MetricSet>> =
        LazyLock::new(|| Config::default().rules.metric_set);
    METRIC_SET.clone()
}

/// A compressed body: the first byte chooses the encoding, the rest is the body.
pub fn unpack(data: &[u8]) {
    const MAX: usize = 1 << 20;
    let Some((how, packed)) = data.split_first() else { return };
    let names = ["gzip", "deflate", "br", "zstd", "identity"];
    let name = names[usize::from(*how) % names.len()];
    if let Some(body) = payload::unpack_bytes(name, packed, MAX) {
        assert!(body.len() <= MAX, "no more than the limit");
    }
}

/// Encoded rows, as a spool or a ledger might hand them back.
pub fn encoded_rows(data: &[u8]) {
    for row in rows(data) {
        let Ok(row) = row else { break };
        if [row.time, row.received_at].iter().all(|at| (EARLIEST..=LATEST).contains(at)) {
            let mut again = Vec::new();
            row.encode(&mut again);
            let back: Vec<_> = rows(&again).collect();
            assert_eq!(back, [Ok(row)], "encode and decode are inverse");
        }
    }
}

/// An encoded delta: two bytes of length, the cells, the visitors.
pub fn delta(data: &[u8]) {
    let Some((len, rest)) = data.split_at_checked(2) else { return };
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    let Some((cells, visitors)) = rest.split_at_checked(len) else { return };
    let Ok(delta) = Delta::decode(cells, Some(visitors)) else { return };
    delta.cells().for_each(drop);
    delta.tops().for_each(drop);
    delta.distinct().for_each(drop);
    let again = Delta::decode(&delta.encode_cells(), Some(&delta.encode_visitors()));
    assert_eq!(again.expect("what is encoded decodes"), delta);
}

/// A segment of the spool. If the first byte is even, the rest follows the segment's header as it
/// is. If it is odd, the rest is read as a row of (kind, u16 length, payload), and each becomes a
/// record with the right checksums, so that the decoders behind the checksums are reached. `dir`
/// is an empty folder.
///
/// The law: whatever the segment holds, the spool opens, its batches can be read, and a second
/// start finds what the first one has left.
pub fn segment(data: &[u8], dir: &std::path::Path) {
    let node = Uuid::from_u128(77);
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = spool::fuzzed_segment(node, rest, how % 2 == 1);
    fs::write(dir.join(format!("{:020}.seg", 1)), bytes).expect("the folder can be written");
    let mut seen = None;
    for _ in 0..2 {
        let options = SpoolOptions {
            dir: dir.to_owned(),
            node,
            segment_bytes: 1 << 20,
            max_bytes: 1 << 30,
            keep_ms: 0,
            keep_bytes: 0,
        };
        let window = IdWindow { window_ms: i64::MAX / 4, max_ids: 1000, max_bytes: usize::MAX };
        let opened = Spool::open(options, window, 1_795_766_400_000).expect("it opens");
        let newest = opened.spool.newest_sealed();
        let oldest = opened.spool.oldest().unwrap_or(newest + 1);
        let mut events = 0;
        for seq in oldest..=newest.min(oldest + 100) {
            if let Ok(batch) = opened.spool.read(seq) {
                events += batch.rows.iter().map(|chunk| rows(chunk).count()).sum::<usize>();
            }
        }
        let lag = opened.spool.lag(Sink::Store);
        let found = (newest, events, lag.batches, opened.recovery.open.events);
        assert_eq!(*seen.get_or_insert(found), found, "a second start finds the same");
    }
}
