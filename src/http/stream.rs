//! `GET /api/analytics/stream`: from a request to a viewer.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};

use crate::{
    broadcast::{Refusal, Viewers},
    http::{auth::Keys, error::ApiError},
};

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/api/analytics/stream", web::get().to(stream));
}

#[derive(serde::Deserialize)]
struct Parameters {
    resume: Option<String>,
}

async fn stream(
    request: HttpRequest,
    payload: web::Payload,
    keys: web::Data<Keys>,
    viewers: web::Data<Viewers>,
    parameters: web::Query<Parameters>,
) -> Result<HttpResponse, actix_web::Error> {
    check_origin(&request, viewers.allowed_origins())?;
    keys.check_view(&request)?;
    // A resume that makes no sense gets a snapshot, as one that is too old does.
    let resume = parameters.resume.as_deref().and_then(|text| {
        let (epoch, seq) = text.rsplit_once(':')?;
        Some((epoch.to_owned(), seq.parse().ok()?))
    });
    viewers.admit(&request, payload, resume).map_err(|refusal| match refusal {
        Refusal::Full => {
            ApiError::unavailable("too_many_viewers", "stream.max_viewers watch already", 10)
        }
    })?
}

/// A browser says which page opens the socket. Another site's page must not: its visitor may
/// be on the same machine or network as the server.
fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), ApiError> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("?");
    // `null` has no host, nor has a request without the header: these must not match.
    let host = origin.split_once("://").map(|(_, host)| host);
    let own = host.is_some() && host == text(header::HOST);
    if own || allowed.iter().any(|known| known == origin) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "origin",
        format!("pages of {origin} may not watch; see stream.allowed_origins"),
    ))
}
