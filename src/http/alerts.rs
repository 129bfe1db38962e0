//! `GET /api/analytics/alerts`: what fires, and what did.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    http::{auth::Keys, error::ApiError, methods},
    numbers::Mirror,
};

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(methods::read("/api/analytics/alerts", alerts));
}

async fn alerts(
    request: HttpRequest,
    keys: web::Data<Keys>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    Ok(HttpResponse::Ok().json(&*mirror.alerts().snapshot()))
}
