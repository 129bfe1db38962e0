//! Made-up values without number: types, paths, minutes, addresses of clients, request ids. Each is counted
//! as it should be, and none stays in memory, on `/metrics` or in the log for longer than its share allows.

use std::io::Write;

use floodmark::domain::time::{MINUTE, now_ms};

use crate::{
    support::client::{Connection, Request},
    victim::Victim,
};

const FLOOD: usize = 100_000;
const EACH: usize = 5_000;

/// Posts made-up events, 5,000 a request.
fn flood(victim: &Victim, event: impl Fn(usize) -> String) {
    for from in (0..FLOOD).step_by(EACH) {
        let lines: String = (from..from + EACH).map(|n| event(n) + "\n").collect();
        let answer = victim.post(&[("Content-Type", "application/x-ndjson")], lines);
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (202, Some(EACH as u64)));
    }
    victim.took(FLOOD as u64);
}

/// The lines of `/metrics`.
fn series(victim: &Victim) -> usize {
    victim.server.get_text("/metrics").lines().count()
}

#[test]
fn a_hundred_thousand_types_and_values_have_counters_for_those_that_fit() {
    let victim = Victim::start();
    let before = series(&victim);
    flood(&victim, |n| {
        format!(
            "{{\"type\":\"made-up-{n}\",\"sessionId\":\"s{n}\",\"properties\":{{\"path\":\"/{n}\"}}}}"
        )
    });
    victim.stands();
    let current = victim.server.current();
    assert_eq!(current["totals"]["events"].as_u64().or(current["events"].as_u64()), Some(100_001));
    let more = series(&victim).saturating_sub(before);
    assert!(more < 200, "{more} more lines of /metrics");
    let shown = current.to_string();
    assert!(shown.len() < 64 << 10, "{} bytes of /current", shown.len());
}

#[test]
fn a_hundred_thousand_minutes_are_counted_each_in_its_own() {
    let victim = Victim::start();
    let now = now_ms();
    // Seventy days, of which the live side keeps one by the minute.
    flood(&victim, |n| {
        let at = now - n as i64 * MINUTE;
        format!("{{\"type\":\"page_view\",\"timestamp\":{at}}}")
    });
    victim.stands();
    let minutes: i64 = victim
        .server
        .database()
        .query_row("SELECT count(DISTINCT time / 60000) FROM events", [], |row| row.get(0))
        .expect("the store");
    assert!(minutes >= FLOOD as i64, "{minutes} minutes");
}

#[test]
fn a_hundred_thousand_paths_are_no_labels() {
    let victim = Victim::start();
    let addr = victim.server.addr();
    let before = series(&victim);
    // The first event shows some series that stand there from then on.
    victim.stands();
    let before = series(&victim).max(before);
    let mut connection = Connection::open(addr).unwrap();
    for from in (0..FLOOD).step_by(1_000) {
        let batch: Vec<u8> = (from..from + 1_000)
            .flat_map(|n| {
                let request = Request::get(addr, &format!("/made-up/{n}?q={n}"));
                let agent = format!("agent-{n}");
                request.header("X-Request-Id", &agent).header("User-Agent", &agent).bytes()
            })
            .collect();
        let mut writer = connection.try_clone();
        std::thread::scope(|scope| {
            // Written beside the reading, since neither side keeps a megabyte for the other.
            scope.spawn(move || writer.write_all(&batch).unwrap());
            for _ in 0..1_000 {
                assert_eq!(connection.next_answer("GET").unwrap().status, 404);
            }
        });
    }
    victim.stands();
    let more = series(&victim).saturating_sub(before);
    assert!(more < 50, "{more} more lines of /metrics");
    let text = victim.server.get_text("/metrics");
    assert!(!text.contains("made-up") && !text.contains("agent-"), "{text}");
    assert!(text.contains("floodmark_http_refused_total{code=\"not_found\"} 100000"), "{text}");
}

#[test]
fn thousands_of_clients_behind_a_proxy_take_their_share() {
    let victim = Victim::with(&[
        ("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("FLOODMARK_HTTP__CLIENT_EVENTS_PER_S", "100"),
    ]);
    let addr = victim.server.addr();
    let mut connection = Connection::open(addr).unwrap();
    for n in 0..5_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let request = Request::post(addr, "/v1/events", "{\"type\":\"page_view\"}");
        let request = request.header("X-Forwarded-For", &format!("10.{a}.{b}.{c}"));
        assert_eq!(request.send_on(&mut connection).unwrap().status, 202);
    }
    victim.took(5_000);
    victim.stands();
}
