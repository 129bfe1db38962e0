//! How HTTP reaches the fan-out: it takes a seat, starts a session in it, and reads the
//! view.
#![allow(deprecated)] // actix-web-actors, see session.rs

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, ArbiterHandle, Recipient};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::WsResponseBuilder;
use tokio::sync::mpsc::Receiver;

use crate::{
    broadcast::{
        ActiveUsers, Broadcaster, Clock, ConnectionHandle, LiveView, Shutdown, ViewerSession,
        broadcaster::{Join, Leave, SessionOutlet},
        hub::{Pulse, ViewerId},
        monotonic_ms,
        session::MAX_INBOUND_BYTES,
    },
    config,
    domain::time::BusinessZone,
    live::Feed,
};

/// What the fan-out is started with.
pub struct Settings {
    /// `[stream]`
    pub stream: config::Stream,
    /// The business time zone.
    pub zone: BusinessZone,
    /// What amounts are in.
    pub currency: String,
    /// `live.active_window_s`
    pub active_window_s: u64,
    /// [`crate::broadcast::real_clock`], but in tests.
    pub clock: Clock,
}

/// Starts the [`Broadcaster`] on `arbiter`, which it should have for its own: a frame to
/// thousands of viewers is one run of its handler.
pub fn start(settings: Settings, feed: Receiver<Feed>, arbiter: &ArbiterHandle) -> Viewers {
    let view = LiveView::new(
        settings.zone,
        settings.currency,
        settings.active_window_s,
        settings.clock,
    );
    let stream = Arc::new(settings.stream);
    let (view_there, stream_there) = (view.clone(), stream.clone());
    let broadcaster = Broadcaster::start_in_arbiter(arbiter, move |_| {
        Broadcaster::new(stream_there, view_there, feed)
    });
    Viewers {
        room: Arc::new(Room {
            broadcaster,
            taken: AtomicUsize::new(0),
            next: AtomicU64::new(1),
            closed: AtomicBool::new(false),
        }),
        view,
        stream,
    }
}

/// Why a viewer gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `stream.max_viewers` are there.
    #[error("all {0} viewers' places are taken; try again later")]
    Full(usize),
    /// The server is going away.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// The handle on the fan-out, one for all threads; cheap to clone.
#[derive(Clone)]
pub struct Viewers {
    room: Arc<Room>,
    view: LiveView,
    stream: Arc<config::Stream>,
}

struct Room {
    broadcaster: Addr<Broadcaster>,
    taken: AtomicUsize,
    next: AtomicU64,
    closed: AtomicBool,
}

impl Viewers {
    /// The numbers.
    pub fn view(&self) -> &LiveView {
        &self.view
    }

    /// `[stream]`
    pub fn config(&self) -> &config::Stream {
        &self.stream
    }

    /// Where the counter actor sends [`ActiveUsers`].
    pub fn active_users(&self) -> Recipient<ActiveUsers> {
        self.room.broadcaster.clone().recipient()
    }

    /// Places taken.
    pub fn count(&self) -> usize {
        self.room.taken.load(Ordering::Relaxed)
    }

    /// Whether the broadcaster is alive.
    pub fn is_running(&self) -> bool {
        self.room.broadcaster.connected()
    }

    /// Takes a place, if there is one.
    pub fn take_seat(&self) -> Result<Seat, Refusal> {
        if self.room.closed.load(Ordering::Relaxed) || !self.is_running() {
            return Err(Refusal::ShuttingDown);
        }
        let max = self.stream.max_viewers;
        let one_more = |taken| (taken < max).then_some(taken + 1);
        let taken = &self.room.taken;
        match taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Seat {
                id: self.room.next.fetch_add(1, Ordering::Relaxed),
                room: self.room.clone(),
            }),
            Err(_) => Err(Refusal::Full(max)),
        }
    }

    /// Upgrades a request to a viewer's WebSocket. `resume` is (epoch, seq) of the last
    /// frame that it saw.
    pub fn follow(
        &self,
        seat: Seat,
        resume: Option<(String, u64)>,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, actix_web::Error> {
        let connection = request.conn_data::<ConnectionHandle>().cloned();
        if let Some(connection) = &connection {
            let silence = Duration::from_millis(self.stream.silence_timeout_ms);
            if let Err(error) = connection.tune(self.stream.send_buffer_bytes, silence) {
                tracing::debug!(%error, "can't tune a viewer's socket; it has likely gone");
            }
        }
        let pulse = Arc::new(Pulse::new(monotonic_ms()));
        let id = seat.id;
        let session = ViewerSession::new(
            pulse.clone(),
            self.stream.mailbox_frames,
            Duration::from_millis(self.stream.ping_interval_ms),
            seat,
        );
        let (session, response) = WsResponseBuilder::new(session, request, payload)
            .frame_size(MAX_INBOUND_BYTES)
            .start_with_addr()?;
        // do_send: at most one for each seat.
        self.room.broadcaster.do_send(Join {
            id,
            // The session's one address: each clone would get past its mailbox's limit.
            outlet: SessionOutlet::new(session, connection),
            pulse,
            resume,
        });
        Ok(response)
    }

    /// Closes all viewers with 1001, spread over some seconds, and lets no new ones in.
    /// Returns once all are gone or, after `within`, were cut: then how many.
    pub async fn shutdown(&self, within: Duration) -> usize {
        self.room.closed.store(true, Ordering::Relaxed);
        let asked = self.room.broadcaster.send(Shutdown { within });
        asked.await.unwrap_or(0)
    }
}

/// One viewer's place. Dropping it gives it back.
pub struct Seat {
    id: ViewerId,
    room: Arc<Room>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
        // do_send: at most one for each seat.
        self.room.broadcaster.do_send(Leave(self.id));
    }
}
