//! Paths that are written in other ways than the routes are: none leads past a guard, out of the page's
//! files, or to anything that a plain path does not lead to.

use crate::victim::Victim;

const GUARDED: [&str; 7] = [
    "/api/analytics/current",
    "/api/analytics/metrics",
    "/api/analytics/timeseries",
    "/api/analytics/alerts",
    "/api/analytics/dead-letters",
    "/api/analytics/stream",
    "/metrics",
];

/// Other ways to write a path.
fn written_otherwise(path: &str) -> Vec<String> {
    let last = path.rsplit('/').next().unwrap();
    let first = path.split('/').nth(1).unwrap();
    vec![
        format!("/{path}"),
        format!("//{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("/.{path}"),
        format!("/..{path}"),
        format!("/x/..{path}"),
        format!("/app.js/..{path}"),
        format!("/healthz/..{path}"),
        format!("/v1/events/../..{path}"),
        format!("/%2e{path}"),
        format!("/%2e%2e{path}"),
        format!("/healthz/%2e%2e{path}"),
        path.replacen('/', "/%2f", 1),
        path.replace('/', "%2f"),
        path.replace('/', "\\"),
        path.replace(last, &format!("%{:02x}{}", last.as_bytes()[0], &last[1..])),
        path.replace(first, &format!("%{:02X}{}", first.as_bytes()[0], &first[1..])),
        path.to_ascii_uppercase(),
        format!("{path};a=b"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}%0a"),
        format!("{path}%3f"),
        format!("{path}.json"),
        format!("{path}#x"),
        format!("{path}?token"),
        format!("{path}?token="),
        format!("{path}?token=&token=v2"),
        format!("{path}?key=w1"),
        format!("{path}?TOKEN=v1"),
        format!("{path}%3ftoken=v1"),
    ]
}

#[test]
fn no_spelling_leads_past_a_guard() {
    let victim = Victim::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "w1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    for path in GUARDED {
        for spelling in written_otherwise(path) {
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                let answer = victim.raw(format!(
                    "{method} {spelling} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                ));
                let status = answer.split(' ').nth(1).unwrap_or_default();
                assert!(
                    ["400", "401", "404", "405"].contains(&status),
                    "{method} {spelling}: {answer}"
                );
            }
        }
    }
}

#[test]
fn no_path_leads_to_a_file_that_is_not_the_pages() {
    let victim = Victim::start();
    for path in [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%252f..%252fetc/passwd",
        "/....//....//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/..%5c..%5cetc%5cpasswd",
        "/%c0%ae%c0%ae/etc/passwd",
        "/app.js/../../floodmark.db",
        "/app.js%00.html",
        "/floodmark.db",
        "/node.id",
        "/.git/config",
        "/.env",
        "/config/default.toml",
        "/app.js.map",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
    ] {
        let answer = victim
            .raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "404", "421"].contains(&status), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
    victim.stands();
}
