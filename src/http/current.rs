//! `GET /api/analytics/current`: today's totals, from the mirror. `GET /api/analytics/metrics`:
//! which metrics and breakdowns there are.

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

use crate::{
    http::{auth::Principal, scope::View},
    numbers::Mirror,
};

/// Adds the routes.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/current", current)
        .read_veiled("/api/analytics/metrics", metrics);
}

/// The JSON of [`crate::numbers::Current`].
async fn current(mirror: web::Data<Mirror>, principal: web::ReqData<Principal>) -> HttpResponse {
    no_store().json(mirror.current(principal.rights.sight))
}

/// `{"metrics":[{"name","unit","byDayOnly"}],"breakdowns":[{"type","property","sums"}]}`: what the
/// dashboard offers to choose from. What is hidden is left out, and `hidden` names the metrics.
async fn metrics(mirror: web::Data<Mirror>, principal: web::ReqData<Principal>) -> HttpResponse {
    let sight = principal.rights.sight;
    let metric_set = mirror.metric_set();
    let metrics: Vec<Value> = metric_set
        .metrics()
        .iter()
        .filter(|metric| metric_set.shows(sight, &metric.name))
        .map(|metric| {
            let by_day_only = metric_set.is_by_day_only(metric);
            json!({"name": metric.name, "unit": metric.unit, "byDayOnly": by_day_only})
        })
        .collect();
    let breakdowns: Vec<Value> = metric_set
        .breakdowns()
        .iter()
        .filter(|breakdown| metric_set.shows_values(sight, &breakdown.property))
        .map(|breakdown| {
            let sums = breakdown.sums.iter().filter(|metric| metric_set.shows(sight, metric));
            let sums: Vec<&String> = sums.collect();
            let mut named = json!({"type": breakdown.event, "property": breakdown.property});
            if !sums.is_empty() {
                named["sums"] = json!(sums);
            }
            named
        })
        .collect();
    let mut answer = json!({"metrics": metrics, "breakdowns": breakdowns});
    let hidden = metric_set.hidden(sight);
    if !hidden.is_empty() {
        answer["hidden"] = json!(hidden);
    }
    no_store().json(answer)
}

/// A response with status 200 that no cache may keep, since its numbers are those of one moment.
pub(super) fn no_store() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    response
}
