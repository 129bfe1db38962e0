//! The viewer session: the actor of one WebSocket.
// actix-web-actors is marked as deprecated. It is used all the same, because a viewer has to be
// an actor with a bounded mailbox, and its successor actix-ws has none.
#![allow(deprecated)]

use std::{
    iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFuture, AsyncContext, Handler, Recipient, StreamHandler,
    dev::AsyncContextParts,
};
use actix_http::ws::{Codec, Frame, Message, ProtocolError};
use actix_web_actors::{
    HttpContext,
    ws::{CloseCode, CloseReason},
};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::Encoder;

use crate::broadcast::{
    broadcaster::{Join, SessionOutlet, Watches},
    connection::ConnectionHandle,
    hub::{Deliver, Pulse},
    inbound::Inbound,
    monotonic_ms,
    pass::Pass,
    permit::ViewerPermit,
    playback::{Player, Remote},
    wire_frame::WireFrame,
};

/// What a session shows its viewer.
pub(super) enum Shows {
    /// The live stream, after the frame of this epoch and seq, if there is one.
    Live(Option<(String, u64)>),
    /// The past. The player is started with the session.
    Past(Remote, Option<Box<Player>>),
}

/// The actor of one viewer's WebSocket, on the thread of the HTTP worker that accepted it.
///
/// - Gets [`Deliver`] from the broadcaster and writes it out. Tells the broadcaster [`Join`] at
///   its start and, when its permit is dropped, that it left. What the peer sends is only a sign
///   of life, but for what a viewer of the past wants of its [`Player`].
/// - Owns nothing but its socket's state; frames are shared with all other sessions.
/// - Bounded by: its mailbox (`stream.mailbox_frames` and a Close); the hub, which counts what the
///   session has not taken yet; inbound frames of at most
///   [`MAX_INBOUND_BYTES`](super::inbound::MAX_INBOUND_BYTES). It has no deadline of its own: it
///   is not polled while the peer does not read.
/// - Its context is one of plain bytes: frames come ready for the wire, where a context of
///   WebSocket messages would write and copy each anew for each viewer.
/// - A panic in it ends its connection and nothing else: the viewer comes back.
pub struct ViewerSession {
    /// What the hub knows of this session without a message.
    pub(super) pulse: Arc<Pulse>,
    /// Frames that its mailbox holds.
    pub(super) mailbox_frames: usize,
    /// How often the peer is sent a ping.
    pub(super) ping_interval: Duration,
    /// Where the viewer joins, once, at the start.
    pub(super) broadcaster: Recipient<Join>,
    /// The duplicate of the socket, which the hub gets at the start.
    pub(super) connection: Option<ConnectionHandle>,
    /// By what right the viewer watches.
    pub(super) pass: Pass,
    /// What the viewer watches.
    pub(super) watching: Shows,
    /// What the viewer sends. The stream is taken at the start.
    pub(super) inbound: Option<Inbound>,
    /// Whether the viewer gets deflated frames.
    pub(super) deflates: bool,
    /// Dropped with the session, which tells the broadcaster.
    pub(super) permit: ViewerPermit,
}

impl Actor for ViewerSession {
    type Context = HttpContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // One more than frames, so that a Close fits into a full mailbox.
        ctx.parts().set_mailbox_capacity(self.mailbox_frames + 1);
        if let Some(inbound) = self.inbound.take() {
            ctx.add_stream(inbound);
        }
        ctx.run_interval(self.ping_interval, |_, ctx| control(ctx, Message::Ping(Bytes::new())));
        if let Some(connection) = self.connection.take() {
            let (watches, player) = match &mut self.watching {
                Shows::Live(resume) => (Watches::Live(resume.take()), None),
                Shows::Past(_, player) => (Watches::Past, player.take()),
            };
            // `do_send` ignores the mailbox's limit. That is safe, since each permit sends one
            // `Join`.
            self.broadcaster.do_send(Join {
                id: self.permit.id,
                // No clone is kept: each could put one message beyond the limit into the mailbox.
                outlet: SessionOutlet { session: ctx.address().recipient(), connection },
                pulse: self.pulse.clone(),
                pass: self.pass.clone(),
                watches,
                place: self.permit.place(),
            });
            // It sends its first frame after the viewer has joined. It ends when the session drops the remote.
            if let Some(player) = player {
                actix::spawn(player.run());
            }
        }
    }
}

impl Handler<Deliver> for ViewerSession {
    type Result = ();

    fn handle(&mut self, what: Deliver, ctx: &mut Self::Context) {
        self.pulse.took();
        let deflates = self.deflates;
        let bytes = move |frame: WireFrame| frame.bytes(deflates);
        match what {
            Deliver::Close(code, why) => close(ctx, code, why),
            Deliver::Frame(frame) => ctx.wait(Write(iter::once(bytes(frame)))),
            Deliver::Missed(frames) => ctx.wait(Write(frames.into_iter().map(bytes))),
        }
    }
}

/// Writes frames, one each time that the connection asks for more. Until the last one is written,
/// the session takes nothing from its mailbox and reads nothing from the peer. So frames stay in
/// order, the hub sees in the mailbox what the peer has not read, and a peer that floods the
/// session with pings is read only as fast as it takes the answers.
struct Write<Frames>(Frames);

impl<Frames> ActorFuture<ViewerSession> for Write<Frames>
where
    Frames: Iterator<Item = Bytes> + Unpin,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut ViewerSession,
        ctx: &mut HttpContext<ViewerSession>,
        _: &mut Context<'_>,
    ) -> Poll<()> {
        if session.pulse.is_closing() {
            return Poll::Ready(());
        }
        let Some(frame) = self.0.next() else { return Poll::Ready(()) };
        ctx.write(frame);
        // No waker is kept: the connection polls the session again once it has written this.
        Poll::Pending
    }
}

impl StreamHandler<Result<Frame, ProtocolError>> for ViewerSession {
    fn handle(&mut self, frame: Result<Frame, ProtocolError>, ctx: &mut Self::Context) {
        self.pulse.heard(monotonic_ms());
        match frame {
            Ok(Frame::Ping(payload)) => {
                ctx.wait(Write(encoded(Message::Pong(payload)).into_iter()))
            }
            Ok(Frame::Close(reason)) => end(ctx, reason),
            Ok(Frame::Text(text)) => {
                if let Shows::Past(remote, _) = &self.watching {
                    remote.hear(&text);
                }
            }
            Ok(_) => {}
            Err(ProtocolError::Overflow) => close(ctx, CloseCode::Size, "a frame over 4 KiB"),
            Err(_) => close(ctx, CloseCode::Protocol, "malformed frame"),
        }
    }
}

/// Ends the session with a code and a description of our own.
fn close(ctx: &mut HttpContext<ViewerSession>, code: CloseCode, description: &str) {
    end(ctx, Some(CloseReason { code, description: Some(description.to_owned()) }));
}

/// Sends a Close frame and ends the session.
fn end(ctx: &mut HttpContext<ViewerSession>, reason: Option<CloseReason>) {
    control(ctx, Message::Close(reason));
    ctx.stop();
}

/// Writes a control frame.
fn control(ctx: &mut HttpContext<ViewerSession>, message: Message) {
    if let Some(bytes) = encoded(message) {
        ctx.write(bytes);
    }
}

/// The bytes of a control frame.
fn encoded(message: Message) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    match Codec::new().encode(message, &mut bytes) {
        Ok(()) => Some(bytes.freeze()),
        Err(e) => {
            tracing::debug!(error = %e, "a control frame could not be written");
            None
        }
    }
}
