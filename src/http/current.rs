//! `GET /api/analytics/current`: today's totals, from the mirror. `GET /api/analytics/metrics`:
//! which metrics and breakdowns there are.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

use crate::{
    http::{auth::Keys, error::ApiError, methods},
    numbers::Mirror,
};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(methods::read("/api/analytics/current", current))
        .service(methods::read("/api/analytics/metrics", metrics));
}

async fn current(
    request: HttpRequest,
    keys: web::Data<Keys>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    Ok(no_store().json(mirror.current()))
}

/// `{"metrics":[{"name","unit","byDayOnly"}],"breakdowns":[{"type","property"}]}`
async fn metrics(
    request: HttpRequest,
    keys: web::Data<Keys>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    let measures = mirror.measures();
    let metrics: Vec<Value> = measures
        .metrics()
        .iter()
        .map(|metric| {
            let by_day_only = measures.is_by_day_only(metric);
            json!({"name": metric.name, "unit": metric.unit, "byDayOnly": by_day_only})
        })
        .collect();
    let breakdowns: Vec<Value> = measures
        .breakdowns()
        .iter()
        .map(|breakdown| json!({"type": breakdown.event, "property": breakdown.property}))
        .collect();
    Ok(no_store().json(json!({"metrics": metrics, "breakdowns": breakdowns})))
}

/// 200, of a moment that no cache shall show again.
pub(super) fn no_store() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    response
}
