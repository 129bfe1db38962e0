//! `GET /api/analytics/stream`: checks who asks, then hands over to the fan-out.
#![allow(deprecated)] // actix-web-actors, see broadcast/session.rs

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HOST, ORIGIN},
    web,
};
use actix_web_actors::ws;

use crate::{
    broadcast::{Refusal, Viewers},
    http::ApiError,
};

/// When a viewer that found no place may try again.
const RETRY_AFTER_FULL_S: u32 = 10;

/// The route. It expects [`Viewers`] as app data. Who may see the numbers is decided
/// before: by whatever wraps the scope that these routes are configured in.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.route("/api/analytics/stream", web::get().to(stream));
}

async fn stream(
    request: HttpRequest,
    payload: web::Payload,
    viewers: web::Data<Viewers>,
) -> Result<HttpResponse, actix_web::Error> {
    check_origin(&request, &viewers.config().allowed_origins)?;
    ws::handshake(&request).map_err(|error| {
        let message = format!("this route is a WebSocket: {error}");
        ApiError::bad_request("websocket_expected", message)
    })?;
    let seat = viewers.take_seat().map_err(|refusal| match refusal {
        Refusal::Full(_) => {
            ApiError::unavailable("too_many_viewers", refusal.to_string(), RETRY_AFTER_FULL_S)
        }
        Refusal::ShuttingDown => ApiError::unavailable("shutting_down", refusal.to_string(), 1),
    })?;
    viewers.follow(seat, resume(request.query_string()), &request, payload)
}

/// `resume=EPOCH:SEQ`. Anything else is answered with a snapshot, like an unknown epoch.
fn resume(query: &str) -> Option<(String, u64)> {
    let query = web::Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let (_, value) = query.iter().find(|(name, _)| name == "resume")?;
    let (epoch, seq) = value.split_once(':')?;
    Some((epoch.to_owned(), seq.parse().ok()?))
}

/// A page of another site must not read the numbers with its visitor's access: browsers
/// send `Origin` with a WebSocket, and no CORS rule protects it.
fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), ApiError> {
    let mut origins = request.headers().get_all(ORIGIN);
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if origins.next().is_none() && is_allowed(origin, host, allowed) {
        return Ok(());
    }
    let message = format!("origin {origin:?} may not watch; list it in stream.allowed_origins");
    Err(ApiError::forbidden("origin_not_allowed", message))
}

fn is_allowed(origin: &str, host: &str, allowed: &[String]) -> bool {
    let listed = |it: &String| it.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allowed.iter().any(listed) {
        return true;
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    // A port that goes without saying may stand on either side.
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(default_port).unwrap_or(&name).to_owned()
    };
    !host.is_empty() && plain(authority) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_origin_and_listed_ones_may_watch() {
        let listed = ["https://wall.example".to_owned()];
        for (origin, host, expected) in [
            ("http://localhost:8080", "localhost:8080", true),
            ("https://Shop.example", "shop.example", true),
            ("https://shop.example", "shop.example:443", true),
            ("http://shop.example:80", "shop.example", true),
            ("https://wall.example", "shop.example", true),
            ("http://localhost:3000", "localhost:8080", false),
            ("https://shop.example.evil.example", "shop.example", false),
            ("https://evil.example", "shop.example", false),
            ("null", "shop.example", false),
            ("", "", false),
            ("http://", "", false),
            ("file://shop.example", "shop.example", false),
        ] {
            assert_eq!(
                is_allowed(origin, host, &listed),
                expected,
                "{origin} {host}"
            );
        }
    }

    #[test]
    fn resume_is_epoch_and_seq_or_nothing() {
        assert_eq!(resume("token=x&resume=ab%3A7"), Some(("ab".into(), 7)));
        assert_eq!(resume("resume=ab:7"), Some(("ab".into(), 7)));
        for query in ["", "resume=", "resume=ab", "resume=ab:-1", "resume=ab:x"] {
            assert_eq!(resume(query), None, "{query}");
        }
    }
}
