//! The viewer session actor.
#![allow(deprecated)] // actix-web-actors is deprecated and chosen all the same: a viewer is an actor

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Handler, Recipient, StreamHandler};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use bytestring::ByteString;

use crate::broadcast::{
    broadcaster::{Join, SessionOutlet},
    connection::ConnectionHandle,
    hub::{Deliver, Pulse},
    monotonic_ms,
    seat::Seat,
};

/// The actor of one viewer's WebSocket, on the thread of the HTTP worker that accepted it.
///
/// - Gets [`Deliver`] from the broadcaster and writes it out; tells it [`Join`] at its start
///   and, when its seat is dropped, that it left. What the peer sends is only a sign of life.
/// - Owns nothing but its socket's state; frames are shared with all other sessions.
/// - Bounded by its mailbox (`stream.mailbox_frames` and a Close), by the hub, which counts
///   what is outstanding, and by inbound frames of at most [`MAX_INBOUND_BYTES`]. It has no
///   deadline of its own: it is not polled while the peer does not read.
/// - A panic in it ends its connection and nothing else: the viewer comes back.
pub struct ViewerSession {
    pub(super) pulse: Arc<Pulse>,
    pub(super) mailbox_frames: usize,
    pub(super) ping_interval: Duration,
    /// Told of this viewer once, at the start.
    pub(super) broadcaster: Recipient<Join>,
    /// Handed to the hub at the start.
    pub(super) connection: Option<ConnectionHandle>,
    /// Epoch and seq of the last frame that the viewer saw.
    pub(super) resume: Option<(String, u64)>,
    /// Gives the place back, and tells the broadcaster, when dropped.
    pub(super) seat: Seat,
}

/// The largest frame that a viewer may send; it has nothing to say.
pub const MAX_INBOUND_BYTES: usize = 4096;

/// Missed frames are written in pieces of about this size, each once the one before has left
/// for the socket, so that a resume of many frames needs no large buffer.
const MISSED_PIECE_BYTES: usize = 2048;

impl Actor for ViewerSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // One more for the Close.
        ctx.set_mailbox_capacity(self.mailbox_frames + 1);
        ctx.run_interval(self.ping_interval, |_, ctx| ctx.ping(b""));
        if let Some(connection) = self.connection.take() {
            // do_send: at most one for each seat.
            self.broadcaster.do_send(Join {
                id: self.seat.id,
                // The session's one address: each clone would get past its mailbox's limit.
                outlet: SessionOutlet { session: ctx.address().recipient(), connection },
                pulse: self.pulse.clone(),
                resume: self.resume.take(),
            });
        }
    }
}

impl Handler<Deliver> for ViewerSession {
    type Result = ();

    fn handle(&mut self, what: Deliver, ctx: &mut Self::Context) {
        self.pulse.took();
        match what {
            Deliver::Close(code, why) => close(ctx, code, why),
            Deliver::Frame(_) | Deliver::Missed(_) if self.pulse.is_closing() => {}
            Deliver::Frame(frame) => ctx.text(frame),
            // While the session waits for this, its mailbox waits: frames stay in order.
            Deliver::Missed(frames) => ctx.wait(WriteMissed(frames.into_iter())),
        }
    }
}

/// Writes missed frames, a piece each time that the connection asks for more.
struct WriteMissed(std::vec::IntoIter<ByteString>);

impl ActorFuture<ViewerSession> for WriteMissed {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut ViewerSession,
        ctx: &mut WebsocketContext<ViewerSession>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        let mut bytes = 0;
        while !session.pulse.is_closing() {
            let Some(frame) = self.0.next() else { return Poll::Ready(()) };
            bytes += frame.len();
            ctx.text(frame);
            if bytes >= MISSED_PIECE_BYTES {
                // Polled again once there is room; it is ready to go on.
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for ViewerSession {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.pulse.heard(monotonic_ms());
        match message {
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(_) => {}
            Err(ProtocolError::Overflow) => close(ctx, CloseCode::Size, "a frame over 4 KiB"),
            Err(ProtocolError::Io(_)) => ctx.stop(),
            Err(_) => close(ctx, CloseCode::Protocol, "malformed frame"),
        }
    }
}

fn close(ctx: &mut WebsocketContext<ViewerSession>, code: CloseCode, description: &str) {
    ctx.close(Some(CloseReason { code, description: Some(description.to_owned()) }));
    ctx.stop();
}
