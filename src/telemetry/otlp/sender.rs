//! Posts to the collector, on a thread of its own, by the HTTP client of webhooks: so there is one stack of
//! TLS. Whether the collector takes what it is sent stands in a metric, and in the log when that changes.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::Arbiter;
use async_trait::async_trait;
use awc::{Client, Connector};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};

use super::PART;
use crate::{panics, trust};

/// Requests to the collector, by signal and result.
pub const EXPORTS: &str = "floodmark_otlp_exports_total";
/// What is sent.
pub const SIGNALS: [&str; 2] = ["metrics", "traces"];
/// The results of a request.
pub const RESULTS: [&str; 2] = ["delivered", "failed"];

/// How many requests may wait. Each signal has one at a time.
const MAX_WAITING: usize = 4;
/// The most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The way to the collector. A clone is the same way.
#[derive(Clone, Debug)]
pub(super) struct OtlpSender(mpsc::Sender<ExportRequest>);

/// A request that waits to be sent.
#[derive(Debug)]
struct ExportRequest {
    signal: &'static str,
    body: Bytes,
    answer: oneshot::Sender<Result<(u16, Bytes), String>>,
}

/// What the requests share.
struct Collector {
    client: Client,
    /// Without the path of the signal.
    endpoint: String,
    headers: Vec<(String, String)>,
    /// Whether it did not take the last request.
    is_away: Cell<bool>,
}

impl OtlpSender {
    /// Sends on `thread`. One request takes `within` at most. `trusts` is TLS where the public authorities are
    /// not those to trust.
    pub(super) fn start(
        thread: &Arbiter,
        endpoint: &str,
        headers: Vec<(String, String)>,
        trusts: Option<Arc<ClientConfig>>,
        within: Duration,
    ) -> OtlpSender {
        let (queue, mut waiting) = mpsc::channel::<ExportRequest>(MAX_WAITING);
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        // The client can't move to another thread, so it is made there.
        let sending = async move || {
            let mut connector = Connector::new().timeout(within);
            if let Some(trusts) = trusts {
                connector = connector.rustls_0_23(trusts);
            }
            let client =
                Client::builder().connector(connector).timeout(within).disable_redirects().finish();
            let is_away = Cell::new(false);
            let collector = Rc::new(Collector { client, endpoint, headers, is_away });
            while let Some(outgoing) = waiting.recv().await {
                // Whoever waits for a request that panics is told that there is no answer.
                actix::spawn(panics::caught(PART, collector.clone().take(outgoing)));
            }
        };
        thread.spawn_fn(move || drop(actix::spawn(sending())));
        OtlpSender(queue)
    }

    /// Sends a body, and returns status and body of the answer.
    pub(super) async fn send(
        &self,
        signal: &'static str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Bytes), String> {
        let (answer, answered) = oneshot::channel();
        let ended = |_| "the sender has ended".to_owned();
        let outgoing = ExportRequest { signal, body: body.into(), answer };
        self.0.send(outgoing).await.map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?
    }
}

#[async_trait]
impl HttpClient for OtlpSender {
    /// What the exporter of spans sends. Only its body is used: the address and the headers are known here.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (status, body) = self.send("traces", request.into_body()).await?;
        Ok(Response::builder().status(status).body(body)?)
    }
}

impl Collector {
    async fn take(self: Rc<Self>, outgoing: ExportRequest) {
        let ExportRequest { signal, body, answer } = outgoing;
        let answered = self.post(signal, body).await;
        let trouble = match &answered {
            Ok((status, _)) if (200..300).contains(status) => None,
            Ok((status, _)) => Some(format!("it answers {status}")),
            Err(why) => Some(why.clone()),
        };
        let result = RESULTS[usize::from(trouble.is_some())];
        metrics::counter!(EXPORTS, "signal" => signal, "result" => result).increment(1);
        let was_away = self.is_away.replace(trouble.is_some());
        match trouble {
            Some(why) if !was_away => {
                tracing::warn!(
                    signal,
                    why,
                    "otlp.endpoint does not take what it is sent; going on"
                );
            }
            None if was_away => tracing::info!("otlp.endpoint takes metrics and traces again"),
            _ => {}
        }
        // The error is ignored: whoever has stopped waiting needs no answer.
        let _ = answer.send(answered);
    }

    /// The texts of the client's errors have neither the address nor a header.
    async fn post(&self, signal: &str, body: Bytes) -> Result<(u16, Bytes), String> {
        let mut request = self
            .client
            .post(format!("{}/v1/{signal}", self.endpoint))
            .insert_header(("Content-Type", "application/x-protobuf"));
        for (name, value) in &self.headers {
            request = request.insert_header((name.as_str(), value.as_str()));
        }
        let mut answer =
            request.send_body(body).await.map_err(|e| trust::in_words(&e, "otlp.ca"))?;
        let status = answer.status().as_u16();
        let body = answer.body().limit(MAX_ANSWER).await.map_err(|e| e.to_string())?;
        Ok((status, body))
    }
}

/// Puts the counter into `/metrics` at 0, where there is a collector.
pub(super) fn show_all() {
    for signal in SIGNALS {
        for result in RESULTS {
            metrics::counter!(EXPORTS, "signal" => signal, "result" => result).increment(0);
        }
    }
}
