//! `GET /api/analytics/current`: today's totals, from the mirror. `GET /api/analytics/metrics`:
//! which metrics and breakdowns there are.

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

use crate::{http::scope::View, numbers::Mirror};

/// Adds the routes.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/current", current).read("/api/analytics/metrics", metrics);
}

async fn current(mirror: web::Data<Mirror>) -> HttpResponse {
    no_store().json(mirror.current())
}

/// `{"metrics":[{"name","unit","byDayOnly"}],"breakdowns":[{"type","property"}]}`
async fn metrics(mirror: web::Data<Mirror>) -> HttpResponse {
    let metric_set = mirror.metric_set();
    let metrics: Vec<Value> = metric_set
        .metrics()
        .iter()
        .map(|metric| {
            let by_day_only = metric_set.is_by_day_only(metric);
            json!({"name": metric.name, "unit": metric.unit, "byDayOnly": by_day_only})
        })
        .collect();
    let breakdowns: Vec<Value> = metric_set
        .breakdowns()
        .iter()
        .map(|breakdown| json!({"type": breakdown.event, "property": breakdown.property}))
        .collect();
    no_store().json(json!({"metrics": metrics, "breakdowns": breakdowns}))
}

/// 200, of a moment that no cache shall show again.
pub(super) fn no_store() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    response
}
