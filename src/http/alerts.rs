//! `GET /api/analytics/alerts`: what fires, and what did.

use actix_web::{HttpResponse, web};

use crate::{http::scope::View, numbers::Mirror};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/alerts", alerts);
}

async fn alerts(mirror: web::Data<Mirror>) -> HttpResponse {
    HttpResponse::Ok().json(&*mirror.alerts().snapshot())
}
