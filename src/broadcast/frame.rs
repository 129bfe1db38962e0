//! The frames of the stream as JSON. This file only says what they look like; `timeline.rs`
//! decides what is in them and when they are sent.

use serde::Serialize;

use crate::{
    broadcast::wire_frame::WireFrame,
    domain::{
        access::Sight, alert::Firing, mark::PublicMark, metric::REVENUE, money::Amount,
        time::Millis, totals::Totals,
    },
    numbers::{AlertsShown, Current, MarksShown, current, moment::Resolution},
};

/// Totals of one second or minute.
#[derive(Serialize)]
pub struct TimeBucket {
    /// When it begins, Unix ms.
    timestamp: Millis,
    #[serde(serialize_with = "current::counts")]
    counts: Totals,
    revenue: Amount,
}

impl TimeBucket {
    /// What somebody sees of the bucket that begins at `timestamp`.
    pub fn seen_by(sight: Sight, timestamp: Millis, counts: Totals) -> TimeBucket {
        TimeBucket { timestamp, revenue: current::revenue_of(&counts, sight), counts }
    }
}

/// What is hidden of the fields of a frame, and of its seconds and minutes, from who may not see money.
/// Such a field is 0.
const HIDDEN: &[&str] = &[REVENUE];

/// The whole state at one moment. A viewer replaces everything that it has with it.
#[derive(Serialize)]
#[serde(tag = "type", rename = "snapshot", rename_all = "camelCase")]
pub struct SnapshotFrame<'a> {
    /// The frame after which the state is this one: the next delta has `seq` + 1.
    pub seq: u64,
    /// The name of this run of the stream, for `?resume=`: a restarted server counts frames
    /// from 0 again.
    pub epoch: &'a str,
    /// Always empty. The totals are in `snapshot`; the plainest client just adds up the `counts`
    /// of all frames, and this one adds nothing.
    pub counts: Empty,
    /// Always 0, for the same reason.
    pub revenue: u8,
    /// Unix ms.
    pub timestamp: Millis,
    /// How long the numbers have stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
    /// The alerts that fire.
    pub alerts: Firings<'a>,
    /// The marks of the last day; left out of a playback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<RecentMarks<'a>>,
    /// Where a playback is; left out of the live stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playback: Option<Playback>,
    /// Which fields are hidden. What is hidden of the state stands in `snapshot`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub hidden: &'static [&'static str],
    /// The state.
    pub snapshot: Snapshot,
}

/// Where a playback is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Playback {
    /// Seconds of the past in a second; 0 is a pause.
    pub speed: u32,
    /// Up to which moment is counted, Unix ms.
    pub as_of: Millis,
    /// How closely that is known.
    pub resolution: Resolution,
}

/// Why something is not done.
#[derive(Serialize)]
pub struct FrameError<'a> {
    /// The code, as of answers over HTTP.
    pub code: &'static str,
    /// What is wrong.
    pub message: &'a str,
}

/// All alerts that fire. They replace those that a viewer knows.
#[derive(Serialize)]
pub struct Firings<'a> {
    /// Grows with each change, so it is higher than in any earlier frame with alerts.
    pub version: u64,
    /// As in `GET /api/analytics/alerts`.
    pub firing: &'a [Firing],
}

impl<'a> From<&'a AlertsShown> for Firings<'a> {
    fn from(shown: &'a AlertsShown) -> Firings<'a> {
        Firings { version: shown.version, firing: &shown.firing }
    }
}

/// The marks of the last day. They replace those that a viewer knows.
#[derive(Serialize)]
pub struct RecentMarks<'a> {
    /// Grows with each change, so it is higher than in any earlier frame with marks.
    pub version: u64,
    /// The newest first. All viewers of a sight share a frame, so it has only what all of them may see.
    pub recent: Vec<PublicMark<'a>>,
}

impl<'a> From<&'a MarksShown> for RecentMarks<'a> {
    fn from(shown: &'a MarksShown) -> RecentMarks<'a> {
        RecentMarks {
            version: shown.version,
            recent: shown.recent.iter().map(PublicMark::from).collect(),
        }
    }
}

/// An empty object, `{}`.
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

/// What was added since the previous frame.
#[derive(Serialize)]
#[serde(tag = "type", rename = "delta", rename_all = "camelCase")]
pub struct DeltaFrame<'a> {
    /// One more than in the previous frame.
    pub seq: u64,
    /// Increments of today's counts.
    #[serde(serialize_with = "current::counts")]
    pub counts: Totals,
    /// Increment of today's revenue.
    pub revenue: Amount,
    /// Distinct visitors of the active window. This is the number itself, not an increment; null where it is not
    /// known, as of some moments of the past.
    pub active_users: Option<u64>,
    /// Unix ms.
    pub timestamp: Millis,
    /// How long the numbers have stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<Millis>,
    /// The alerts that fire, if that has changed since the previous frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Firings<'a>>,
    /// The marks of the last day, if they have changed since the previous frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marks: Option<RecentMarks<'a>>,
    /// Where a playback is; left out of the live stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playback: Option<Playback>,
    /// Why a playback does not do what its viewer has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<FrameError<'a>>,
    /// Increments of single seconds, for events of the last 60 seconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<TimeBucket>,
    /// Increments of minutes, for events of the last hour that are older than those seconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minutes: Vec<TimeBucket>,
    /// Which fields are hidden.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub hidden: &'static [&'static str],
}

/// The fields that are hidden from a sight.
pub fn hidden(sight: Sight) -> &'static [&'static str] {
    if sight.sees_money() { &[] } else { HIDDEN }
}

/// Serialises a frame. This happens once for each sight; all viewers of the sight share the result.
pub fn write(frame: &impl Serialize) -> WireFrame {
    let json = serde_json::to_string(frame).expect("maps with string keys always serialise");
    WireFrame::new(&json)
}
