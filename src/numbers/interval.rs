//! How a time series is cut into buckets. Hours and days are those of the business zone, so a day
//! has 23 or 25 hours where its clock is set.

use crate::{
    domain::time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, bucket},
    live::counters::SECONDS_KEPT,
};

/// The width of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// A second. Only the last hour is kept by the second, in the mirror.
    Second,
    /// A minute, which is the unit of the mirror and of the rollups.
    Minute,
    /// An hour of the business zone, counted from the start of its day.
    Hour,
    /// A day of the business zone.
    Day,
}

impl Interval {
    /// The bucket that a moment (Unix ms) falls into: start and end.
    pub fn around(self, at: Millis, zone: &BusinessZone) -> (Millis, Millis) {
        let even = |width| (bucket(at, width), bucket(at, width) + width);
        match self {
            Interval::Second => even(SECOND),
            Interval::Minute => even(MINUTE),
            Interval::Hour => {
                let day = zone.day_of(at);
                let start = day.start + bucket(at - day.start, HOUR);
                (start, (start + HOUR).min(day.end))
            }
            Interval::Day => {
                let day = zone.day_of(at);
                (day.start, day.end)
            }
        }
    }

    /// Its usual length in ms. On a day on which the clock is set, a day or its last hour is
    /// longer or shorter.
    pub fn nominal(self) -> Millis {
        match self {
            Interval::Second => SECOND,
            Interval::Minute => MINUTE,
            Interval::Hour => HOUR,
            Interval::Day => DAY,
        }
    }

    /// The start of the oldest bucket of which everything is kept at `now` (Unix ms); `None`
    /// where everything is kept for good.
    pub fn oldest(self, now: Millis) -> Option<Millis> {
        let kept = now - SECONDS_KEPT;
        (self == Interval::Second).then(|| kept + (SECOND - 1) - (kept + SECOND - 1) % SECOND)
    }

    /// Where the buckets of `[from, to)` start, followed by where the last one ends. `from` has to
    /// be the start of a bucket.
    pub fn starts(self, from: Millis, to: Millis, zone: &BusinessZone) -> Vec<Millis> {
        let mut starts = vec![from];
        let mut start = from;
        while start < to {
            start = match self {
                Interval::Second | Interval::Minute => start + self.nominal(),
                Interval::Hour | Interval::Day => self.around(start, zone).1,
            };
            starts.push(start);
        }
        starts
    }

    /// Where a row of buckets starts that ends at `end` and is `span` ms long, rounded up to whole
    /// buckets.
    pub fn steps_back(self, end: Millis, span: Millis, zone: &BusinessZone) -> Millis {
        let buckets = (span + self.nominal() - 1) / self.nominal();
        match self {
            Interval::Second | Interval::Minute => end - buckets * self.nominal(),
            Interval::Hour | Interval::Day => {
                (0..buckets).fold(end, |end, _| self.around(end - 1, zone).0)
            }
        }
    }
}
