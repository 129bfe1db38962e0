//! The routes for operators: `/healthz` (the process lives), `/readyz` (it takes events, and which
//! part is not well), and `/metrics` for Prometheus.

use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::{
    domain::{
        access::Permission,
        time::{Millis, now_ms},
    },
    http::{
        auth::WriteKeys,
        client::ProxyNetworks,
        error::ApiError,
        query,
        scope::{Open, View},
    },
    ingest::INTAKE,
    numbers::Mirror,
    sink::Sink,
    spool::Spool,
    telemetry::{health::Health, prometheus},
};

/// What the handlers of these routes share.
#[derive(Clone)]
pub struct Ops {
    /// The troubles that the parts of the program report.
    pub health: Health,
    /// The spool, for its size and for how far each sink lags behind it.
    pub spool: Spool,
    /// Who may send, for whether that is known yet.
    pub keys: WriteKeys,
    /// The mirror, for whether the live numbers move.
    pub mirror: Mirror,
    /// Whose word on whom they pass on is believed.
    pub proxies: ProxyNetworks,
    /// Renders the metrics as Prometheus reads them.
    pub metrics: PrometheusHandle,
    /// A sink whose oldest batch has waited for longer (ms) is a reason of `/readyz`:
    /// `spool.unready_lag_s`.
    pub unready_lag_ms: Millis,
}

/// Adds the routes at which anyone may ask whether the server is well.
pub fn routes(open: &mut Open) {
    open.probe("/healthz", healthz);
    open.probe("/readyz", readyz).parameters(&PARAMETERS);
}

/// Adds the route at which those see the metrics who are allowed to.
pub fn metrics(view: &mut View) {
    view.read_with(Permission::Metrics, "/metrics", render_metrics);
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// What may be asked of `/readyz`, with whatever value: with `sinks`, sinks and numbers have to be well, too;
/// with `client`, the answer says whom the server takes the client for.
const PARAMETERS: [&str; 2] = ["sinks", "client"];

/// Whether a load balancer should send here. 503 only while events are refused or the server is about
/// to stop: an outage of the store or of Redis is no reason to send the same events elsewhere, since
/// all nodes share both. What else is not well stands in `reasons`, and makes 503 of `?sinks`. The body
/// is `{"status","reasons":[…],"lag":{sink:{"events","batches","oldest","seconds"}}}`.
async fn readyz(request: HttpRequest, ops: web::Data<Ops>) -> Result<HttpResponse, ApiError> {
    let now = now_ms();
    let [sinks, client] = query::read(request.query_string(), &PARAMETERS)?;
    let refusals = refusals(&ops);
    let reasons = [refusals.clone(), troubles(&ops, now)].concat();
    let unready = match sinks {
        Some(_) => !reasons.is_empty(),
        None => !refusals.is_empty(),
    };
    let status = match (unready, reasons.is_empty()) {
        (true, _) => "not ready",
        (false, true) => "ready",
        (false, false) => "degraded",
    };
    let mut response = match unready {
        true => HttpResponse::ServiceUnavailable(),
        false => HttpResponse::Ok(),
    };
    let mut body = json!({"status": status, "reasons": reasons, "lag": lags(&ops, now)});
    if client.is_some() {
        let address = ops.proxies.client_of(&request).map(|client| client.ip().to_string());
        body["client"] = json!({"address": address, "forwarded": ops.proxies.forwarded(&request)});
    }
    Ok(response.json(body))
}

/// Why events are refused, or will be soon.
fn refusals(ops: &Ops) -> Vec<String> {
    let mut reasons = Vec::new();
    if ops.health.is_stopping() {
        reasons.push("stopping: the server is about to stop".to_owned());
    }
    if ops.keys.knows_nobody() {
        let why = "the store has not said yet who may send; requests get 503";
        reasons.push(format!("access: {why}"));
    }
    if ops.spool.refuses() {
        reasons.push(format!("spool: full with {} bytes; requests get 503", ops.spool.bytes()));
    }
    let troubles = ops.health.troubles().into_iter();
    reasons.extend(troubles.filter(|(part, _)| *part == INTAKE).map(of_part));
    reasons
}

/// What is not well while events are taken in all the same.
fn troubles(ops: &Ops, now: Millis) -> Vec<String> {
    let troubles = ops.health.troubles().into_iter();
    let mut reasons: Vec<String> =
        troubles.filter(|(part, _)| *part != INTAKE).map(of_part).collect();
    if let Some(reason) = ops.mirror.freshness().interrupted() {
        reasons.push(format!("live: {reason}"));
    }
    for sink in Sink::ALL {
        let lag = ops.spool.lag(sink);
        let waits = lag.waits_ms(now);
        if waits > ops.unready_lag_ms {
            reasons.push(format!(
                "{sink}: behind by {} s: {} events in {} batches wait",
                waits / 1000,
                lag.events,
                lag.batches
            ));
        }
    }
    reasons.extend(ops.health.standing_reasons());
    reasons
}

fn of_part((part, why): (&'static str, String)) -> String {
    format!("{part}: {why}")
}

/// How far each sink is behind.
fn lags(ops: &Ops, now: Millis) -> serde_json::Map<String, Value> {
    let of = |sink: &Sink| {
        let lag = ops.spool.lag(*sink);
        let value = json!({
            "events": lag.events, "batches": lag.batches, "oldest": lag.oldest_ms,
            "seconds": lag.waits_ms(now) as f64 / 1000.0,
        });
        (sink.as_str().to_owned(), value)
    };
    Sink::ALL.iter().map(of).collect()
}

async fn render_metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(prometheus::render(&ops.metrics))
}
