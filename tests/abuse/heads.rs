//! Heads that are too long, too many, or never end.

use crate::victim::Victim;

const EVENT: &str = "{\"type\":\"page_view\"}";

fn head(path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{EVENT}",
        EVENT.len()
    )
}

#[test]
fn heads_have_an_end() {
    let victim = Victim::start();
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect::<String>();
    let long = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes));
    for (what, request, expected) in [
        ("90 headers", head("/v1/events", &many(90)), &["202"][..]),
        ("200 headers", head("/v1/events", &many(200)), &["400", "431"]),
        ("100,000 headers", head("/v1/events", &many(100_000)), &["400", "431", ""]),
        ("100 kB in a header", head("/v1/events", &long(100_000)), &["202"]),
        ("1 MB in a header", head("/v1/events", &long(1 << 20)), &["431", ""]),
        ("1 MB in the path", head(&format!("/{}", "x".repeat(1 << 20)), ""), &["400", "431", ""]),
        (
            "60 kB in the query",
            head(&format!("/v1/events?{}", "a=b&".repeat(15_000)), ""),
            &["202"],
        ),
        ("1 MB of line ends", "\r\n".repeat(1 << 19), &["400", "431", ""]),
        ("1 MB without an end", "x".repeat(1 << 20), &["400", "431", ""]),
    ] {
        let answer = victim.raw(&request);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(expected.contains(&status), "{what}: {}", &answer[..answer.len().min(300)]);
        victim.took(u64::from(status == "202"));
    }
    victim.stands();
}

#[test]
fn values_of_known_headers_may_be_anything() {
    let victim = Victim::start();
    let many = |one: &str, count: usize| vec![one; count].join(",");
    for (name, value) in [
        ("X-Request-Id", "x".repeat(10_000)),
        ("X-Forwarded-For", many("1.2.3.4", 10_000)),
        ("X-Forwarded-For", "\u{ff}".repeat(1_000)),
        ("Content-Type", format!("application/json;{}", "a=b;".repeat(10_000))),
        ("Accept-Encoding", many("gzip;q=0.1", 5_000)),
        ("Authorization", format!("Basic {}", "QUFB".repeat(10_000))),
        ("Authorization", "Bearer".to_owned()),
        ("Origin", "x".repeat(50_000)),
        ("Connection", many("close", 10_000)),
        ("Cookie", "a=b; ".repeat(10_000)),
        ("Content-Encoding", many("identity", 1_000)),
        ("User-Agent", "\t".repeat(1_000)),
        ("Range", format!("bytes={}", many("0-", 10_000))),
    ] {
        let answer = victim.post(&[(name, &value)], EVENT);
        let taken = answer.status == 202;
        assert!(taken || [400, 415].contains(&answer.status), "{name}: {answer:?}");
        victim.took(u64::from(taken));
        let read = victim.server.request("GET", "/api/analytics/current").header(name, &value);
        let read = read.send().expect("an answer").status;
        assert!([200, 406].contains(&read), "{name}: {read}");
    }
    victim.stands();
}
