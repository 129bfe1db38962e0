//! `GET /api/analytics/stream`: turns a request into a viewer of the live numbers, or refuses it.
#![allow(deprecated)] // actix-web-actors, see broadcast/session.rs

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::ConnectionType, web};
use actix_web_actors::ws;

use crate::{
    broadcast::{AcquireError, ConnectionSocket, MAX_SPEED, PlaybackAsked, Viewers, WatchAsked},
    domain::time::{BusinessZone, Millis},
    http::{
        auth::{Principal, ViewerGuard},
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{Mirror, PastMoments, playback::PastReel},
};

/// `Retry-After` in seconds, where `stream.max_viewers` viewers watch already.
const RETRY_AFTER_FULL: u32 = 10;
/// `Retry-After` in seconds, where a new connection is needed or the server shuts down.
const RETRY_AFTER_SHUTDOWN: u32 = 1;

/// Adds the route.
pub fn routes(view: &mut View) {
    view.socket("/api/analytics/stream", stream).parameters(&PARAMETERS);
}

/// Where a viewer goes on, `resume=EPOCH:SEQ`; or of which moment it watches the past, and how fast.
const PARAMETERS: [&str; 3] = ["resume", "from", "speed"];

/// Checks the handshake, takes one of the permits to watch, and hands the connection to the
/// fan-out.
async fn stream(
    request: HttpRequest,
    payload: web::Payload,
    viewers: web::Data<Viewers>,
    moments: web::Data<PastMoments>,
    mirror: web::Data<Mirror>,
    guard: web::Data<ViewerGuard>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, actix_web::Error> {
    ws::handshake(&request).map_err(|error| {
        let message = format!("this route is a WebSocket: {error}");
        ApiError::bad_request("websocket_expected", message)
    })?;
    let query = request.query_string();
    let watches = asked(query, mirror.now(), mirror.zone())?;
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
    let asked = match watches {
        None => WatchAsked::Live(resume(query)),
        Some((from, speed)) => {
            let permit = viewers.playback_permit().ok_or_else(too_many_playbacks)?;
            let reel = PastReel::new(moments.into_inner());
            WatchAsked::Past(PlaybackAsked { from, speed, reel, permit })
        }
    };
    viewers.admit(permit, &request, payload, connection, (pass, asked))
}

/// The refusal of one more viewer of the past.
fn too_many_playbacks() -> ApiError {
    let message = "stream.max_playbacks watch the past already";
    ApiError::unavailable("too_many_playbacks", message, RETRY_AFTER_FULL)
}

/// From when and how fast a viewer wants to watch the past; `None` for the live stream.
fn asked(text: &str, now: Millis, zone: &BusinessZone) -> Result<Option<(Millis, u32)>, ApiError> {
    let [resume, from, speed] = query::read(text, &PARAMETERS)?;
    let invalid = |message: String| ApiError::bad_request("invalid_parameter", message);
    let Some(from) = from else {
        return match speed {
            Some(_) => Err(invalid("speed: from when? from=2026-11-27T10:00:00Z".into())),
            None => Ok(None),
        };
    };
    if resume.is_some() {
        return Err(invalid("resume: the past goes on from a moment; leave resume out".into()));
    }
    let from = query::start("from", &from, zone)?;
    if from > now {
        return Err(invalid("from: that moment has not come yet".into()));
    }
    let speed = match speed.as_deref() {
        None => 1,
        Some(speed) => speed.parse().ok().filter(|speed| *speed <= MAX_SPEED).ok_or_else(|| {
            invalid(format!("speed: {speed:?} is no whole number up to {MAX_SPEED}"))
        })?,
    };
    Ok(Some((from, speed)))
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
    let [value, ..] = query::read(query, &PARAMETERS).ok()?;
    let value = value?;
    let (epoch, seq) = value.rsplit_once(':')?;
    Some((epoch.to_owned(), seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_asked_for_by_a_moment_that_has_come_and_a_speed() {
        let zone = BusinessZone::named("UTC").unwrap();
        let now = 1_800_000_000_000;
        let asked = |text: &str| asked(text, now, &zone).map_err(|_| ());
        assert_eq!(asked("token=x&resume=ab:7&other=1"), Ok(None));
        assert_eq!(asked("from=1700000000000"), Ok(Some((1_700_000_000_000, 1))));
        assert_eq!(asked("from=2026-11-27&speed=0"), Ok(Some((1_795_737_600_000, 0))));
        let wrong = [
            "speed=2",
            "from=",
            "from=noon",
            "from=1800000000001",
            "from=1&speed=3601",
            "from=1&speed=-1",
            "from=1&speed=1.5",
            "from=1&resume=ab:7",
            "from=1&from=2",
        ];
        for wrong in wrong {
            assert_eq!(asked(wrong), Err(()), "{wrong}");
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
