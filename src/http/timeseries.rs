//! `GET /api/analytics/timeseries`: a number for each bucket of a span of time.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    http::{auth::Keys, current::no_store, error::ApiError, methods, query},
    numbers::{Mirror, TimeSeries},
};

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(methods::read("/api/analytics/timeseries", timeseries));
}

/// `[{"timestamp","count"}]`, oldest first.
async fn timeseries(
    request: HttpRequest,
    keys: web::Data<Keys>,
    mirror: web::Data<Mirror>,
    series: web::Data<TimeSeries>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    let now = mirror.now();
    let query = query::parse(request.query_string(), now, mirror.zone(), mirror.measures())?;
    Ok(no_store().json(series.points(&query, now).await?))
}
