//! By which names the server may be called (`http.allowed_hosts`), against DNS rebinding.

use serde_json::json;

use crate::support::{
    client::{Answer, Connection, Request},
    server::Server,
    viewer::upgrade,
};
use std::io::{Read, Write};

const EVENT: &str = r#"{"type":"page_view"}"#;
const BREAKDOWN: &str = "/api/analytics/breakdown?type=error&property=code";

/// The answer to a request that calls the server by this name.
fn called(server: &Server, host: &str, method: &str, path: &str) -> Answer {
    let body = if method == "POST" { EVENT } else { "" };
    let request = server.request(method, path).header("Host", host).body(body);
    request.send().expect("the server answers")
}

#[test]
fn a_page_that_takes_this_server_for_its_own_reads_nothing() {
    let server = Server::start();
    for path in [
        "/",
        "/app.js",
        "/api/analytics/current",
        "/api/analytics/metrics",
        "/api/analytics/alerts",
        "/api/analytics/dead-letters",
        "/api/analytics/timeseries?type=error",
        BREAKDOWN,
        "/metrics",
    ] {
        for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""] {
            let answer = called(&server, host, "GET", path);
            assert_eq!(answer.status, 421, "{host} {path}: {answer:?}");
            let error = &answer.json()["error"];
            assert_eq!(error["code"], "unknown_host", "{answer:?}");
            assert!(error["message"].as_str().unwrap().contains("http.allowed_hosts"), "{error}");
        }
        for host in ["127.0.0.1", "localhost:8080", "[::1]", "192.0.2.1:80", "shop.localhost"] {
            assert_eq!(called(&server, host, "GET", path).status, 200, "{host} {path}");
        }
    }
    let socket = |host: &str| upgrade(server.addr()).header("Host", host).send().unwrap().status;
    assert_eq!(socket("evil.example"), 421);
    assert_eq!(socket("localhost"), 101);
    let rebound = upgrade(server.addr()).header("Host", "evil.example");
    let rebound = rebound.header("Origin", "http://evil.example").send().unwrap();
    assert_eq!(rebound.status, 421, "the page and the name are the same, which is no proof");
    assert!(server.has_metric("floodmark_http_refused_total{code=\"unknown_host\"} 38"));
}

#[test]
fn senders_and_health_checks_may_use_any_name() {
    let server = Server::start();
    for (method, path, status) in [
        ("POST", "/v1/events", 202),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/v1/nothing", 404),
    ] {
        assert_eq!(called(&server, "collect.shop.example", method, path).status, status, "{path}");
    }
    // The check of a load balancer may speak HTTP/1.0 and name nobody.
    let mut connection = Connection::open(server.addr()).unwrap();
    connection.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn names_of_the_configuration_are_known_and_a_token_does_without_a_list() {
    let listed = Server::with(&[("FLOODMARK_HTTP__ALLOWED_HOSTS", "shop.example,*.wall.example")]);
    let read = |server: &Server, host: &str| {
        called(server, host, "GET", "/api/analytics/current?token=v").status
    };
    assert_eq!(read(&listed, "shop.example"), 200);
    assert_eq!(read(&listed, "a.wall.example:443"), 200);
    assert_eq!(read(&listed, "wall.example"), 421);

    let token = ("FLOODMARK_AUTH__VIEWER_TOKENS", "v");
    let guarded = Server::with(&[token]);
    assert_eq!(read(&guarded, "shop.example"), 200);
    let without = called(&guarded, "shop.example", "GET", "/api/analytics/current");
    assert_eq!(without.status, 401);
    let both = Server::with(&[token, ("FLOODMARK_HTTP__ALLOWED_HOSTS", "shop.example")]);
    assert_eq!(read(&both, "shop.example"), 200);
    assert_eq!(read(&both, "evil.example"), 421);
}

#[test]
fn the_host_of_a_request_line_counts_too() {
    let server = Server::start();
    let path = "http://evil.example/api/analytics/current";
    let answer = Request::get(server.addr(), path).send().unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (421, &json!("unknown_host")));
    let own = format!("http://{}/api/analytics/current", server.addr());
    assert_eq!(Request::get(server.addr(), &own).send().unwrap().status, 200);
}
