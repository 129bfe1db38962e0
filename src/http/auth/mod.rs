//! Who a request is from: write keys ([`WriteKeys`]) say who may send events, the guard of viewers
//! ([`ViewerGuard`]) says who reads and what they see. Both know those whom the configuration names and
//! those of the book ([`crate::access`]).
//!
//! Handlers don't check them. The scope in which a route hangs does ([`crate::http::scope`]).

pub mod cookie;
mod secrets;
mod sender;
mod viewers;
mod write_keys;

pub use sender::EventSender;
pub use viewers::{Need, Principal, ViewerGuard, WhoReads, hidden, of_our_page};
pub use write_keys::{Offer, WriteAccess, WriteKeys, usual_write_keys};

use crate::http::error::ApiError;

/// Seconds after which a node that knows nobody yet may know more.
const KNOWS_AFTER: u32 = 2;

/// The refusal of a node that has not read yet who has access.
pub fn nobody_known() -> ApiError {
    ApiError::unavailable(
        "access_unknown",
        "the store does not answer, and it alone says who has access",
        KNOWS_AFTER,
    )
}
