//! `GET /api/analytics/alerts`: what fires, and what did.

use actix_web::{HttpResponse, web};

use crate::{broadcast::LiveView, http::scope::View};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/alerts", alerts);
}

async fn alerts(view: web::Data<LiveView>) -> HttpResponse {
    HttpResponse::Ok().json(&*view.alerts().snapshot())
}
