//! What `/v1/events` and the other routes do with bad input. Each bad request gets a clear refusal
//! or a closed connection; the server goes on, and neighbours of a bad event are unharmed.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Request, raw},
    server::Server,
};

/// Posts a body with these headers; returns the status and the JSON of the answer.
pub fn post(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let answer = ask(server, "POST", "/v1/events", headers, body);
    (answer.status, answer.json())
}

pub fn post_json(server: &Server, body: &str) -> (u16, Value) {
    post(server, &[("Content-Type", "application/json")], body.as_bytes())
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub fn page_views(server: &Server) -> u64 {
    server.current()["pageViews"].as_u64().unwrap()
}

#[test]
fn a_bad_event_never_fails_its_neighbours() {
    let server = Server::start();
    let body = r#"[{"type":"page_view"},{"type":7},17,{"type":"page_view","properties":{"a":"\u0000"}},
        {"type":"purchase"},{"type":"page_view","userId":{}},{"type":"page_view"}]"#;
    let (status, answer) = post_json(&server, body);
    assert_eq!(status, 202);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(4), &json!(0)));
    let rejected: Vec<_> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["code"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(1, "invalid_type"), (2, "not_an_object"), (4, "invalid_amount"),]);
    let notes = answer["notes"].as_array().unwrap().iter().map(|note| note["index"].as_u64());
    assert_eq!(notes.collect::<Vec<_>>(), [Some(3), Some(5)]);
    server.until("the good ones are counted", |server| page_views(server) == 4);
    server.until("the bad ones are dead letters", |server| server.count("dead_letters") == 3);
    assert_eq!(server.count("events"), 4);
}

#[test]
fn an_id_counts_once() {
    let server = Server::start();
    let body =
        r#"[{"type":"page_view","id":"a"},{"type":"page_view","id":"a"},{"type":"page_view"}]"#;
    assert_eq!(post_json(&server, body).1, json!({"accepted":2,"duplicates":1,"rejected":[]}));
    assert_eq!(post_json(&server, body).1, json!({"accepted":1,"duplicates":2,"rejected":[]}));
    server.until("three are counted", |server| page_views(server) == 3);
    server.until("three are stored", |server| server.count("events") == 3);
}

#[test]
fn a_bad_event_that_is_sent_again_is_kept_once_where_it_has_an_id() {
    let server = Server::start();
    let body = r#"[{"type":7,"id":"a"},{"type":7},{"type":"page_view"}]"#;
    for _ in 0..2 {
        let (status, answer) = post_json(&server, body);
        assert_eq!((status, answer["rejected"].as_array().unwrap().len()), (202, 2));
    }
    // Each good event is stored together with the dead letters of its request.
    server.until("both requests are stored", |server| server.count("events") == 2);
    assert_eq!(server.count("dead_letters"), 3);
}

