//! For operators: `/healthz` (the process lives), `/readyz` (it would take events, and every
//! part is well, or which is not), `/metrics`.

use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::{
    broadcast::LiveView,
    http::{auth::Keys, error::ApiError},
    spool::{Sink, Spool},
    telemetry::health::Health,
};

/// What the handlers share.
#[derive(Clone)]
pub struct Ops {
    /// Troubles of the sinks.
    pub health: Health,
    /// Its lag and its size.
    pub spool: Spool,
    /// Whether the live numbers move.
    pub view: LiveView,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Who may see the metrics.
    pub keys: Keys,
}

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(render_metrics));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// 200 where events are taken in and all parts are well; else 503 with the reasons.
async fn readyz(ops: web::Data<Ops>) -> HttpResponse {
    let mut reasons: Vec<String> =
        ops.health.troubles().into_iter().map(|(part, why)| format!("{part}: {why}")).collect();
    if ops.spool.is_full(0) {
        reasons.push(format!("spool: full with {} bytes; requests get 503", ops.spool.bytes()));
    }
    if let Some(reason) = ops.view.interrupted() {
        reasons.push(format!("live: {reason}"));
    }
    let lag: serde_json::Map<_, _> = Sink::ALL
        .iter()
        .map(|sink| {
            let lag = ops.spool.lag(*sink);
            let value =
                json!({"events": lag.events, "batches": lag.batches, "oldest": lag.oldest_ms});
            (sink.as_str().to_owned(), value)
        })
        .collect();
    let (mut response, status) = match reasons.is_empty() {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not ready"),
    };
    response.json(json!({"status": status, "reasons": reasons, "lag": lag}))
}

async fn render_metrics(
    request: HttpRequest,
    ops: web::Data<Ops>,
) -> Result<HttpResponse, ApiError> {
    ops.keys.check_view(&request)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(ops.metrics.render()))
}
