//! What may be wrong with a history.

use std::fmt;

use super::Moment;
use crate::support::sums::Sums;

/// A rule that a history breaks, with what breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Events that were answered with 202 have no row; each with the sender who was told so.
    NotStored(Vec<(u64, String)>),
    /// Events have several rows.
    StoredTwice(Vec<u64>),
    /// Events have a row though they were never sent, or every request with them was refused.
    NeverTaken(Vec<u64>),
    /// At rest, somebody shows more than the rows add up to.
    CountedTwice { who: String, shows: Sums, rows: Sums },
    /// At rest, somebody shows less than the rows add up to.
    NotCounted { who: String, shows: Sums, rows: Sums },
    /// Totals of one day went down, and did not say that they were old.
    WentDown { who: String, at: Moment, from: Sums, to: Sums },
    /// Totals were above what had been sent by then.
    AboveSent { who: String, at: Moment, shows: Sums, sent: Sums },
    /// Totals that did not say that they were old were below what had been answered and was settled.
    BelowSettled { who: String, at: Moment, shows: Sums, settled: Sums },
    /// A frame does not follow the one before it.
    FrameMissing { viewer: String, after: Option<u64>, seq: u64 },
    /// Snapshot and deltas don't add up to what the viewer says that it shows in the end.
    FramesDiffer { viewer: String, frames: Sums, shows: Sums },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::NotStored(events) => {
                write!(f, "{} events answered with 202 have no row: {}", events.len(), few(events))
            }
            Broken::StoredTwice(events) => {
                write!(f, "{} events have several rows: {}", events.len(), few(events))
            }
            Broken::NeverTaken(events) => {
                write!(f, "{} events have a row and were not taken: {}", events.len(), few(events))
            }
            Broken::CountedTwice { who, shows, rows } => {
                write!(f, "at rest {who} shows more than the rows: {shows:?}, {rows:?}")
            }
            Broken::NotCounted { who, shows, rows } => {
                write!(f, "at rest {who} shows less than the rows: {shows:?}, {rows:?}")
            }
            Broken::WentDown { who, at, from, to } => {
                write!(f, "{who} went down at {at} ms without behindMs: {from:?} to {to:?}")
            }
            Broken::AboveSent { who, at, shows, sent } => {
                write!(f, "{who} showed more at {at} ms than was sent: {shows:?}, sent {sent:?}")
            }
            Broken::BelowSettled { who, at, shows, settled } => {
                write!(
                    f,
                    "{who} showed less at {at} ms than was settled, without behindMs: {shows:?}, \
                     settled {settled:?}"
                )
            }
            Broken::FrameMissing { viewer, after, seq } => {
                write!(f, "{viewer} got frame {seq} after {after:?}")
            }
            Broken::FramesDiffer { viewer, frames, shows } => {
                write!(f, "the frames of {viewer} add up to {frames:?}, it shows {shows:?}")
            }
        }
    }
}

/// The first few of them.
fn few<T: fmt::Debug>(events: &[T]) -> String {
    format!("{:?}", &events[..events.len().min(5)])
}
