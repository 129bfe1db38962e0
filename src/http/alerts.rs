//! `GET /api/analytics/alerts`: the alerts that fire now, and those that fired lately.

use actix_web::{HttpResponse, web};

use crate::{http::scope::View, numbers::Mirror};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/alerts", alerts);
}

/// The JSON of [`crate::numbers::AlertsShown`].
async fn alerts(mirror: web::Data<Mirror>) -> HttpResponse {
    HttpResponse::Ok().json(&*mirror.alerts().snapshot())
}
