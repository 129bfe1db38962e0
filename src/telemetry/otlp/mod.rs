//! OpenTelemetry: metrics and traces go to a collector by OTLP (HTTP with protobuf) where `[otlp]` names
//! one, and to nobody else.
//!
//! ```text
//!  recorder of /metrics ──read at each interval──> bridge ──┐
//!                                                           ├──> sender ──POST──> collector
//!  a request, a batch ──> spans ──> BatchSpanProcessor ─────┘    (a thread of its own)
//!                (a bounded queue; full: dropped, and counted)
//! ```
//!
//! Nothing waits for the collector. What it does not take in time is dropped: the next metrics say the same
//! and more, and spans are samples anyway.
//!
//! - Metrics are read from the recorder that `/metrics` is read from, so both say the same under the same
//!   names, and what counts pays for one of them only ([`bridge`]).
//! - Spans are made of what is known when something is over ([`spans`]). A request goes on with the trace of
//!   who sent it ([`parent`]). They don't go through `tracing`:
//!   there they would stand under the filter of the log and be made for every request, sampled or not.

mod bridge;
mod parent;
mod room;
mod sender;
pub mod spans;

use std::{sync::Arc, time::Duration};

use actix::Arbiter;
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor},
};
use tokio::sync::{mpsc, oneshot};

use self::{
    bridge::Origin,
    room::{LeavingSpans, MAX_SPANS, SpanRoom},
    sender::OtlpSender,
};
use crate::{config::OtlpConfig, panics, telemetry::prometheus, trust};

/// How operators know what is sent from here.
const PART: &str = "otlp";
/// How many spans one request has at most.
const SPANS_A_REQUEST: usize = 512;

/// What goes to the collector of one server. Nothing stops by itself: [`OtlpExport::stop`] sends the rest.
pub struct OtlpExport {
    spans: Arc<BatchSpanProcessor>,
    /// Asks for the metrics a last time, and is answered once they are sent or lost.
    last: mpsc::Sender<oneshot::Sender<()>>,
    within: Duration,
}

/// Begins to send metrics and traces; `None` where no collector is named. `node` stands for this process
/// where the configuration has no id for it.
///
/// # Errors
/// The endpoint, a header or the file of `otlp.ca` can't be used. The message begins with the key.
pub fn start(
    config: &OtlpConfig,
    node: &str,
    exporter: PrometheusHandle,
) -> Result<Option<OtlpExport>, String> {
    if config.endpoint.is_empty() {
        return Ok(None);
    }
    sender::show_all();
    room::show_all();
    let within = Duration::from_millis(config.timeout_ms);
    let interval = Duration::from_millis(config.interval_ms);
    let thread = Arbiter::new();
    let headers =
        config.header_pairs().ok_or("otlp.headers: one is not of the form name: value")?;
    let trusts = trust::only("otlp.ca", &config.ca)?;
    let sender = OtlpSender::start(&thread, &config.endpoint, headers, trusts, within);

    let attributes = attributes(config, node);
    let (last, asked) = mpsc::channel(1);
    let origin = Origin::begin(&attributes);
    thread.spawn(send_metrics(sender.clone(), exporter, origin, interval, asked));

    let traces = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
    let spans = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(traces)
        .with_timeout(within)
        .build()
        .map_err(|e| format!("otlp.endpoint: {e}"))?;
    let room = SpanRoom::default();
    let spans = LeavingSpans { exporter: spans, room: room.clone() };
    let batches = BatchConfigBuilder::default()
        // Never full, since the room is.
        .with_max_queue_size(MAX_SPANS)
        .with_max_export_batch_size(SPANS_A_REQUEST)
        .with_scheduled_delay(interval);
    let mut spans = BatchSpanProcessor::builder(spans).with_batch_config(batches.build()).build();
    let resource = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
    spans.set_resource(&Resource::builder_empty().with_attributes(resource).build());
    let spans = Arc::new(spans);
    spans::install(spans.clone(), room, config.traces_per_million as f64 / 1e6);
    Ok(Some(OtlpExport { spans, last, within }))
}

/// What everything that is sent says of this process, by the names of OpenTelemetry's conventions.
fn attributes(config: &OtlpConfig, node: &str) -> Vec<(&'static str, String)> {
    let instance = if config.instance_id.is_empty() { node } else { &config.instance_id };
    vec![
        ("service.name", config.service_name.clone()),
        ("service.instance.id", instance.to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

/// Sends the metrics at each interval, and a last time when it is asked to.
async fn send_metrics(
    sender: OtlpSender,
    exporter: PrometheusHandle,
    origin: Origin,
    interval: Duration,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
) {
    loop {
        let done = tokio::select! {
            () = tokio::time::sleep(interval) => None,
            done = asked.recv() => done,
        };
        let sent = async {
            let body = bridge::request(&prometheus::render(&exporter), &origin);
            // The sender has counted and said how that went.
            let _ = sender.send("metrics", body).await;
        };
        // After a panic the next ones are sent in their time.
        panics::caught(PART, sent).await;
        if let Some(done) = done {
            // The error is ignored: whoever has stopped waiting needs no answer.
            let _ = done.send(());
            return;
        }
    }
}

impl OtlpExport {
    /// Sends what has gathered, for as long as one request may take.
    pub async fn stop(self) {
        let OtlpExport { spans, last, within } = self;
        let (done, sent) = oneshot::channel();
        let metrics = async move {
            // Where this fails, the thread has ended, and nobody would answer.
            if last.send(done).await.is_ok() {
                let _ = sent.await;
            }
        };
        // It waits for a thread, which an actor's thread must not.
        let traces = tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(within));
        let both = futures_util::future::join(metrics, traces);
        if tokio::time::timeout(within, both).await.is_err() {
            tracing::debug!("the last metrics and spans were not taken in time");
        }
    }
}
