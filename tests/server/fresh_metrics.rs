//! What `/metrics` has before anything has happened.

use crate::support::server::Server;

#[test]
fn a_fresh_server_shows_every_counter_with_known_labels_at_0() {
    let server = Server::start();
    let text = server.get_text("/metrics");
    for line in [
        "floodmark_events_accepted_total{source=\"http\"} 0",
        "floodmark_events_duplicate_total 0",
        "floodmark_events_stored_total 0",
        "floodmark_events_counted_total 0",
        "floodmark_events_rejected_total{code=\"invalid_amount\"} 0",
        "floodmark_events_rejected_total{code=\"event_too_large\"} 0",
        "floodmark_sink_errors_total{sink=\"store\",kind=\"unavailable\"} 0",
        "floodmark_sink_errors_total{sink=\"live\",kind=\"foreign\"} 0",
        "floodmark_ledger_folded_total 0",
        "floodmark_webhooks_total{result=\"given_up\"} 0",
        "floodmark_viewer_evictions_total 0",
        "floodmark_panics_total 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
}

#[test]
fn gauges_of_business_are_there_once_the_counters_are_loaded() {
    let server = Server::start();
    // The counters in this process are loaded before the server listens; the broadcaster is told next.
    server.until("they are told", |server| {
        server.has_metric("floodmark_business_today{metric=\"revenue\"} 0")
    });
    for line in ["floodmark_business_total{metric=\"purchases\"} 0", "floodmark_active_users 0"] {
        assert!(server.has_metric(line), "{line}");
    }
    let text = server.get_text("/metrics");
    assert!(text.contains("# TYPE floodmark_business_total untyped\n"), "{text}");
    assert!(text.contains("# TYPE floodmark_business_today gauge\n"), "{text}");

    // Nobody knows today's totals while the ledger that they start from can't be read.
    let away = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", "postgres://nobody@127.0.0.1:1/shop"),
        // Nor whether anybody may look, but for those of the configuration.
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let text = away.get_text("/metrics?token=v1");
    assert!(!text.lines().any(|line| line.starts_with("floodmark_business_")), "{text}");
}
