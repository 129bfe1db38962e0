//! How a time series is cut into buckets. Hours, days, weeks and months are those of the business zone,
//! so a day has 23 or 25 hours where its clock is set.

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
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour. In every zone midnight lies between two of them.
    QuarterHour,
    /// An hour as the clock of the business zone shows it.
    Hour,
    /// A day of the business zone.
    Day,
    /// Its week, from Monday on.
    Week,
    /// Its month.
    Month,
}

impl Interval {
    /// All of them, with the names that queries have for them.
    pub const NAMED: [(&str, Interval); 8] = [
        ("1s", Interval::Second),
        ("1m", Interval::Minute),
        ("5m", Interval::FiveMinutes),
        ("15m", Interval::QuarterHour),
        ("1h", Interval::Hour),
        ("1d", Interval::Day),
        ("1w", Interval::Week),
        ("1mo", Interval::Month),
    ];

    /// Whether all buckets are equally long, wherever the zone's clock is set.
    fn is_even(self) -> bool {
        use Interval::{FiveMinutes, Minute, QuarterHour, Second};
        matches!(self, Second | Minute | FiveMinutes | QuarterHour)
    }

    /// The bucket that a moment (Unix ms) falls into: start and end.
    pub fn around(self, at: Millis, zone: &BusinessZone) -> (Millis, Millis) {
        match self {
            Interval::Second | Interval::Minute | Interval::FiveMinutes | Interval::QuarterHour => {
                let start = bucket(at, self.nominal());
                (start, start + self.nominal())
            }
            Interval::Hour => zone.hour_of(at),
            Interval::Week => zone.week_of(at),
            Interval::Month => zone.month_of(at),
            Interval::Day => {
                let day = zone.day_of(at);
                (day.start, day.end)
            }
        }
    }

    /// Its usual length in ms. Where the clock is set, an hour, a day and what has that day are longer or
    /// shorter, and a month has 28 to 31 days.
    pub fn nominal(self) -> Millis {
        match self {
            Interval::Second => SECOND,
            Interval::Minute => MINUTE,
            Interval::FiveMinutes => 5 * MINUTE,
            Interval::QuarterHour => 15 * MINUTE,
            Interval::Hour => HOUR,
            Interval::Day => DAY,
            Interval::Week => 7 * DAY,
            Interval::Month => 30 * DAY,
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
            start = match self.is_even() {
                true => start + self.nominal(),
                false => self.around(start, zone).1,
            };
            starts.push(start);
        }
        starts
    }

    /// Where a row of buckets starts that ends at `end` and is `span` ms long, rounded up to whole
    /// buckets.
    pub fn steps_back(self, end: Millis, span: Millis, zone: &BusinessZone) -> Millis {
        let buckets = (span + self.nominal() - 1) / self.nominal();
        match self.is_even() {
            true => end - buckets * self.nominal(),
            false => (0..buckets).fold(end, |end, _| self.around(end - 1, zone).0),
        }
    }
}
