//! The routes for operators: `/healthz` (the process lives), `/readyz` (it takes events and all
//! its parts are well; if not, which part is not), and `/metrics` for Prometheus.

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::{
    domain::time::{Millis, now_ms},
    http::scope::{Open, View},
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
    /// The mirror, for whether the live numbers move.
    pub mirror: Mirror,
    /// Renders the metrics as Prometheus reads them.
    pub metrics: PrometheusHandle,
    /// A sink whose oldest batch has waited for longer (ms) makes the node unready:
    /// `spool.unready_lag_s`.
    pub unready_lag_ms: Millis,
}

/// Adds the routes: anyone may ask whether the server is well, only viewers see its metrics.
pub fn routes(open: &mut Open, view: &mut View) {
    open.read("/healthz", healthz).read("/readyz", readyz);
    view.read("/metrics", render_metrics);
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// 200 where events are taken in, all parts are well and no sink is further behind than
/// `spool.unready_lag_s`; else 503 with the reasons. The body is
/// `{"status","reasons":[…],"lag":{sink:{"events","batches","oldest","seconds"}}}`.
async fn readyz(ops: web::Data<Ops>) -> HttpResponse {
    let mut reasons: Vec<String> =
        ops.health.troubles().into_iter().map(|(part, why)| format!("{part}: {why}")).collect();
    if ops.spool.refuses() {
        reasons.push(format!("spool: full with {} bytes; requests get 503", ops.spool.bytes()));
    }
    let standing = ops.health.standing_reasons();
    if let Some(reason) = ops.mirror.freshness().interrupted() {
        reasons.push(format!("live: {reason}"));
    }
    let now = now_ms();
    let mut lags = serde_json::Map::new();
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
        let value = json!({
            "events": lag.events, "batches": lag.batches, "oldest": lag.oldest_ms,
            "seconds": waits as f64 / 1000.0,
        });
        lags.insert(sink.as_str().to_owned(), value);
    }
    let (mut response, status) = match reasons.is_empty() {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not ready"),
    };
    reasons.extend(standing);
    response.json(json!({"status": status, "reasons": reasons, "lag": lags}))
}

async fn render_metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(prometheus::render(&ops.metrics))
}
