//! The session actor of one WebSocket.
#![allow(deprecated)] // actix-web-actors: its successor, actix-ws, has no actor in it, and viewers are actors here

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, Handler, Message, StreamHandler};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};

use crate::broadcast::{
    hub::{Deliver, Pulse},
    monotonic_ms,
    viewers::Seat,
};

impl Message for Deliver {
    type Result = ();
}

/// The actor of one viewer's WebSocket, on the thread of the HTTP worker that accepted it.
///
/// Receives [`Deliver`] from the [`crate::broadcast::Broadcaster`] and writes it out; sends
/// nobody anything but its [`Pulse`] (shared atomics) and, when dropped, that it left. What
/// the peer sends is only a sign of life.
///
/// Bounded by: its mailbox (`stream.mailbox_frames` and a Close), the hub that counts what
/// is outstanding, inbound frames of at most [`MAX_INBOUND_BYTES`]. It has no deadline of
/// its own: it is not polled while the peer does not read.
pub struct ViewerSession {
    pulse: Arc<Pulse>,
    mailbox_frames: usize,
    ping_interval: Duration,
    /// Gives the place back, and says goodbye to the broadcaster, when dropped.
    _seat: Seat,
}

/// The largest frame that a viewer may send.
pub const MAX_INBOUND_BYTES: usize = 4096;

impl ViewerSession {
    pub(super) fn new(
        pulse: Arc<Pulse>,
        mailbox_frames: usize,
        ping_interval: Duration,
        seat: Seat,
    ) -> ViewerSession {
        ViewerSession {
            pulse,
            mailbox_frames,
            ping_interval,
            _seat: seat,
        }
    }

    fn end(&self, ctx: &mut WebsocketContext<Self>, code: CloseCode, why: &str) {
        ctx.close(Some(CloseReason {
            code,
            description: Some(why.to_owned()),
        }));
        ctx.stop();
    }
}

impl Actor for ViewerSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // One more for the Close of an eviction.
        ctx.set_mailbox_capacity(self.mailbox_frames + 1);
        ctx.run_interval(self.ping_interval, |_, ctx| ctx.ping(b""));
    }
}

impl Handler<Deliver> for ViewerSession {
    type Result = ();

    fn handle(&mut self, what: Deliver, ctx: &mut Self::Context) {
        self.pulse.took();
        match what {
            Deliver::Frame(frame) => ctx.text(frame),
            Deliver::Missed(frames) => frames.into_iter().for_each(|frame| ctx.text(frame)),
            Deliver::Close(code, why) => self.end(ctx, code, why),
        }
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for ViewerSession {
    fn handle(&mut self, frame: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.pulse.heard(monotonic_ms());
        match frame {
            Ok(ws::Message::Ping(bytes)) => ctx.pong(&bytes),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(_) => {}
            Err(ProtocolError::Overflow) => self.end(ctx, CloseCode::Size, "frame too large"),
            Err(ProtocolError::Io(_)) => ctx.stop(),
            Err(_) => self.end(ctx, CloseCode::Protocol, "malformed frame"),
        }
    }
}
