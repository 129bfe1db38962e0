//! The door of the fan-out: how the rest of the server starts it, admits viewers and stops it.
#![allow(deprecated)] // see session.rs

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, Arbiter, Recipient};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use tokio::sync::{mpsc, oneshot};

use crate::{
    broadcast::{
        Broadcaster, Clock, ConnectionHandle, Counted, LiveView, Shutdown, ViewerSession,
        monotonic_ms, real_clock,
    },
    config::{self, Config},
    domain::{metric::Measures, time::BusinessZone},
    live::Feed,
};

/// Bytes of one frame from a viewer, which has nothing to say.
const MAX_INBOUND_BYTES: usize = 4096;

/// What the fan-out is told by the configuration.
pub struct Settings {
    /// `[stream]`
    pub stream: config::Stream,
    /// Business time zone.
    pub zone: BusinessZone,
    /// The metrics.
    pub measures: Arc<Measures>,
    /// `live.active_window_s`.
    pub active_window_s: u64,
    /// What time it is; tests move it.
    pub clock: Clock,
}

impl Settings {
    /// From the configuration, on the real clock.
    pub fn new(config: &Config, zone: BusinessZone) -> Settings {
        Settings {
            stream: config.stream.clone(),
            zone,
            measures: config.rules.measures.clone(),
            active_window_s: config.live.active_window_s,
            clock: real_clock(),
        }
    }
}

/// The running fan-out; a clone is the same one.
#[derive(Clone)]
pub struct Viewers {
    view: LiveView,
    broadcaster: Addr<Broadcaster>,
    stream: config::Stream,
    next_id: Arc<AtomicU64>,
}

/// Why a viewer is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `stream.max_viewers` watch already.
    Full,
}

/// Starts the broadcaster on a thread of its own, following `feed`.
pub fn start(settings: Settings, feed: mpsc::Receiver<Feed>) -> Viewers {
    super::describe_metrics();
    let view = LiveView::new(
        settings.zone.clone(),
        settings.measures.clone(),
        settings.active_window_s,
        settings.clock.clone(),
    );
    let stream = settings.stream.clone();
    let mirror = view.clone();
    let broadcaster = Broadcaster::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        Broadcaster::new(&settings, mirror, feed)
    });
    Viewers { view, broadcaster, stream, next_id: Arc::default() }
}

impl Viewers {
    /// Read access to the counters.
    pub fn view(&self) -> &LiveView {
        &self.view
    }

    /// Where the counter actor tells how many there are.
    pub fn counted(&self) -> Recipient<Counted> {
        self.broadcaster.clone().recipient()
    }

    /// Origins that may watch beside the server's own.
    pub fn allowed_origins(&self) -> &[String] {
        &self.stream.allowed_origins
    }

    /// Upgrades a request to a WebSocket and lets the session join. `resume` is the epoch and
    /// seq of the last frame that the viewer saw.
    ///
    /// # Errors
    /// The handshake's; or the refusal, where too many watch already.
    pub fn admit(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        resume: Option<(String, u64)>,
    ) -> Result<Result<HttpResponse, actix_web::Error>, Refusal> {
        let slot = Slot::take(self.stream.max_viewers).ok_or(Refusal::Full)?;
        let connection = request.conn_data::<ConnectionHandle>().cloned();
        let silence = Duration::from_millis(self.stream.silence_timeout_ms);
        if let Some(connection) = &connection
            && let Err(e) = connection.tune(self.stream.send_buffer_bytes, silence)
        {
            tracing::debug!(error = %e, "a viewer's socket could not be tuned");
        }
        let session = ViewerSession {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            broadcaster: self.broadcaster.clone(),
            resume,
            connection,
            pulse: Arc::new(AtomicU64::new(monotonic_ms())),
            mailbox_frames: self.stream.mailbox_frames,
            ping_interval: Duration::from_millis(self.stream.ping_interval_ms),
            _slot: slot,
        };
        let response = ws::WsResponseBuilder::new(session, request, payload)
            .frame_size(MAX_INBOUND_BYTES)
            .start();
        Ok(response)
    }

    /// Closes all viewers with 1001; returns when all are told, or after `timeout`.
    pub async fn shutdown(&self, timeout: Duration) {
        let (done, told) = oneshot::channel();
        self.broadcaster.do_send(Shutdown(done));
        let _ = tokio::time::timeout(timeout, told).await;
    }
}

/// One of `stream.max_viewers`; given back when the session ends.
pub(super) struct Slot(());

static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Slot {
    fn take(max: usize) -> Option<Slot> {
        let take = |taken| (taken < max as u64).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Slot(()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
