//! What browsers are told that show the page or an answer, and what pages of other sites get.

use crate::{
    door::ask,
    support::{client::Answer, server::Server, viewer::upgrade},
};

#[test]
fn what_is_read_tells_browsers_what_they_may_do_with_it() {
    let server = Server::start();
    for path in ["/", "/app.js", "/api/analytics/current", "/api/analytics/alerts", "/metrics"] {
        let answer = ask(&server, "GET", path, &[], "");
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let cached = header("cache-control");
        assert!(["no-cache", "no-store"].contains(&cached.as_str()), "{path}: {cached}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
    }
    // A refusal is an answer, too.
    let refused = ask(&server, "GET", "/api/analytics/breakdown", &[], "");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn browsers_are_told_to_stay_with_tls_only_where_they_came_by_it() {
    let trusted = ("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let names = ("FLOODMARK_HTTP__ALLOWED_HOSTS", "shop.example");
    let strict = |server: &Server, host: &str, scheme: &str| {
        let answer = ask(server, "GET", "/", &[("Host", host), ("X-Forwarded-Proto", scheme)], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("strict-transport-security").map(str::to_owned)
    };
    let server = Server::with(&[trusted, names]);
    assert_eq!(strict(&server, "shop.example", "https").as_deref(), Some("max-age=15552000"));
    assert_eq!(strict(&server, "shop.example", "http"), None);
    assert_eq!(strict(&server, "localhost:8080", "https"), None, "all its ports would be meant");
    let off = Server::with(&[trusted, names, ("FLOODMARK_HTTP__HSTS_S", "0")]);
    assert_eq!(strict(&off, "shop.example", "https"), None);
    let nobody_trusted = Server::with(&[names]);
    assert_eq!(strict(&nobody_trusted, "shop.example", "https"), None);
}

/// Pages of other sites may send events, and read what is answered to that. Nothing else is for them.
#[test]
fn only_collectors_answer_to_pages_of_other_sites() {
    let server = Server::start();
    let other = ("Origin", "https://other.example");
    let shared = |answer: &Answer| {
        answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
    };
    let preflight = |path: &str, method: &str| {
        let asks = [other, ("Access-Control-Request-Method", method)];
        ask(&server, "OPTIONS", path, &asks, "")
    };
    for path in [
        "/v1/events",
        "/v1/events/",
        "/2/httpapi",
        "/g/collect",
        "/api/event",
        "/api/send",
        "/com.snowplowanalytics.snowplow/tp2",
        "/v1/cloudevents",
        "/v1/logs",
        "/v1/pixel.gif",
    ] {
        let answer = preflight(path, "POST");
        assert!(answer.status == 200 && shared(&answer), "{path}: {answer:?}");
    }
    for path in [
        "/",
        "/app.js",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/analytics/current",
        "/api/analytics/metrics",
        "/api/analytics/timeseries",
        "/api/analytics/breakdown",
        "/api/analytics/alerts",
        "/api/analytics/dead-letters",
        "/api/analytics/stream",
        "/nothing",
    ] {
        for method in ["GET", "POST"] {
            let answer = preflight(path, method);
            assert!(answer.status >= 400 && !shared(&answer), "{path}: {answer:?}");
            let answer = ask(&server, "GET", path, &[other], "");
            assert!(!shared(&answer), "{path}: {answer:?}");
        }
    }
}

#[test]
fn a_token_may_stand_in_a_subprotocol_and_is_never_answered() {
    let server = Server::with(&[("FLOODMARK_AUTH__VIEWER_TOKENS", "watcher")]);
    let with = |protocols: &str| {
        let request = upgrade(server.addr()).header("Sec-WebSocket-Protocol", protocols);
        let answer = request.send().expect("the server answers");
        (answer.status, answer.header("sec-websocket-protocol").map(str::to_owned))
    };
    let (right, wrong) = ("floodmark.token.d2F0Y2hlcg", "floodmark.token.d2F0Y2hlcX");
    assert_eq!(with(&format!("floodmark.v1, {right}")), (101, Some("floodmark.v1".to_owned())));
    assert_eq!(with(&format!("{right}, floodmark.v1")), (101, Some("floodmark.v1".to_owned())));
    assert_eq!(with(right), (101, None));
    for refused in [wrong, "floodmark.token.", "floodmark.token.watcher", "watcher"] {
        assert_eq!(with(&format!("floodmark.v1, {refused}")).0, 401, "{refused}");
    }
}
