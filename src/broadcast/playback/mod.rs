//! Playback: a viewer is sent the frames of the past as the live stream had sent them, at a speed of its choice.
//!
//! ```text
//!   ViewerSession ──Remote: what the viewer wants──> Player (a task for each such viewer) <── numbers::playback
//!        ^                                              │ Played
//!        └──Deliver── Broadcaster's hub <───────────────┘
//! ```
//!
//! The player ends with its session. It makes a frame only once the one before was taken, so a viewer that is slow
//! is played slower. All else (silence, an access that has ended, a stop) the hub judges, as of any viewer.

mod player;
mod remote;

use actix::{Message, Recipient};
use actix_web_actors::ws::CloseCode;

pub use self::{
    player::{Audience, Player},
    remote::{Remote, WantedPast},
};
use crate::broadcast::{hub::ViewerId, wire_frame::WireFrame};

/// The highest speed of a playback: an hour a second.
pub const MAX_SPEED: u32 = 3_600;

/// What a player has for its viewer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Played {
    /// The viewer.
    pub id: ViewerId,
    /// What it is sent.
    pub what: PlayedFrame,
}

/// A frame of a playback, or its end.
pub enum PlayedFrame {
    /// The next frame.
    Frame(WireFrame),
    /// There is no further one, for this reason.
    End(CloseCode, &'static str),
}

/// Where players send what they have.
pub type Projector = Recipient<Played>;
