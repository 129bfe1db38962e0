//! Numbers: the one place that answers what was counted in a span of time.
//!
//! A number is the sum of a series over `[from, to)`: over the seconds and minutes that start in
//! it, or over a whole business day. A metric is made of such sums ([`crate::domain::metric`]).
//! Routes, alerts, the test of alerts on the past, and the stream all ask here, so the same
//! question has the same answer everywhere.
//!
//! | file | what it answers, and from where |
//! | --- | --- |
//! | [`mirror`] | this node's copy of all counters: everybody reads it, the broadcaster alone writes it |
//! | [`freshness`] | since when the numbers stand still, and how far counting is behind |
//! | [`lateness`] | how late events arrive, by series, and so where a window of alerts can end |
//! | [`current`] | today's totals, and the last seconds and minutes (the mirror) |
//! | [`span`] | the sums of any `[from, to)`, for metrics and alerts (the mirror, or minutes of the past) |
//! | [`series`] | a time series (the mirror, the rollups, the baselines); [`interval`] cuts it into buckets |
//! | `different` | how many different values a bucket has (the sketches of the store) |
//! | [`breakdown`] | the most frequent values of a property, with their error bound (the mirror) |
//! | [`baseline`] | the same moment yesterday and last week, held in memory by [`baseline_reader`] |
//! | [`past`] | what the rollups of the store say of any time |
//! | [`moment`] | what was true at a moment of the past (the mirror, the rollups, the events) |
//! | [`pace`] | how a metric is doing against what it is to come to, and where it will end |
//! | [`playback`] | the past as it went by, step by step (the same places) |
//! | [`alerts`] | what is shown of the alerts beside the numbers |
//! | [`marks`] | what is shown of the marks beside the numbers |
//! | `mark_effects` | what marks have done to the numbers (the mirror, the rollups) |
//!
//! Nothing here knows who asks. Numbers are returned as values; answers over HTTP, frames of the
//! stream and the texts of alerts are made of them elsewhere.

pub mod alerts;
pub mod baseline;
pub mod baseline_reader;
pub mod breakdown;
mod compared;
pub mod current;
mod different;
mod error;
pub mod freshness;
pub mod interval;
pub mod lateness;
mod mark_effects;
pub mod marks;
pub mod mirror;
pub mod moment;
pub mod pace;
pub mod past;
pub mod playback;
pub mod series;
pub mod span;
mod what;

pub use self::{
    alerts::{Alerts, AlertsShown},
    baseline::{Baselines, Shift},
    baseline_reader::BaselineReader,
    current::Current,
    error::Unavailable,
    interval::Interval,
    lateness::Lateness,
    mark_effects::{MarkEffect, MarkEffects},
    marks::{MarkDesk, Marks, MarksShown},
    mirror::{Clock, Mirror, MirrorWriter, real_clock},
    moment::{AtMoment, PastMoments},
    pace::{PaceReader, TargetPace},
    past::{Minutes, Past},
    series::{Point, SeriesQuery, TimeSeries},
    span::{Spans, Sums},
    what::What,
};
