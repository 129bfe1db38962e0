//! `GET /api/analytics/alerts`: what fires, and what did.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    broadcast::LiveView,
    http::{auth::Keys, error::ApiError, methods},
};

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(methods::read("/api/analytics/alerts", alerts));
}

async fn alerts(
    request: HttpRequest,
    keys: web::Data<Keys>,
    view: web::Data<LiveView>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    Ok(HttpResponse::Ok().json(&*view.alerts().snapshot()))
}
