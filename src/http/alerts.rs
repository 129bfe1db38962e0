//! `GET /api/analytics/alerts`: the alerts that fire now, and those that fired lately.

use actix_web::{HttpResponse, web};

use crate::{
    http::{auth::Principal, current::no_store, scope::View},
    numbers::Mirror,
};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/alerts", alerts);
}

/// The JSON of [`crate::numbers::AlertsShown`].
async fn alerts(mirror: web::Data<Mirror>, principal: web::ReqData<Principal>) -> HttpResponse {
    let shown = mirror.alerts().snapshot();
    no_store().json(&*shown.seen_by(principal.rights.sight, mirror.metric_set()))
}
