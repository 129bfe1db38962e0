//! Requests that a proxy and this server might read in two ways. What the proxy takes for a body would be a
//! request to us, which nobody has looked at. So each is refused, its connection ends, and what it hides is
//! never a request.

use crate::victim::Victim;

/// What each request hides: an event that must never be counted.
const HIDDEN: &str =
    "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{\"type\":\"evil\"}";

/// Sends a head (without its last empty line) and what follows it.
fn refused(victim: &Victim, what: &str, head: &str, body: &str) {
    let answer = victim.raw(format!("{head}\r\n\r\n{body}{HIDDEN}"));
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(["400", "413", "431", "501", "505"].contains(&status), "{what}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
}

fn post_with(headers: &str) -> String {
    format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{headers}")
}

#[test]
fn two_lengths_of_one_body_are_refused() {
    let victim = Victim::start();
    let chunked = "0\r\n\r\n";
    for (what, headers) in [
        ("CL and TE", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("CL 0 and TE", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5"),
        ("a list of lengths", "Content-Length: 5, 5"),
        ("a negative length", "Content-Length: -1"),
        ("a signed length", "Content-Length: +5"),
        ("a hexadecimal length", "Content-Length: 0x5"),
        ("a length with a gap", "Content-Length: 1 5"),
        ("a length of nothing", "Content-Length: "),
        ("a length of 2^64", "Content-Length: 18446744073709551616"),
        ("a length of 2^64 - 1", "Content-Length: 18446744073709551615"),
        ("a length of 2^63", "Content-Length: 9223372036854775808"),
        ("a length of 10^30", "Content-Length: 1000000000000000000000000000000"),
        ("two encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("two other encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("an unknown encoding", "Transfer-Encoding: xchunked"),
        ("an encoding that is not the last", "Transfer-Encoding: chunked, identity"),
        ("gzip of chunks", "Transfer-Encoding: gzip, chunked"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked"),
        ("no encoding", "Transfer-Encoding: "),
        ("identity", "Transfer-Encoding: identity\r\nContent-Length: 5"),
        ("an encoding in quotes", "Transfer-Encoding: \"chunked\""),
        ("an encoding with a vertical tab", "Transfer-Encoding: \u{b}chunked"),
        ("an encoding with a parameter", "Transfer-Encoding: chunked;q=1"),
        ("a space before the colon", "Transfer-Encoding : chunked"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked"),
        ("a folded encoding", "Transfer-Encoding:\r\n chunked"),
        ("a folded length", "Content-Length:\r\n 5"),
        ("a header that begins with a space", "X: y\r\n Content-Length: 5"),
        ("lengths on lines that end in LF alone", "Content-Length: 0\nTransfer-Encoding: chunked"),
        ("a bare CR in a value", "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5"),
    ] {
        refused(&victim, what, &post_with(headers), chunked);
    }
    victim.stands();
}

#[test]
fn heads_that_are_none_are_refused() {
    let victim = Victim::start();
    let event = "{\"type\":\"page_view\"}";
    for (what, head) in [
        ("two hosts", post_with("Host: other\r\nContent-Length: 5")),
        ("the same host twice", post_with("Host: localhost\r\nContent-Length: 5")),
        ("no host", "POST /v1/events HTTP/1.1\r\nContent-Length: 5".to_owned()),
        ("a NUL in a value", post_with("X: a\0b\r\nContent-Length: 5")),
        ("a NUL in a name", post_with("X\0: a\r\nContent-Length: 5")),
        ("a NUL in the path", "POST /v1/\0events HTTP/1.1\r\nHost: x\r\nContent-Length: 5".into()),
        ("a space in a name", post_with("X Y: a\r\nContent-Length: 5")),
        ("no name", post_with(": a\r\nContent-Length: 5")),
        ("no colon", post_with("Content-Length 5")),
        ("a control character in a value", post_with("X: a\u{1}b\r\nContent-Length: 5")),
        ("a space in the path", "POST /v1 /events HTTP/1.1\r\nHost: x".into()),
        ("no version", "POST /v1/events\r\nHost: x".into()),
        ("HTTP/0.9", "GET /".into()),
        ("HTTP/2.0 as text", "GET / HTTP/2.0\r\nHost: x".into()),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: x".into()),
        ("a version in small letters", "GET / http/1.1\r\nHost: x".into()),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM".into()),
        ("a method with a colon", "GE:T / HTTP/1.1\r\nHost: x".into()),
        ("a record of TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".into()),
    ] {
        refused(&victim, what, &head, event);
    }
    let refusals = "floodmark_http_refused_total{code=\"no_request\"} 19";
    victim.server.until("each is counted", |server| server.has_metric(refusals));
    victim.stands();
}

#[test]
fn http_1_0_has_no_chunks() {
    let victim = Victim::start();
    for headers in ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let head = format!("POST /v1/events HTTP/1.0\r\nHost: localhost\r\n{headers}");
        refused(&victim, headers, &head, "0\r\n\r\n");
    }
    // And a body without a length is none, not one that ends with its connection.
    refused(&victim, "no length", "POST /v1/events HTTP/1.0\r\nHost: localhost", "");
    victim.stands();
}

#[test]
fn chunks_that_are_none_end_the_request() {
    let victim = Victim::start();
    let head = post_with("Transfer-Encoding: chunked");
    for (what, body) in [
        ("a size of 2^63", "8000000000000000\r\n"),
        ("a size of 2^64 - 1", "FFFFFFFFFFFFFFFF\r\n"),
        ("a size of 2^64", "10000000000000000\r\n"),
        ("a size of 100 digits", &format!("{}5\r\n", "0".repeat(99).replace('0', "f"))),
        ("a negative size", "-1\r\nx\r\n"),
        ("a signed size", "+1\r\nx\r\n"),
        ("a size with 0x", "0x1\r\nx\r\n"),
        ("a size with a gap", "1 1\r\nx\r\n"),
        ("no size", "\r\nx\r\n"),
        ("a size that is no number", "g\r\nx\r\n"),
        ("a size before LF alone", "1\nx\r\n"),
        ("an extension with LF alone", "1;a\nx\r\n0\r\n\r\n"),
        ("an extension with a NUL", "1;\0\r\nx\r\n0\r\n\r\n"),
        ("a chunk that is longer than its size", "1\r\nxy\r\n0\r\n\r\n"),
        ("a chunk that ends in LF alone", "1\r\nx\n0\r\n\r\n"),
    ] {
        // A size that is too large takes what follows for its chunk, so it has to say that there is
        // no more to come.
        let answer = victim.raw_and_close(format!("{head}\r\n\r\n{body}{HIDDEN}"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: {answer}");
    }
    victim.stands();
}

/// What is allowed, although it looks odd, is understood in the one way that there is.
#[test]
fn odd_requests_that_are_allowed_are_read_as_they_should_be() {
    let victim = Victim::start();
    let event = "{\"type\":\"page_view\"}";
    let length = event.len();
    let chunked = format!("{length:x};name=\"value\"\r\n{event}\r\n0\r\nTrailer: x\r\n\r\n");
    for (what, request) in [
        (
            "spaces around a length",
            post_with(&format!("Content-Length: \t {length} \r\n\r\n{event}")),
        ),
        ("leading zeros", post_with(&format!("Content-Length: 000{length}\r\n\r\n{event}"))),
        (
            "extensions and trailers",
            post_with(&format!("Transfer-Encoding: Chunked\r\n\r\n{chunked}")),
        ),
        (
            "an upgrade to HTTP/2 that is not taken",
            post_with(&format!(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\
                 Content-Length: {length}\r\n\r\n{event}"
            )),
        ),
    ] {
        let closing = request.replacen("Host:", "Connection: close\r\nHost:", 1);
        let answer = victim.raw(&closing);
        assert!(answer.starts_with("HTTP/1.1 202"), "{what}: {answer}");
        victim.took(1);
    }
    // Two requests at once are two requests.
    let one = post_with(&format!("Content-Length: {length}\r\n\r\n{event}"));
    let last = one.replacen("Host:", "Connection: close\r\nHost:", 1);
    assert_eq!(victim.raw(one + &last).matches("HTTP/1.1 202").count(), 2);
    victim.took(2);
    victim.stands();
}
