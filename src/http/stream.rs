//! `GET /api/analytics/stream`: turns a request into a viewer of the live numbers, or refuses it.
#![allow(deprecated)] // actix-web-actors, see broadcast/session.rs

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::ConnectionType, web};
use actix_web_actors::ws;

use crate::{
    broadcast::{AcquireError, ConnectionSocket, Viewers},
    http::{
        auth::{Principal, ViewerGuard},
        error::ApiError,
        query,
        scope::View,
    },
};

/// `Retry-After` in seconds, where `stream.max_viewers` viewers watch already.
const RETRY_AFTER_FULL: u32 = 10;
/// `Retry-After` in seconds, where a new connection is needed or the server shuts down.
const RETRY_AFTER_SHUTDOWN: u32 = 1;

/// Adds the route.
pub fn routes(view: &mut View) {
    view.socket("/api/analytics/stream", stream).parameters(&PARAMETERS);
}

/// Where a viewer goes on: `resume=EPOCH:SEQ`.
const PARAMETERS: [&str; 1] = ["resume"];

/// Checks the handshake, takes one of the permits to watch, and hands the connection to the
/// fan-out.
async fn stream(
    request: HttpRequest,
    payload: web::Payload,
    viewers: web::Data<Viewers>,
    guard: web::Data<ViewerGuard>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, actix_web::Error> {
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
    let pass = guard.pass(&principal);
    viewers.admit(permit, &request, payload, connection, (pass, resume(request.query_string())))
}

/// The refusal of a connection of which the server no longer has the handle on its socket. A
/// viewer is admitted only together with that handle, because one that stops reading can be ended
/// only by closing its socket. The client has to open a new connection.
fn needs_new_connection() -> HttpResponse {
    let message = "this connection has sent events while very many others did, or the server is short \
                   of file descriptors; open a new one for the stream";
    let mut response =
        ApiError::unavailable("new_connection_needed", message, RETRY_AFTER_SHUTDOWN)
            .error_response();
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

/// Epoch and number of the last frame that the viewer has seen, from `resume=EPOCH:SEQ`. Anything
/// else gives `None`, and the viewer gets a snapshot, as it does for an unknown epoch.
fn resume(query: &str) -> Option<(String, u64)> {
    let [value] = query::read(query, &PARAMETERS).ok()?;
    let value = value?;
    let (epoch, seq) = value.rsplit_once(':')?;
    Some((epoch.to_owned(), seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_is_epoch_and_seq_or_nothing() {
        assert_eq!(resume("token=x&resume=ab%3A7"), Some(("ab".into(), 7)));
        assert_eq!(resume("resume=ab:7"), Some(("ab".into(), 7)));
        for query in ["", "resume=", "resume=ab", "resume=ab:-1", "resume=ab:x"] {
            assert_eq!(resume(query), None, "{query}");
        }
    }
}
