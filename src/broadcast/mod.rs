//! Fan-out: one stream of frames, sent to every viewer.
//!
//! ```text
//!  live::Feed ──> Broadcaster ──> Mirror (read by everybody)
//!  Counted ─────>  │ timeline: merges a tick's deltas into one frame, serialised once a sight
//!                  │ history:  the last frames, for ?resume=
//!                  └ hub:      who takes a frame, who gets a snapshot, who is evicted
//!                       │ Deliver (bounded, never waits)
//!                       └──> session: one a WebSocket, holds a permit, on the HTTP workers' threads
//! ```
//!
//! The invariants, and where they are tested:
//! - The broadcaster alone writes the mirror: it has the one [`crate::numbers::MirrorWriter`].
//! - A snapshot of frame `n` plus the frames after `n` gives the current state; nothing is lost
//!   and nothing counted twice (`timeline`, by proptest).
//! - A change of the alerts is in the next frame, so a resumed viewer gets it with the frames
//!   that it missed; a snapshot has all alerts that fire (`timeline`, `tests/alerts`).
//! - A resumed viewer sees each frame once (`history`, by proptest; `tests/server/stream/`).
//! - A viewer that does not read holds at most `stream.mailbox_frames` frames, one write
//!   buffer and the kernel's send buffer; it is told 1013 after `stream.slow_timeout_ms` (or
//!   1008 after `stream.silence_timeout_ms`), and cut `stream.close_timeout_ms` later. No other
//!   viewer waits for it (`hub`, `tests/server/stream/`).
//! - A frame is the same for all who see the same, and deflated where that was agreed on (`wire_frame`, `deflate`;
//!   `tests/server/stream/`, and in Chromium `dashboard/test/e2e.test.mjs`).
//! - A viewer's write buffer never grows beyond its first 8 KiB (`pieces`,
//!   `load-tests/fanout.sh`).
//! - The frames of a playback add up to what `/at` says of each moment (`playback`,
//!   `tests/server/stream/playback.rs`).
//! - A server that stops tells every viewer that reads (1001), and lets nobody in meanwhile
//!   (`tests/server/stream/`).

mod broadcaster;
mod by_sight;
mod connection;
mod deflate;
mod frame;
mod history;
mod hub;
mod inbound;
mod pass;
mod permit;
mod pieces;
mod playback;
mod session;
pub mod subprotocol;
mod timeline;
mod viewers;
mod wire_frame;

pub use broadcaster::{Broadcaster, Shutdown};
pub use connection::{ConnectionHandle, ConnectionSocket, SocketBudget};
pub use pass::Pass;
pub use permit::AcquireError;
pub use pieces::WRITE_BUFFER_BYTES;
pub use playback::MAX_SPEED;
pub use session::ViewerSession;
pub use viewers::{PlaybackAsked, Viewers, WatchAsked, start};

use std::{sync::OnceLock, time::Instant};

/// Milliseconds on a clock that never steps. Timeouts are measured with it, so that setting
/// the wall clock closes no viewer.
fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Registers the help texts of this folder's metrics. Call once the recorder is installed.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!(VIEWERS, "WebSocket viewers on this node");
    describe_counter!(
        VIEWER_EVICTIONS,
        "Viewers closed because they could not keep up or had gone silent"
    );
    describe_histogram!(
        INGEST_TO_VIEWER,
        Unit::Seconds,
        "From the seal of the oldest batch in a frame to the frame's sending"
    );
    describe_gauge!(
        BUSINESS,
        "Today's totals over all nodes; back to 0 at the business zone's midnight"
    );
    describe_gauge!(
        BUSINESS_TODAY,
        "Today's totals over all nodes; back to 0 at the business zone's midnight"
    );
    describe_gauge!(
        ACTIVE_USERS,
        "Distinct visitors of the last live.active_window_s seconds, over all nodes"
    );
}

const VIEWERS: &str = "floodmark_viewers";
const VIEWER_EVICTIONS: &str = "floodmark_viewer_evictions_total";
const INGEST_TO_VIEWER: &str = "floodmark_ingest_to_viewer_seconds";
const BUSINESS: &str = "floodmark_business_total";
const BUSINESS_TODAY: &str = "floodmark_business_today";
const ACTIVE_USERS: &str = "floodmark_active_users";
const ACTIVE_USERS_APPROXIMATE: &str = "floodmark_active_users_approximate";
const SECONDS_WINDOW: &str = "floodmark_seconds_window_seconds";
const BREAKDOWNS_WINDOW: &str = "floodmark_breakdowns_window_seconds";
const BREAKDOWN_BYTES: &str = "floodmark_breakdown_bytes";
