//! `GET /api/analytics/current`: today's totals, from the mirror. `GET /api/analytics/metrics`:
//! which metrics and breakdowns there are.

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

use crate::{http::scope::View, numbers::Mirror};

/// Adds the routes.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/current", current).read("/api/analytics/metrics", metrics);
}

/// The JSON of [`crate::numbers::Current`].
async fn current(mirror: web::Data<Mirror>) -> HttpResponse {
    no_store().json(mirror.current())
}

/// `{"metrics":[{"name","unit","byDayOnly"}],"breakdowns":[{"type","property"}]}`: what the
/// dashboard offers to choose from.
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

/// A response with status 200 that no cache may keep, since its numbers are those of one moment.
pub(super) fn no_store() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    response
}
