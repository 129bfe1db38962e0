//! The largest state that the limits allow, within the budget of memory: clients that make up
//! visitors, ids and the values of breakdowns, over many minutes. Then a restart, a rebuild of an
//! empty Redis, another one beside the counters that are shown, and a load from Redis.

use std::thread;

use floodmark::domain::time::{MINUTE, Millis, now_ms};
use tempfile::TempDir;

use crate::support::{
    program::{noon_zone, wait_until},
    redis::RedisServer,
    server::Server,
};

/// `memory.max_bytes`.
const BUDGET_KB: u64 = 216 << 10;
/// Events in one request.
const EVENTS: usize = 2000;
/// How far back the events go. At noon all of it is today.
const MINUTES: i64 = 660;
/// Minutes that one request has events in.
const SPREAD: i64 = 100;
/// Requests with made-up values. In each minute, a lane gets about as many as a summary keeps.
const REQUESTS: usize = 132;
/// Requests with made-up visitors.
const CROWDS: usize = 320;
/// Made-up visitors, ten times as many as have room.
const VISITORS: u64 = (CROWDS * EVENTS) as u64;
/// All events.
const SENT: u64 = ((REQUESTS + CROWDS) * EVENTS) as u64;

/// Events with values that nobody else sends, and long ids.
fn made_up_values(request: usize, now: Millis) -> String {
    let long = "x".repeat(100);
    let event = |n: usize| {
        let minute = (request as i64 * SPREAD + n as i64 % SPREAD) % MINUTES;
        let (at, name) = (now - minute * MINUTE, format!("{request}-{n}-{long}"));
        format!(
            r#"{{"type":"page_view","timestamp":{at},"id":"{name}","properties":{{"path":"/{name}","referrer":"{name}"}}}}"#
        )
    };
    (0..EVENTS).map(|n| event(n) + "\n").collect()
}

/// Events of visitors of whom each is seen once.
fn made_up_visitors(request: usize, now: Millis) -> String {
    let event = |n: usize| {
        let id = uuid::Uuid::new_v4();
        format!(r#"{{"type":"signup","timestamp":{now},"id":"{id}","sessionId":"{request}-{n}"}}"#)
    };
    (0..EVENTS).map(|n| event(n) + "\n").collect()
}

/// Sends a body until it is taken.
fn send(server: &Server, body: &str) {
    wait_until("a request is taken", || {
        let request = server.request("POST", "/v1/events");
        let answer = request
            .header("Content-Type", "application/x-ndjson")
            .body(body)
            .send()
            .map_err(|e| e.to_string())?;
        let taken = format!("\"accepted\":{EVENTS},\"duplicates\":0");
        match answer.status == 202 && answer.text().contains(&taken) {
            true => Ok(()),
            false => Err(answer.text().to_owned()),
        }
    });
}

fn attack(server: &Server) {
    let now = now_ms();
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for request in (half..REQUESTS).step_by(2) {
                    send(server, &made_up_values(request, now));
                }
                for request in (half..CROWDS).step_by(2) {
                    send(server, &made_up_visitors(request, now));
                }
            });
        }
    });
}

/// A server with the budget, and what else it is told.
fn start(data: &TempDir, zone: &str, redis: &str) -> Server {
    let budget = (BUDGET_KB * 1024).to_string();
    Server::on(
        data.path(),
        &[
            ("FLOODMARK_MEMORY__MAX_BYTES", &budget),
            ("FLOODMARK_HTTP__MAX_INFLIGHT_BYTES", "16777216"),
            ("FLOODMARK_BATCH__MAX_BYTES", "2097152"),
            ("FLOODMARK_LIVE__MAX_EVENT_TYPES", "20"),
            // Longer than the test takes, so that no visitor leaves meanwhile.
            ("FLOODMARK_LIVE__ACTIVE_WINDOW_S", "3600"),
            ("FLOODMARK_TIMEZONE", zone),
            ("FLOODMARK_REDIS__URLS", redis),
        ],
    )
}

/// Waits for the right totals, and looks at the most memory that the server has held.
fn is_right(step: &str, server: &Server, exact_visitors: bool) {
    server.until(step, |server| server.current()["events"] == SENT);
    server.until("visitors are counted", |server| {
        let current = server.current();
        let off = current["activeUsers"].as_f64().unwrap() / VISITORS as f64 - 1.0;
        let said = current.get("activeUsersApproximate") == Some(&true.into());
        said != exact_visitors && off.abs() < if exact_visitors { 0.000_001 } else { 0.03 }
    });
    let path = format!("/api/analytics/timeseries?type=page_view&hours={}", MINUTES / 60 + 1);
    let minutes = server.get(&path);
    let counts = minutes.as_array().unwrap().iter().map(|point| point["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), (REQUESTS * EVENTS) as u64, "{step}");
    let peak = server.peak_memory_kb();
    println!("{step}: {} MiB at most", peak >> 10);
    assert!(peak <= BUDGET_KB, "{step}: {} MiB", peak >> 10);
}

#[test]
fn the_largest_state_stays_within_the_budget_of_memory() {
    let (data, redis, zone) = (TempDir::new().unwrap(), RedisServer::start(), noon_zone());
    let server = start(&data, &zone, "");
    attack(&server);
    is_right("attack", &server, false);
    let shown = |name: &str| {
        let metrics = server.get_text("/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}")).parse::<f64>().unwrap()
    };
    // All limits were reached, and each is said.
    assert_eq!(shown("floodmark_active_users_approximate"), 1.0);
    assert!(shown("floodmark_breakdowns_window_seconds") < 86_400.0);
    assert!(shown("floodmark_dedupe_window_seconds") < 900.0);
    assert!((shown("floodmark_dedupe_ids") as u64) < SENT);
    let stored = format!("floodmark_events_stored_total {SENT}");
    server.until("all of it is in the store", |server| server.has_metric(&stored));
    drop(server);
    let server = start(&data, &zone, "");
    is_right("restart", &server, false);
    drop(server);

    let limits: Vec<String> = redis.run(&["CONFIG", "GET", "client-output-buffer-limit"]);
    assert!(limits[1].contains("pubsub 33554432 8388608 60"), "{limits:?}");
    let server = start(&data, &zone, &redis.url());
    is_right("rebuild", &server, true);
    redis.flushall();
    server.until("Redis has counters again", |_| {
        redis.run::<bool>(&["HEXISTS", "{floodmark:lane3}:meta", "generation"])
    });
    is_right("rebuild beside the counters", &server, true);
    drop(server);
    let server = start(&data, &zone, &redis.url());
    is_right("load", &server, true);
}
