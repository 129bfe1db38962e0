//! The listener of operators (`http.ops_listen`).

use crate::{
    door::{ask, post_json},
    support::{client::Request, port::Port, server::Server},
};

#[test]
fn operators_have_a_listener_of_their_own_and_metrics_are_there_alone() {
    let port = Port::free();
    let ops = format!("127.0.0.1:{}", port.number());
    let server = Server::with(&[
        ("FLOODMARK_HTTP__OPS_LISTEN", &*ops),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    let ops = ops.parse().unwrap();
    let bearer = ("Authorization", "Bearer v1");
    let public = |method: &str, path: &str| ask(&server, method, path, &[bearer], "").status;
    let private = |method: &str, path: &str| {
        let request = Request::new(ops, method, path).header(bearer.0, bearer.1);
        request.send().expect("the server answers").status
    };
    for (method, path, on_public, on_private) in [
        ("GET", "/metrics", 404, 200),
        ("GET", "/healthz", 200, 200),
        ("GET", "/readyz", 200, 200),
        ("GET", "/", 200, 200),
        ("GET", "/api/analytics/current", 200, 200),
        ("POST", "/v1/events", 400, 404),
        ("POST", "/api/event", 400, 404),
        ("GET", "/v1/pixel.gif", 200, 404),
        ("GET", "/floodmark.js", 200, 404),
    ] {
        assert_eq!(public(method, path), on_public, "{method} {path}");
        assert_eq!(private(method, path), on_private, "{method} {path}");
    }
    assert_eq!(Request::get(ops, "/metrics").send().unwrap().status, 401, "its guard stays");
    assert_eq!(post_json(&server, r#"{"type":"page_view"}"#).0, 202);
}
