//! The Prometheus exporter. The names of metrics are a contract: dashboards and alerts of
//! operators rely on them, so they never change.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use super::queue;

/// The upper bounds of the buckets of all histograms of seconds.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How often histograms are brought up to date where nobody asks for metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The recorder of this process. The crate `metrics` allows only one.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder and describes the metrics. Later calls return the same recorder.
///
/// # Errors
/// Another recorder was installed before.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .install_recorder()?;
    let handle = HANDLE.get_or_init(|| handle).clone();
    describe();
    metrics::gauge!("floodmark_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Collector::default().describe();
    Ok(handle)
}

/// What `/metrics` answers. What the system says of this process (`process_*`), and what waits for each part,
/// is read now.
pub fn render(handle: &PrometheusHandle) -> String {
    Collector::default().collect();
    queue::report();
    // Its name is a contract, and a gauge must not end in `_total`. `floodmark_business_today` is the
    // gauge of the same values.
    handle.render().replace(
        "# TYPE floodmark_business_total gauge\n",
        "# TYPE floodmark_business_total untyped\n",
    )
}

/// Takes the values of histograms out of their queues from time to time. The exporter does so when it
/// renders, so without this a server that nobody scrapes would keep every value for ever.
pub async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        handle.run_upkeep();
    }
}

/// Registers the help texts that `/metrics` shows. Each metric is explained at length in
/// `docs/API.md`.
fn describe() {
    use metrics::{
        describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
    };
    describe_events();
    describe_store();
    counter!("floodmark_config_reloads_total", "Readings of the configuration, by result");
    gauge!("floodmark_build_info", "1; the label says which version runs");
    counter!("floodmark_http_requests_total", "Requests answered, by route and status");
    counter!("floodmark_http_refused_total", "Requests refused, by code");
    histogram!("floodmark_http_request_seconds", "From the head of a request to its answer");
    counter!("floodmark_http_limits_reached_total", "How often each limit of [http] was reached");
    gauge!(
        "floodmark_tls_certificate_expires_seconds",
        "Unix time at which the certificate of tls.cert expires"
    );
    counter!(
        "floodmark_tls_reloads_total",
        "How often the certificate was read again, by result: replaced, failed"
    );
    counter!("floodmark_logins_total", "Attempts to sign in or to open a link, by result");
    gauge!("floodmark_spool_bytes", "Bytes of the spool on disk");
    counter!("floodmark_panics_total", "Panics: bugs of ours; the log says where");
    counter!("floodmark_identity_conflicts_total", "Batches that the store had in another form");
    gauge!("floodmark_spool_kept_bytes", "Bytes of the spool that both sinks have");
    gauge!("floodmark_spool_max_bytes", "spool.max_bytes: with so many, requests are refused");
    histogram!("floodmark_spool_sync_seconds", "How long the disk takes to make a write durable");
    gauge!("floodmark_disk_free_bytes", "Bytes that are free on the disk of the data dir");
    gauge!("floodmark_clock_ahead_seconds", "How far this node's clock is ahead of Postgres's");
    gauge!("floodmark_postgres_connections", "Open connections to Postgres, by pool");
    gauge!("floodmark_postgres_waiting", "Who waited for a connection of the pool");
    counter!("floodmark_redis_connects_total", "Connections that were made for commands to Redis");
    counter!("floodmark_otlp_exports_total", "Requests to otlp.endpoint, by signal and result");
    counter!("floodmark_otlp_spans_dropped_total", "Spans that found no room to wait");
    counter!("floodmark_restarts_total", "Work that was begun again after a panic");
    gauge!("floodmark_queue_depth", "What waits for each part, in its mailboxes and channels");
    gauge!("floodmark_queue_longest", "What waits for the actor of a part that is furthest behind");
    gauge!("floodmark_spool_lag_events", "Sealed events that a sink has not taken yet");
    gauge!("floodmark_spool_oldest_seconds", "How long the oldest such batch has waited");
    gauge!("floodmark_spool_damaged_batches", "Batches lost to damage since the start");
    counter!("floodmark_sink_errors_total", "Failed tries to write a batch, by kind");
    counter!(
        "floodmark_schema_violations_total",
        "Events that break the [[schema]] of their type, by what became of them"
    );
    counter!(
        "floodmark_schema_unlearnt_total",
        "Events of types and sources beyond schemas.max_schemas"
    );
    histogram!("floodmark_batch_write_seconds", "From handing a batch to a sink to its success");
    histogram!(
        "floodmark_ingest_to_viewer_seconds",
        "From a batch's seal to the frame that shows it"
    );
    gauge!("floodmark_viewers", "WebSocket viewers");
    counter!("floodmark_viewer_evictions_total", "Viewers closed because they could not keep up");
    gauge!("floodmark_active_users", "Distinct sessions of the active window");
    gauge!("floodmark_active_users_approximate", "1 while active users are an estimate; else 0");
    gauge!("floodmark_breakdown_bytes", "Bytes that the breakdowns of the last day take");
    gauge!("floodmark_breakdowns_window_seconds", "How far back breakdowns have all values");
    gauge!("floodmark_seconds_window_seconds", "How far back numbers are known by the second");
    gauge!("floodmark_memory_share_bytes", "What each part may take of memory.max_bytes");
    gauge!("floodmark_business_total", "As floodmark_business_today");
    gauge!("floodmark_business_today", "Today's totals as the dashboard shows them");
    gauge!("floodmark_alerts_firing", "1 while the alert fires, over all nodes; else 0");
    counter!(
        "floodmark_webhooks_total",
        "Requests to webhooks by result: delivered, failed (tried again), given_up"
    );
    gauge!("floodmark_dedupe_ids", "Ids in the index of duplicates");
    counter!("floodmark_dedupe_undecided_total", "Requests refused since an id was undecided");
    gauge!("floodmark_dedupe_window_seconds", "How far back duplicates are recognised");
    gauge!(
        "floodmark_dedupe_long_window_seconds",
        "How far back duplicates of orders, refunds and webhooks are recognised"
    );
}

