//! `GET /api/analytics/timeseries`: a number for each bucket of a span of time. What may be asked
//! for is in [`query`].

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    domain::{delta::QUARTER_HOUR, time::rfc3339},
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{Mirror, Past, SeriesQuery, TimeSeries, What},
    store::breakdowns::KeptSince,
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
    past: web::Data<Past>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let now = mirror.now();
    let query = query::parse(request.query_string(), now, mirror.zone(), mirror.metric_set())?;
    if let What::Metric(name) = &query.what
        && !mirror.metric_set().shows(principal.rights.sight, name)
    {
        return Err(hidden());
    }
    if query.what == What::ActiveUsers && query.interval.nominal() < QUARTER_HOUR {
        by_minute(&query, &past.breakdowns_since().await?)?;
    }
    Ok(no_store().json(series.points(&query, now).await?))
}

/// Refuses visitors by minute where minutes are no longer kept.
fn by_minute(query: &SeriesQuery, kept: &KeptSince) -> Result<(), ApiError> {
    match kept.minutes.filter(|minutes| query.from < *minutes) {
        None => Ok(()),
        Some(minutes) => {
            let since = rfc3339(minutes);
            let rule =
                format!("begins before {since}: visitors of before are kept by interval=15m");
            Err(query::wrong("from", &rfc3339(query.from), &rule))
        }
    }
}
