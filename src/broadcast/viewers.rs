//! The door of the fan-out: how the rest of the server starts it, admits viewers and stops it.
#![allow(deprecated)] // see session.rs

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Recipient};
use actix_web::{HttpRequest, HttpResponse, http::header::SEC_WEBSOCKET_EXTENSIONS, web};
use actix_web_actors::{HttpContext, ws};
use tokio::sync::mpsc;

use crate::{
    broadcast::{
        Broadcaster, ConnectionHandle, Shutdown, ViewerSession, deflate,
        hub::Pulse,
        inbound::Inbound,
        monotonic_ms,
        pieces::Pieces,
        seat::{Room, Seat},
    },
    config,
    live::{Counted, Feed},
    numbers::MirrorWriter,
    panics::Alarm,
};

/// The running fan-out; a clone is the same one.
#[derive(Clone)]
pub struct Viewers {
    broadcaster: Addr<Broadcaster>,
    room: Room,
    stream: config::Stream,
}

/// Starts the broadcaster on a thread of its own: it writes the mirror by what `feed` says, and
/// sends frames as `stream` says. A panic in it raises the alarm.
pub fn start(
    stream: &config::Stream,
    mirror: MirrorWriter,
    feed: mpsc::Receiver<Feed>,
    alarm: &Alarm,
) -> Viewers {
    super::describe_metrics();
    let (stream, watch) = (stream.clone(), alarm.watch("the broadcaster"));
    let settings = stream.clone();
    let broadcaster = Broadcaster::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        Broadcaster::new(&settings, mirror, feed, watch)
    });
    let room = Room::new(stream.max_viewers, broadcaster.clone().recipient());
    Viewers { broadcaster, room, stream }
}

impl Viewers {
    /// The places of the viewers.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Where the counter actor tells how many there are.
    pub fn counted(&self) -> Recipient<Counted> {
        self.broadcaster.clone().recipient()
    }

    /// Upgrades a request to a WebSocket and starts the session in its seat. `resume` is the
    /// epoch and seq of the last frame that the viewer saw.
    ///
    /// # Errors
    /// The handshake's.
    pub fn admit(
        &self,
        seat: Seat,
        request: &HttpRequest,
        payload: web::Payload,
        connection: ConnectionHandle,
        resume: Option<(String, u64)>,
    ) -> Result<HttpResponse, actix_web::Error> {
        let mut response = ws::handshake(request)?;
        let silence = Duration::from_millis(self.stream.silence_timeout_ms);
        if let Err(e) = connection.tune(self.stream.send_buffer_bytes, silence) {
            tracing::debug!(error = %e, "a viewer's socket could not be tuned");
        }
        let deflates = self.stream.compression && offers_deflate(request);
        if deflates {
            response.insert_header((SEC_WEBSOCKET_EXTENSIONS, deflate::TAKEN));
        }
        let session = ViewerSession {
            pulse: Arc::new(Pulse::new(monotonic_ms())),
            mailbox_frames: self.stream.mailbox_frames,
            ping_interval: Duration::from_millis(self.stream.ping_interval_ms),
            broadcaster: self.broadcaster.clone().recipient(),
            connection: Some(connection),
            resume,
            inbound: Some(Inbound::new(payload, deflates)),
            deflates,
            seat,
        };
        Ok(response.streaming(Pieces::of(Box::pin(HttpContext::create(session)))))
    }

    /// Closes all viewers with 1001, in batches, and lets no new ones in. Returns once all
    /// have gone or, after `within`, were cut: then how many.
    pub async fn shutdown(&self, within: Duration) -> usize {
        self.room.close();
        let asked = self.broadcaster.send(Shutdown { within });
        asked.await.unwrap_or(0)
    }
}

fn offers_deflate(request: &HttpRequest) -> bool {
    let mut offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS);
    offers.any(|offer| offer.to_str().is_ok_and(deflate::is_offered))
}
