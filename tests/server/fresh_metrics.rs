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
        "floodmark_restarts_total{part=\"webhooks\"} 0",
        "floodmark_queue_depth{part=\"ingest\"} 0",
        "floodmark_queue_depth{part=\"committer\"} 0",
        "floodmark_queue_depth{part=\"store-3\"} 0",
        "floodmark_queue_depth{part=\"live-0\"} 0",
        "floodmark_queue_depth{part=\"counter\"} 0",
        "floodmark_queue_depth{part=\"broadcaster\"} 0",
        "floodmark_queue_depth{part=\"webhooks\"} 0",
        "floodmark_queue_depth{part=\"sessions\"} 0",
        "floodmark_queue_longest{part=\"sessions\"} 0",
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

#[test]
fn what_waits_for_a_store_that_is_away_is_shown_by_lane() {
    let away = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", "postgres://nobody@127.0.0.1:1/shop"),
        ("FLOODMARK_AUTH__WRITE_KEYS", "w1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "v1"),
    ]);
    let lanes = |server: &Server| {
        let text = server.get_text("/metrics?token=v1");
        let depth = |lane: u64| {
            let name = format!("floodmark_queue_depth{{part=\"store-{lane}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name));
            value.expect("each lane is shown").parse::<u64>().expect("a number of batches")
        };
        [0, 1, 2, 3].map(depth)
    };
    assert_eq!(lanes(&away), [0; 4]);
    for sent in 1..=5 {
        let post = away.request("POST", "/v1/events").header("Authorization", "Bearer w1");
        assert_eq!(post.body(r#"{"type":"a"}"#).send().expect("it answers").status, 202);
        away.until("its batch is sealed", |server| lanes(server).iter().sum::<u64>() == sent);
    }
    // The first batch has the number 1, and the fifth comes to the lane of the first.
    assert_eq!(lanes(&away), [1, 2, 1, 1]);
}