#[test]
fn whole_requests_are_refused_with_a_code() {
    let server = Server::start();
    let refused = |(status, answer): (u16, Value)| {
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let says = |status: u16, code: &str| (status, code.to_owned());
    let json = |body: &str| refused(post_json(&server, body));
    assert_eq!(json(r#"[{"type":"page_view"}"#), says(400, "malformed"));
    assert_eq!(json("  "), says(400, "empty_body"));
    assert_eq!(json("true"), says(400, "not_events"));
    assert_eq!(refused(post(&server, &[], b"[\"\xff\"]")), says(400, "malformed"));
    assert_eq!(json(r#"{"type":"häh"}"#), says(422, "all_rejected"));
    let deep =
        format!(r#"{{"type":"a","properties":{}1{}}}"#, r#"{"a":"#.repeat(1000), "}".repeat(1000));
    let (status, answer) = post_json(&server, &deep);
    assert_eq!((status, &answer["rejected"][0]["code"]), (422, &json!("too_deep")));
    assert_eq!(json(&"[".repeat(1000)), says(400, "malformed"));

    let large = "x".repeat(2 << 20);
    assert_eq!(refused(post(&server, &[], large.as_bytes())), says(413, "too_large"));
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20, "the bomb itself is within the limit");
    let packed = &[("Content-Encoding", "gzip")];
    assert_eq!(refused(post(&server, packed, &bomb)), says(413, "too_large"));
    assert_eq!(refused(post(&server, packed, b"not gzip")), says(400, "malformed_encoding"));
    let many = format!("[{}1]", "1,".repeat(5000));
    assert_eq!(json(&many), says(413, "too_many_events"));
    let event = format!(r#"{{"type":"a","properties":{{"a":"{}"}}}}"#, "x".repeat(65 << 10));
    assert_eq!(post_json(&server, &event).1["rejected"][0]["code"], "event_too_large");

    let media = &[("Content-Type", "image/png")];
    assert_eq!(refused(post(&server, media, b"{}")), says(415, "unsupported_type"));
    let packing = &[("Content-Encoding", "lzma")];
    assert_eq!(refused(post(&server, packing, b"{}")), says(415, "unsupported_encoding"));

    assert_eq!(post_json(&server, r#"{"type":"page_view"}"#).0, 202, "the server goes on");
    server.until("it is counted", |server| page_views(server) == 1);
}

#[test]
fn a_method_or_a_path_that_is_not_there_is_named() {
    let server = Server::start();
    let ask =
        |method: &str, path: &str| server.request(method, path).send().expect("the server answers");
    let code = |answer: &Answer| answer.json()["error"]["code"].clone();
    for (method, path, allowed) in [
        ("GET", "/v1/events", "POST"),
        ("POST", "/api/analytics/current", "GET, HEAD"),
        ("DELETE", "/readyz", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/app.js", "GET, HEAD"),
        ("PUT", "/api/analytics/stream", "GET"),
    ] {
        let answer = ask(method, path);
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        assert_eq!(code(&answer), "method_not_allowed", "{method} {path}");
    }
    for path in ["/v1/event", "/api/analytics/nothing", "/no.js"] {
        let answer = ask("GET", path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(code(&answer), "not_found", "{path}");
    }
    for path in ["/", "/healthz", "/api/analytics/current"] {
        let answer = ask("HEAD", path);
        assert!(answer.status == 200 && answer.body.is_empty(), "{path}: {answer:?}");
    }
}

/// Every refusal of a query string has the form that all refusals have.
#[test]
fn a_parameter_that_is_wrong_or_given_twice_is_named() {
    let server = Server::start();
    let breakdown = "/api/analytics/breakdown?type=error&property=code";
    for (path, parameter) in [
        (format!("{breakdown}&property=code"), "property"),
        (format!("{breakdown}&minutes=1&minutes=2"), "minutes"),
        (format!("{breakdown}&limit=0"), "limit"),
        ("/api/analytics/breakdown".to_owned(), "type"),
        ("/api/analytics/timeseries?type=error&type=error".to_owned(), "type"),
        ("/api/analytics/timeseries?type=error&hours=-1".to_owned(), "hours"),
    ] {
        let answer = ask(&server, "GET", &path, &[], "");
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (400, &json!("invalid_parameter")), "{path}");
        assert!(error["message"].as_str().unwrap().contains(parameter), "{path}: {answer:?}");
    }
    // Parameters that are not the route's own are passed over, however often they come.
    let path = format!("{breakdown}&token=a&token=b");
    assert_eq!(ask(&server, "GET", &path, &[], "").status, 200);
}

#[test]
fn what_is_read_is_compressed_for_who_accepts_that() {
    let server = Server::start();
    for (accept, encoding) in [("gzip", Some("gzip")), ("gzip, br", Some("br")), ("identity", None)]
    {
        for path in ["/", "/app.js", "/api/analytics/current", "/metrics"] {
            let request = server.request("GET", path).header("Accept-Encoding", accept);
            let answer = request.send().expect("the server answers");
            assert_eq!(answer.header("content-encoding"), encoding, "{path}, {accept}");
        }
    }
}

#[test]
fn half_a_request_and_silence_is_closed() {
    let server = Server::with(&[
        ("FLOODMARK_HTTP__HEADER_TIMEOUT_MS", "2000"),
        ("FLOODMARK_HTTP__BODY_TIMEOUT_MS", "300"),
    ]);
    let answer = raw(server.addr(), b"POST /v1/events HTTP/1.1\r\nHost: x\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = raw(
        server.addr(),
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 50\r\n\r\n{\"type\"",
    );
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(post_json(&server, r#"{"type":"page_view"}"#).0, 202, "the server goes on");
}

#[test]
fn keys_let_in_only_who_has_one() {
    let server = Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "w1,w2"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    let event = br#"{"type":"page_view"}"#;
    let (status, answer) = post(&server, &[], event);
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthorized")));
    assert_eq!(post(&server, &[("Authorization", "Bearer v1")], event).0, 401);
    assert_eq!(post(&server, &[("Authorization", "Bearer w2")], event).0, 202);
    // In Basic auth the key is the user name; this is base64 of "w1:".
    assert_eq!(post(&server, &[("Authorization", "Basic dzE6")], event).0, 202);
    let status = |request: Request| request.send().expect("the server answers").status;
    let get = |path: &str| server.request("GET", path);
    let get_with = |path: &str, key: &str| get(path).header("Authorization", key);
    for path in
        ["/api/analytics/current", "/api/analytics/timeseries", "/api/analytics/stream", "/metrics"]
    {
        assert_eq!(status(get(path)), 401, "{path}");
        assert_eq!(status(get_with(path, "Bearer w1")), 401, "{path}");
    }
    assert_eq!(status(get_with("/api/analytics/current", "Bearer v1")), 200);
    assert_eq!(status(get("/api/analytics/current?token=v1")), 200);
    assert_eq!(status(get("/healthz")), 200);
}

/// The answer to a request with these headers, and perhaps a body.
pub fn ask(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Answer {
    let mut request = server.request(method, path).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().expect("the server answers")
}

#[test]
fn who_may_call_a_route_is_decided_by_its_scope() {
    let server = Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "w1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    let roles = ["", "w1", "v1", "wrong"].map(|key| format!("Bearer {key}"));
    let breakdown = "/api/analytics/breakdown?type=error&property=code";
    let refused = 401;
    // For each scope of routes, the status for each client: without a key, with a write key, with a
    // viewer token, with a wrong key.
    let collect = [refused, 202, refused, refused];
    let view = [refused, refused, 200, refused];
    let open = [200; 4];
    for (method, path, expected) in [
        ("POST", "/v1/events", collect),
        ("GET", "/api/analytics/current", view),
        ("HEAD", "/api/analytics/current", view),
        ("GET", "/api/analytics/metrics", view),
        ("GET", "/api/analytics/timeseries?type=error", view),
        ("GET", breakdown, view),
        ("GET", "/api/analytics/alerts", view),
        ("GET", "/api/analytics/dead-letters", view),
        ("GET", "/metrics", view),
        // A client with a viewer token that does not ask for a WebSocket gets 400.
        ("GET", "/api/analytics/stream", [refused, refused, 400, refused]),
        ("GET", "/healthz", open),
        ("GET", "/readyz", open),
        ("GET", "/", open),
        ("GET", "/app.js", open),
        // Whether a method or a path exists is told without a key.
        ("GET", "/v1/events", [405; 4]),
        ("POST", "/api/analytics/current", [405; 4]),
        ("PUT", "/api/analytics/stream", [405; 4]),
        ("GET", "/v1/nothing", [404; 4]),
        ("GET", "/api/analytics/nothing", [404; 4]),
    ] {
        let body = if method == "POST" { "[]" } else { "" };
        for (role, status) in roles.iter().zip(expected) {
            let mut headers = vec![("Content-Type", "application/json")];
            if role != "Bearer " {
                headers.push(("Authorization", role));
            }
            let answer = ask(&server, method, path, &headers, body);
            assert_eq!(answer.status, status, "{method} {path} {role}: {answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{method} {path}: {answer:?}");
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            let challenged = challenge.to_ascii_lowercase().starts_with("bearer");
            assert_eq!(challenged, status == refused, "{method} {path}: {answer:?}");
        }
    }
}

#[test]
fn another_sites_page_may_send_and_is_refused_the_stream_before_its_token_is_looked_at() {
    let server = Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "w1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    let origin = ("Origin", "https://other.example");
    let shared = |answer: &Answer| answer.header("access-control-allow-origin").is_some();
    for (method, path, status, may) in [
        ("POST", "/v1/events", 401, true),
        ("GET", "/v1/events", 405, true),
        ("GET", "/v1/nothing", 404, true),
        ("GET", "/api/analytics/current", 401, false),
        ("GET", "/healthz", 200, false),
        ("GET", "/nothing", 404, false),
        ("GET", "/api/analytics/stream", 403, false),
    ] {
        let answer = ask(&server, method, path, &[origin], "");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(shared(&answer), may, "{method} {path}: {answer:?}");
    }
    let preflight = [origin, ("Access-Control-Request-Method", "POST")];
    let answer = ask(&server, "OPTIONS", "/v1/events", &preflight, "");
    assert!(answer.status == 200 && shared(&answer), "{answer:?}");
}

#[test]
fn a_client_that_sends_too_much_waits_and_the_others_go_on() {
    let server = Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "busy,calm"),
        ("FLOODMARK_HTTP__CLIENT_EVENTS_PER_S", "10"),
        ("FLOODMARK_HTTP__MAX_REQUEST_EVENTS", "60"),
    ]);
    let sixty = format!("[{}]", [r#"{"type":"page_view"}"#; 60].join(","));
    let send = |key: &str| {
        let request = server.request("POST", "/v1/events").header("X-Write-Key", key);
        request.body(&sixty[..]).send().expect("the server answers")
    };
    assert_eq!(send("busy").status, 202);
    // A bad event is not counted as rejected where its whole request is refused: the client will
    // send it again.
    let bad = sixty.replacen("page_view", "", 1);
    let (status, answer) = post(&server, &[("X-Write-Key", "busy")], bad.as_bytes());
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("rate_limited")));
    let text = server.get_text("/metrics");
    let mut rejected =
        text.lines().filter(|line| line.starts_with("floodmark_events_rejected_total{"));
    assert!(rejected.all(|line| line.ends_with(" 0")), "{text}");
    let again = send("busy");
    assert!(again.header("retry-after").is_some(), "{again:?}");
    assert_eq!(send("calm").status, 202);
    server.until("what was let in is counted, and nothing else", |_| page_views(&server) == 120);
}

/// A head that is not the first of its connection has as little time as the first, and so has a body that
/// nobody reads, because its request was refused.
#[test]
fn a_connection_that_trickles_after_its_first_request_is_closed() {
    use std::io::{Read, Write};

    use crate::support::client::Connection;

    let server = Server::with(&[
        ("FLOODMARK_HTTP__HEADER_TIMEOUT_MS", "1000"),
        ("FLOODMARK_AUTH__WRITE_KEYS", "w"),
    ]);
    let limit = "floodmark_http_limits_reached_total{limit=\"header_timeout_ms\"}";
    let event = br#"{"type":"page_view"}"#;
    let good = server.request("POST", "/v1/events").header("X-Write-Key", "w").body(&event[..]);

    let mut slow_head = Connection::open(server.addr()).unwrap();
    assert_eq!(good.send_on(&mut slow_head).unwrap().status, 202);
    let mut unread_body = Connection::open(server.addr()).unwrap();
    let refused = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    unread_body.write_all(refused).unwrap();
    let mut answer = [0; 12];
    unread_body.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");

    for (mut connection, drop) in [(slow_head, &b"G"[..]), (unread_body, b"1\r\nx\r\n")] {
        let began = std::time::Instant::now();
        while connection.write_all(drop).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(began.elapsed() < crate::support::program::PATIENCE, "it stays open");
        }
    }
    server.until("both were closed for it", |server| {
        server.get_text("/metrics").contains(&format!("{limit} 2"))
    });
    // One that waits between its requests is no slow one.
    let mut patient = Connection::open(server.addr()).unwrap();
    for _ in 0..2 {
        assert_eq!(good.send_on(&mut patient).unwrap().status, 202);
        std::thread::sleep(std::time::Duration::from_millis(1_500));
    }
    assert_eq!(good.send_on(&mut patient).unwrap().status, 202);
}
