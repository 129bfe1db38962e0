//! The handle on the fan-out, by which the rest of the server starts it, admits viewers and
//! stops it.
#![allow(deprecated)] // actix-web-actors; the reason stands at the top of session.rs

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Recipient};
use actix_web::{HttpRequest, HttpResponse, http::header::SEC_WEBSOCKET_EXTENSIONS, web};
use actix_web_actors::{HttpContext, ws};
use tokio::sync::mpsc;

use crate::{
    broadcast::{
        Broadcaster, Clock, ConnectionHandle, LiveView, PopulationUpdate, Shutdown, ViewerSession,
        deflate,
        hub::Pulse,
        inbound::Inbound,
        monotonic_ms,
        permit::{ViewerPermit, ViewerPermits},
        pieces::Pieces,
        real_clock,
    },
    config::{self, Config},
    domain::{metric::Measures, time::BusinessZone},
    live::Feed,
    panics::Alarm,
};

/// What the fan-out has to know of the configuration.
#[derive(Clone)]
pub struct Settings {
    /// `[stream]`
    pub stream: config::StreamConfig,
    /// The business time zone.
    pub zone: BusinessZone,
    /// The configured metrics.
    pub measures: Arc<Measures>,
    /// `live.active_window_s`.
    pub active_window_s: u64,
    /// Tells the time. Tests move it.
    pub clock: Clock,
}

impl Settings {
    /// The settings of a configuration, with the real clock.
    pub fn new(config: &Config, zone: BusinessZone) -> Settings {
        Settings {
            stream: config.stream.clone(),
            zone,
            measures: config.rules.measures.clone(),
            active_window_s: config.live.active_window_s,
            clock: real_clock(),
        }
    }

    pub(super) fn view(&self) -> LiveView {
        LiveView::new(
            self.zone.clone(),
            self.measures.clone(),
            self.active_window_s,
            self.clock.clone(),
        )
    }
}

/// The running fan-out. A clone is a handle on the same one.
#[derive(Clone)]
pub struct Viewers {
    view: LiveView,
    broadcaster: Addr<Broadcaster>,
    permits: ViewerPermits,
    stream: config::StreamConfig,
}

/// Starts the broadcaster on a thread of its own, where it follows `feed`. A panic in it raises
/// the alarm.
pub fn start(settings: Settings, feed: mpsc::Receiver<Feed>, alarm: &Alarm) -> Viewers {
    super::describe_metrics();
    let view = settings.view();
    let stream = settings.stream.clone();
    let (mirror, watch) = (view.clone(), alarm.watch("the broadcaster"));
    let broadcaster = Broadcaster::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        Broadcaster::new(&settings.stream, mirror, feed, watch)
    });
    let permits = ViewerPermits::new(stream.max_viewers, broadcaster.clone().recipient());
    Viewers { view, broadcaster, permits, stream }
}

impl Viewers {
    /// Read access to the counters.
    pub fn view(&self) -> &LiveView {
        &self.view
    }

    /// The permits to watch.
    pub fn permits(&self) -> &ViewerPermits {
        &self.permits
    }

    /// Where the counter actor sends the numbers of visitors and distinct values.
    pub fn population(&self) -> Recipient<PopulationUpdate> {
        self.broadcaster.clone().recipient()
    }

    /// The origins that may watch besides the server's own.
    pub fn allowed_origins(&self) -> &[String] {
        &self.stream.allowed_origins
    }

    /// Upgrades a request to a WebSocket and starts its session, which holds `permit`. `resume`
    /// is the epoch and seq of the last frame that the viewer saw.
    ///
    /// # Errors
    /// The request is no valid WebSocket handshake.
    pub fn admit(
        &self,
        permit: ViewerPermit,
        request: &HttpRequest,
        payload: web::Payload,
        connection: ConnectionHandle,
        resume: Option<(String, u64)>,
    ) -> Result<HttpResponse, actix_web::Error> {
        let mut response = ws::handshake(request)?;
        let silence = Duration::from_millis(self.stream.silence_timeout_ms);
        // A viewer with the kernel's defaults works, too; it only may cost more memory.
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
            permit,
        };
        Ok(response.streaming(Pieces::of(Box::pin(HttpContext::create(session)))))
    }

    /// Closes all viewers with 1001, in batches, and admits no new ones. Returns once all have
    /// gone, or after `within`, when the rest is cut. The result is how many were cut.
    pub async fn shutdown(&self, within: Duration) -> usize {
        self.permits.close();
        let asked = self.broadcaster.send(Shutdown { within });
        asked.await.unwrap_or(0)
    }
}

fn offers_deflate(request: &HttpRequest) -> bool {
    let mut offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS);
    offers.any(|offer| offer.to_str().is_ok_and(deflate::is_offered))
}
