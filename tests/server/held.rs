//! A panic in what goes on in the background leaves it working. Each part panics twice (`held-PART`), so it has
//! to be begun again after the first time to come to the second.

use serde_json::json;

use crate::support::server::Server;

/// Says in `FAILPOINTS` that each of these parts panics twice.
fn twice(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("held-{part}=2*panic->off")).collect::<Vec<_>>().join(";")
}

fn all_have_panicked_twice(server: &Server, parts: &[&str]) {
    for part in parts {
        let line = format!("floodmark_restarts_total{{part=\"{part}\"}} 2");
        server.until(&format!("{part} has panicked twice"), |server| server.has_metric(&line));
    }
}

#[test]
fn what_goes_on_by_itself_is_begun_again_after_a_panic() {
    let parts = [
        "access",
        "alerts",
        "baselines",
        "clock",
        "counter",
        "live",
        "metrics",
        "otlp",
        "refusals",
        "rollups",
        "salts",
        "store",
        "webhooks",
    ];
    let points = twice(&parts);
    let server = Server::with(&[
        ("FAILPOINTS", &points),
        ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "100"),
        // Nobody listens there, which is no reason for it to end either.
        ("FLOODMARK_OTLP__ENDPOINT", "http://127.0.0.1:1"),
        ("FLOODMARK_OTLP__INTERVAL_MS", "1000"),
    ]);
    // A refusal begins what tells of refusals.
    assert_eq!(server.post("no event").status, 400);
    assert_eq!(server.post(json!({"type": "page_view", "sessionId": "s"}).to_string()).status, 202);
    all_have_panicked_twice(&server, &parts);
    assert!(server.log().contains("held-rollups"), "the log says what has panicked");
    server.until("rows are folded after that", |server| {
        let text = server.get_text("/metrics");
        let folded =
            |line: &str| line.strip_prefix("floodmark_ledger_folded_total ")?.parse::<u64>().ok();
        text.lines().find_map(folded).is_some_and(|rows| rows > 0)
    });
    server.until("the event is counted", |server| server.current()["events"] == json!(1));
    server.until("nothing is in trouble", |server| {
        server.request("GET", "/readyz").send().is_ok_and(|answer| answer.status == 200)
    });
}
