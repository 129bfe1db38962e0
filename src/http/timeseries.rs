//! `GET /api/analytics/timeseries`: a number for each bucket of a span of time. What may be asked
//! for is in [`query`].

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{Mirror, TimeSeries, What},
};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/timeseries", timeseries).parameters(&query::PARAMETERS);
}

/// `[{"timestamp","count"}]`, oldest first.
async fn timeseries(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    series: web::Data<TimeSeries>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let now = mirror.now();
    let query = query::parse(request.query_string(), now, mirror.zone(), mirror.metric_set())?;
    if let What::Metric(name) = &query.what
        && !mirror.metric_set().shows(principal.rights.sight, name)
    {
        return Err(hidden());
    }
    Ok(no_store().json(series.points(&query, now).await?))
}
