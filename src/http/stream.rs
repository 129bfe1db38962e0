//! `GET /api/analytics/stream`: from a request to a viewer.
#![allow(deprecated)] // actix-web-actors, see broadcast/session.rs

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, StatusCode,
        header::{HOST, ORIGIN},
    },
    middleware::Next,
    web,
};
use actix_web_actors::ws;

use crate::{
    broadcast::{AcquireError, ConnectionSocket, Viewers},
    http::{auth::Keys, error::ApiError, methods},
};

/// When a viewer that found no place may try again, in seconds.
const RETRY_AFTER_FULL: u32 = 10;
/// When one may that found the server going away, in seconds.
const RETRY_AFTER_SHUTDOWN: u32 = 1;

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(methods::only(Method::GET, "/api/analytics/stream", stream));
}

/// A layer for the routes of collectors: their connections give back what they hold for a
/// viewer, which they will never be.
pub async fn never_a_viewer<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    if let Some(connection) = request.conn_data::<ConnectionSocket>() {
        connection.release();
    }
    next.call(request).await
}

async fn stream(
    request: HttpRequest,
    payload: web::Payload,
    keys: web::Data<Keys>,
    viewers: web::Data<Viewers>,
) -> Result<HttpResponse, actix_web::Error> {
    check_origin(&request, viewers.allowed_origins())?;
    keys.check_view(&request)?;
    ws::handshake(&request).map_err(|error| {
        let message = format!("this route is a WebSocket: {error}");
        ApiError::bad_request("websocket_expected", message)
    })?;
    let permit = viewers.permits().acquire().map_err(|refusal| match refusal {
        AcquireError::Full(_) => {
            ApiError::unavailable("too_many_viewers", refusal.to_string(), RETRY_AFTER_FULL)
        }
        AcquireError::ShuttingDown => {
            ApiError::unavailable("shutting_down", refusal.to_string(), RETRY_AFTER_SHUTDOWN)
        }
    })?;
    let Some(connection) = request.conn_data::<ConnectionSocket>().and_then(ConnectionSocket::take)
    else {
        return Ok(needs_new_connection());
    };
    viewers.admit(permit, &request, payload, connection, resume(request.query_string()))
}

/// Without a handle on its socket a viewer that does not read could never be ended.
fn needs_new_connection() -> HttpResponse {
    let message = "this connection has sent events, or the server is short of file descriptors; \
                   open a new one for the stream";
    let mut response =
        ApiError::unavailable("new_connection_needed", message, RETRY_AFTER_SHUTDOWN)
            .error_response();
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

/// `resume=EPOCH:SEQ`. Anything else is answered with a snapshot, like an unknown epoch.
fn resume(query: &str) -> Option<(String, u64)> {
    let query = web::Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let (_, value) = query.iter().find(|(name, _)| name == "resume")?;
    let (epoch, seq) = value.rsplit_once(':')?;
    Some((epoch.to_owned(), seq.parse().ok()?))
}

/// A browser says which page opens the socket. Another site's page must not: its visitor may
/// be on the same machine or network as the server, and no CORS rule protects a WebSocket.
fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), ApiError> {
    let mut origins = request.headers().get_all(ORIGIN);
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if origins.next().is_none() && is_allowed(origin, host.unwrap_or_default(), allowed) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "origin",
        format!("pages of {origin:?} may not watch; see stream.allowed_origins"),
    ))
}

fn is_allowed(origin: &str, host: &str, allowed: &[String]) -> bool {
    if allowed.iter().any(|known| known.eq_ignore_ascii_case(origin)) {
        return true;
    }
    // `null` has no host, nor has a request without the header: these must not match.
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
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
            ("null", "null", false),
            ("", "", false),
            ("http://", "", false),
            ("file://shop.example", "shop.example", false),
        ] {
            assert_eq!(is_allowed(origin, host, &listed), expected, "{origin} {host}");
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
