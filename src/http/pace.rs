//! `GET /api/analytics/pace`: how targets are doing, and where they will end.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{Mirror, PaceReader},
};

const PARAMETERS: [&str; 2] = ["target", "points"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/pace", pace).parameters(&PARAMETERS);
}

/// The targets that the query asks for, in the order of the configuration; without a name, those that one may see.
async fn pace(
    request: HttpRequest,
    reader: web::Data<PaceReader>,
    mirror: web::Data<Mirror>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let ([name, points], _) = query::read_exactly(request.query_string(), &PARAMETERS, None)?;
    let with_points = match points.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let message = "points: it is true or false";
            return Err(ApiError::bad_request("invalid_parameter", message));
        }
    };
    let shows = |metric: &str| mirror.metric_set().shows(principal.rights.sight, metric);
    let mut paces = Vec::new();
    for target in reader.targets() {
        match &name {
            Some(name) if *name != target.name => {}
            Some(_) if !shows(&target.metric) => return Err(hidden()),
            None if !shows(&target.metric) => {}
            _ => paces.push(reader.pace(target, with_points).await?),
        }
    }
    if name.is_some() && paces.is_empty() {
        let message = "target: there is no [[target]] of this name";
        return Err(ApiError::bad_request("invalid_parameter", message));
    }
    Ok(no_store().json(paces))
}
