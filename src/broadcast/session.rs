//! The viewer session actor.
#![allow(deprecated)] // actix-web-actors is deprecated and chosen all the same: a viewer is an actor

use std::{sync::atomic::Ordering, time::Duration};

use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, Message, StreamHandler};
use actix_web_actors::ws::{self, CloseCode, CloseReason, WebsocketContext};
use bytestring::ByteString;

use crate::broadcast::{
    broadcaster::{Broadcaster, Join, Leave},
    connection::ConnectionHandle,
    hub::{Pulse, ViewerId},
    monotonic_ms,
    viewers::Slot,
};

/// One WebSocket.
///
/// - Gets [`Deliver`] and [`Goodbye`] from the broadcaster; tells it `Join` and `Leave`.
/// - Owns nothing but its socket's state; frames are shared with all other sessions.
/// - Bounded by its mailbox (`stream.mailbox_frames`); what does not fit is never queued.
pub struct ViewerSession {
    pub(super) id: ViewerId,
    pub(super) broadcaster: Addr<Broadcaster>,
    pub(super) resume: Option<(String, u64)>,
    pub(super) connection: Option<ConnectionHandle>,
    pub(super) pulse: Pulse,
    pub(super) mailbox_frames: usize,
    pub(super) ping_interval: Duration,
    pub(super) _slot: Slot,
}

/// A frame for the viewer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver(pub ByteString);

/// The viewer has to go.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Goodbye {
    /// It could not keep up: close code 1013, try again later.
    TooSlow,
    /// The server stops: close code 1001.
    Shutdown,
}

impl Actor for ViewerSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.mailbox_frames);
        ctx.run_interval(self.ping_interval, |_, ctx| ctx.ping(b""));
        // Bounded by `stream.max_viewers`: one message for each session.
        self.broadcaster.do_send(Join {
            id: self.id,
            session: ctx.address(),
            connection: self.connection.take(),
            pulse: self.pulse.clone(),
            resume: self.resume.take(),
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.broadcaster.do_send(Leave(self.id));
    }
}

impl Handler<Deliver> for ViewerSession {
    type Result = ();

    fn handle(&mut self, frame: Deliver, ctx: &mut Self::Context) {
        ctx.text(frame.0);
    }
}

impl Handler<Goodbye> for ViewerSession {
    type Result = ();

    fn handle(&mut self, why: Goodbye, ctx: &mut Self::Context) {
        let (code, description) = match why {
            Goodbye::TooSlow => (CloseCode::Again, "too slow; reconnect later"),
            Goodbye::Shutdown => (CloseCode::Away, "the server stops; reconnect"),
        };
        close(ctx, code, description);
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for ViewerSession {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Self::Context) {
        self.pulse.store(monotonic_ms(), Ordering::Relaxed);
        match message {
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            // Viewers have nothing to say.
            Ok(_) => {}
            Err(ws::ProtocolError::Overflow) => close(ctx, CloseCode::Size, "a frame over 4 KiB"),
            Err(_) => close(ctx, CloseCode::Protocol, "malformed frame"),
        }
    }
}

fn close(ctx: &mut WebsocketContext<ViewerSession>, code: CloseCode, description: &str) {
    ctx.close(Some(CloseReason { code, description: Some(description.to_owned()) }));
    ctx.stop();
}
