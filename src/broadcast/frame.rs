//! The frames, as JSON text (DESIGN section 4). Pure: what is given is written.

use serde::Serialize;

use crate::{
    broadcast::{
        AlertsShown,
        view::{self, Current},
        wire_frame::WireFrame,
    },
    domain::{alert::Firing, money::Amount, time::Millis},
    live::state::Totals,
};

/// Totals of one second or minute.
#[derive(Serialize)]
pub struct TimeBucket {
    timestamp: Millis,
    #[serde(serialize_with = "view::counts")]
    counts: Totals,
    revenue: Amount,
}

impl From<(Millis, Totals)> for TimeBucket {
    fn from((timestamp, counts): (Millis, Totals)) -> TimeBucket {
        TimeBucket { timestamp, revenue: counts.revenue(), counts }
    }
}

/// Everything at one moment: a viewer replaces all it has with it.
#[derive(Serialize)]
#[serde(tag = "type", rename = "snapshot", rename_all = "camelCase")]
pub struct SnapshotFrame<'a> {
    /// The frame that this is the state of.
    pub seq: u64,
    /// Names this run of the stream, for `?resume=`.
    pub epoch: &'a str,
    /// Always empty: the totals are in `snapshot`, and the plainest client adds these up.
    pub counts: Empty,
    /// Always 0, for the same reason.
    pub revenue: u8,
    /// Unix ms.
    pub timestamp: Millis,
    /// How long the numbers have stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
    /// What fires.
    pub alerts: Firings<'a>,
    /// The state.
    pub snapshot: Snapshot,
}

/// The alerts that fire: all of them, in place of those that a viewer knows.
#[derive(Serialize)]
pub struct Firings<'a> {
    /// Higher than in the frame before that had them.
    pub version: u64,
    /// As in `GET /api/analytics/alerts`.
    pub firing: &'a [Firing],
}

impl<'a> From<&'a AlertsShown> for Firings<'a> {
    fn from(shown: &'a AlertsShown) -> Firings<'a> {
        Firings { version: shown.version, firing: &shown.firing }
    }
}

/// `{}`
#[derive(Serialize)]
pub struct Empty {}

/// The state in a snapshot frame.
#[derive(Serialize)]
pub struct Snapshot {
    /// Every field of `/current`.
    #[serde(flatten)]
    pub current: Current,
    /// The last 60 seconds, oldest first, the last one in progress.
    pub seconds: Vec<TimeBucket>,
    /// The last 60 minutes, likewise.
    pub minutes: Vec<TimeBucket>,
}

/// What was added since the frame before.
#[derive(Serialize)]
#[serde(tag = "type", rename = "delta", rename_all = "camelCase")]
pub struct DeltaFrame<'a> {
    /// One more than the frame before.
    pub seq: u64,
    /// Increments of today's counts.
    #[serde(serialize_with = "view::counts")]
    pub counts: Totals,
    /// Increment of today's revenue.
    pub revenue: Amount,
    /// Distinct visitors of the window (a state, no increment).
    pub active_users: u64,
    /// Unix ms.
    pub timestamp: Millis,
    /// How long the numbers have stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
    /// What fires, where this has changed since the frame before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Firings<'a>>,
    /// Increments of single seconds, of the last 60.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<TimeBucket>,
    /// Increments of minutes, for events of the last hour older than that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minutes: Vec<TimeBucket>,
}

/// Serialises once; every viewer then shares it.
pub fn write(frame: &impl Serialize) -> WireFrame {
    let json = serde_json::to_string(frame).expect("maps with string keys always serialise");
    WireFrame::new(&json)
}
