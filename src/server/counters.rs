//! Counters whose labels are known stand at 0 from the start. A rate over a counter that appears with its
//! first event misses that event, and an alert on a series that is not there stays silent.

use crate::{
    config::SchemaMode,
    domain::{consent::RefusalSignal, event::Rejection, sink::Sink},
    http::collect::WITHOUT_IDENTITY,
    sink::SinkErrorKind,
    store::retention::RemovalReason,
};

/// What goes on after a panic, beside the writers of the sinks.
const HELD: [&str; 19] = [
    "access",
    "alerts",
    "archive",
    "baselines",
    "certificate",
    "clock",
    "counter",
    "dedupe",
    "feed",
    "marks",
    "metrics",
    "nodes",
    "otlp",
    "rebuild",
    "refusals",
    "retention",
    "rollups",
    "salts",
    "webhooks",
];

/// Shows every counter of the pipeline that has not counted yet.
pub fn show_all() {
    for name in [
        "floodmark_events_duplicate_total",
        "floodmark_events_stored_total",
        "floodmark_events_counted_total",
        "floodmark_identity_conflicts_total",
        "floodmark_archive_bytes_total",
        "floodmark_archive_failures_total",
        "floodmark_archive_rows_total",
        "floodmark_ledger_folded_total",
        "floodmark_ledger_dropped_total",
        "floodmark_schema_unlearnt_total",
        "floodmark_dedupe_undecided_total",
        "floodmark_panics_total",
        "floodmark_redis_connects_total",
        "floodmark_tracker_events_lost_total",
        "floodmark_viewer_evictions_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    for code in Rejection::CODES {
        metrics::counter!("floodmark_events_rejected_total", "code" => *code).increment(0);
    }
    for signal in RefusalSignal::ALL {
        metrics::counter!(WITHOUT_IDENTITY, "signal" => signal.name()).increment(0);
    }
    for part in HELD {
        metrics::counter!("floodmark_restarts_total", "part" => part).increment(0);
    }
    for sink in Sink::ALL {
        metrics::counter!("floodmark_restarts_total", "part" => sink.as_str()).increment(0);
        for kind in SinkErrorKind::ALL {
            let labels = [("sink", sink.as_str()), ("kind", kind.as_str())];
            metrics::counter!("floodmark_sink_errors_total", &labels).increment(0);
        }
    }
    for reason in RemovalReason::ALL {
        let name = "floodmark_retention_removed_rows_total";
        metrics::counter!(name, "reason" => reason.name()).increment(0);
    }
    for mode in [SchemaMode::Warn, SchemaMode::Reject] {
        metrics::counter!("floodmark_schema_violations_total", "mode" => mode.name()).increment(0);
    }
    for result in ["delivered", "failed", "given_up"] {
        metrics::counter!("floodmark_webhooks_total", "result" => result).increment(0);
    }
}