/// Those of what becomes of events.
fn describe_events() {
    use metrics::describe_counter as counter;
    counter!("floodmark_events_accepted_total", "Events on disk, by source");
    counter!("floodmark_dialect_events_accepted_total", "Events on disk, by wire format");
    counter!("floodmark_events_rejected_total", "Events refused, by reason");
    counter!(
        "floodmark_events_without_identity_total",
        "Events of visitors who refuse to be analysed"
    );
    counter!("floodmark_events_duplicate_total", "Events whose id had come before");
    counter!("floodmark_events_stored_total", "Events committed to the store");
    counter!("floodmark_events_counted_total", "Events counted by the live side");
    counter!("floodmark_tracker_events_lost_total", "Events that full queues of pages have lost");
}

/// Those of what the store has and lets go of.
fn describe_store() {
    use metrics::{describe_counter as counter, describe_gauge as gauge};
    gauge!("floodmark_store_missing_batches", "Batches that the store has lost for good");
    gauge!("floodmark_store_missing_events", "The events of these batches, where that is known");
    counter!("floodmark_ledger_folded_total", "Ledger rows that this node added to the rollups");
    counter!("floodmark_ledger_dropped_total", "Folded ledger rows that this node dropped");
    counter!("floodmark_retention_removed_rows_total", "Events removed by [retention], by reason");
    gauge!("floodmark_store_bytes", "Bytes that the store takes on its disk");
    gauge!("floodmark_store_free_bytes", "Bytes that the store may still grow by");
    gauge!("floodmark_store_full_in_days", "Days until the store is full, at the last days' pace");
    gauge!(
        "floodmark_store_read_lag_seconds",
        "How long ago what the read replica has newest was written"
    );
}
