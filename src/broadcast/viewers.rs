//! The handle on the fan-out, by which the rest of the server starts it, admits viewers and
//! stops it.
#![allow(deprecated)] // actix-web-actors; the reason stands at the top of session.rs

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Recipient};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL},
    web,
};
use actix_web_actors::{HttpContext, ws};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    broadcast::{
        Broadcaster, ConnectionHandle, Shutdown, ViewerSession, deflate,
        hub::Pulse,
        inbound::Inbound,
        monotonic_ms,
        pass::Pass,
        permit::{ViewerPermit, ViewerPermits},
        pieces::Pieces,
        playback::{Audience, Player, Remote},
        session::Shows,
        subprotocol,
        timeline::FramePace,
    },
    config,
    domain::{access::Sight, time::Millis},
    live::{Counted, Feed},
    numbers::{MirrorWriter, playback::PastReel},
    panics::Alarm,
};

/// The running fan-out. A clone is a handle on the same one.
#[derive(Clone)]
pub struct Viewers {
    broadcaster: Addr<Broadcaster>,
    permits: ViewerPermits,
    /// One for each of `stream.max_playbacks`.
    playbacks: Arc<Semaphore>,
    stream: config::StreamConfig,
}

/// What a viewer asks to watch.
pub enum WatchAsked {
    /// The live stream, after the frame of this epoch and seq, if it came back.
    Live(Option<(String, u64)>),
    /// The past.
    Past(PlaybackAsked),
}

/// A playback that a viewer asks for.
pub struct PlaybackAsked {
    /// From when, Unix ms; not ahead.
    pub from: Millis,
    /// Seconds of the past in a second, up to [`MAX_SPEED`](super::MAX_SPEED); 0 is a pause.
    pub speed: u32,
    /// Where the past is read.
    pub reel: PastReel,
    /// One of [`Viewers::playback_permit`].
    pub permit: OwnedSemaphorePermit,
}

/// Starts the broadcaster on a thread of its own, where it follows `feed`, writes the mirror, and
/// sends frames as `stream` says. A panic in it raises the alarm.
pub fn start(
    stream: &config::StreamConfig,
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
    let permits = ViewerPermits::new(stream.max_viewers, broadcaster.clone().recipient());
    let playbacks = Arc::new(Semaphore::new(stream.max_playbacks));
    Viewers { broadcaster, permits, playbacks, stream }
}

impl Viewers {
    /// The permits to watch.
    pub fn permits(&self) -> &ViewerPermits {
        &self.permits
    }

    /// A permit to watch the past, if one of the `stream.max_playbacks` is free.
    pub fn playback_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.playbacks.clone().try_acquire_owned().ok()
    }

    /// The recipient of the counter actor's numbers of visitors and distinct values.
    pub fn population(&self) -> Recipient<Counted> {
        self.broadcaster.clone().recipient()
    }

    /// Upgrades a request to a WebSocket and starts its session, which holds `permit`. `pass`
    /// says by what right the viewer watches, `asked` what.
    ///
    /// # Errors
    /// The request is no valid WebSocket handshake.
    pub fn admit(
        &self,
        permit: ViewerPermit,
        request: &HttpRequest,
        payload: web::Payload,
        connection: ConnectionHandle,
        (pass, asked): (Pass, WatchAsked),
    ) -> Result<HttpResponse, actix_web::Error> {
        let mut response = ws::handshake(request)?;
        let silence = Duration::from_millis(self.stream.silence_timeout_ms);
        // This is no reason to refuse the viewer: with the kernel's defaults it works, too, and
        // may only cost more memory.
        if let Err(e) = connection.tune(self.stream.send_buffer_bytes, silence) {
            tracing::debug!(error = %e, "a viewer's socket could not be tuned");
        }
        // What a viewer of the past says is read, and nothing here inflates.
        let is_live = matches!(asked, WatchAsked::Live(_));
        let deflates = is_live && self.stream.compression && offers_deflate(request);
        if deflates {
            response.insert_header((SEC_WEBSOCKET_EXTENSIONS, deflate::TAKEN));
        }
        if let Some(protocol) = subprotocol::answered(request) {
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, protocol));
        }
        let pulse = Arc::new(Pulse::new(monotonic_ms()));
        let watching = match asked {
            WatchAsked::Live(resume) => Shows::Live(resume),
            WatchAsked::Past(asked) => self.past(asked, permit.id, pass.sight, pulse.clone()),
        };
        let session = ViewerSession {
            pulse,
            mailbox_frames: self.stream.mailbox_frames,
            ping_interval: Duration::from_millis(self.stream.ping_interval_ms),
            broadcaster: self.broadcaster.clone().recipient(),
            connection: Some(connection),
            pass,
            watching,
            inbound: Some(Inbound::new(payload, deflates)),
            deflates,
            permit,
        };
        Ok(response.streaming(Pieces::of(Box::pin(HttpContext::create(session)))))
    }

    /// A playback and its remote.
    fn past(&self, asked: PlaybackAsked, id: u64, sight: Sight, pulse: Arc<Pulse>) -> Shows {
        let (remote, wanted) = Remote::new(asked.from, asked.speed, asked.reel.clock());
        let pace =
            FramePace { tick_ms: self.stream.tick_ms, heartbeat_ms: self.stream.heartbeat_ms };
        let audience = Audience { id, sight, pulse, pace };
        let projector = self.broadcaster.clone().recipient();
        let player = Player::new(audience, asked.reel, wanted, projector, asked.permit);
        Shows::Past(remote, Some(Box::new(player)))
    }

    /// Closes all viewers with 1001, in batches, and admits no new ones. Returns once all have
    /// gone, or after `within`, when the rest is cut. The result is how many were cut.
    pub async fn shutdown(&self, within: Duration) -> usize {
        self.permits.close();
        let asked = self.broadcaster.send(Shutdown { within });
        asked.await.unwrap_or(0)
    }
}

/// Whether the client offers compressed messages that can be accepted.
fn offers_deflate(request: &HttpRequest) -> bool {
    let mut offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS);
    offers.any(|offer| offer.to_str().is_ok_and(deflate::is_offered))
}
