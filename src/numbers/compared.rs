//! Which part of a bucket is compared with which part of another day.

use crate::{
    domain::time::{BusinessZone, DAY, MINUTE, Millis, bucket},
    numbers::Shift,
};

/// A bucket of today, and which part of it is compared with another day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    /// The start of the bucket.
    pub from: Millis,
    /// The end of the bucket; of one in progress, the last full minute, since baselines are known by minute.
    pub to: Millis,
    /// Whether the whole bucket has the length of a day, or more.
    is_long: bool,
}

impl Compared {
    /// The buckets between two `starts`, as they are compared at `now` (Unix ms).
    pub fn all(starts: &[Millis], now: Millis) -> Vec<Compared> {
        let compared = |pair: &[Millis]| {
            let (from, end) = (pair[0], pair[1]);
            let to = match is_in_progress(pair, now) {
                // A minute can't be compared in part, so it is compared as a whole.
                true if end - from > MINUTE => bucket(now, MINUTE).max(from),
                _ => end,
            };
            Compared { from, to, is_long: end - from >= DAY / 2 }
        };
        starts.windows(2).map(compared).collect()
    }

    /// Where it lies on another day.
    pub fn then(self, zone: &BusinessZone, shift: Shift) -> (Millis, Millis) {
        let from = shift.then(self.from, zone);
        // A bucket of a day is compared with the whole other day, of 23, 24 or 25 hours. A shorter
        // bucket is compared with one of the same length, also where the clock is set in it.
        match self.is_long {
            false => (from, from + (self.to - self.from)),
            // The day after 28 February may be the 29th, which has no day of its own in the year before: so the
            // last moment of the bucket is looked for, rather than the first one after it.
            true if self.to > self.from => (from, shift.then(self.to - 1, zone) + 1),
            true => (from, from),
        }
    }
}

/// Whether `now` (Unix ms) lies between two starts.
pub(super) fn is_in_progress(pair: &[Millis], now: Millis) -> bool {
    pair[0] <= now && now < pair[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{HOUR, parse_rfc3339};

    #[test]
    fn a_bucket_in_progress_is_compared_up_to_the_same_moment() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let at = |text: &str| parse_rfc3339(text).unwrap();
        let now = at("2026-11-27T15:30:20+01:00");
        let day = zone.day_of(now);
        let day_before = zone.day_of(day.start - HOUR);
        let [before, today] = Compared::all(&[day_before.start, day.start, day.end], now)[..]
        else {
            panic!("there are two buckets");
        };
        let week_ago = at("2026-11-20T15:30:00+01:00");
        assert_eq!(today.then(&zone, Shift::LastWeek).1, week_ago);
        assert_eq!(before.then(&zone, Shift::LastWeek).1, zone.day_of(week_ago).start);
        let (hour, end) = zone.hour_of(now);
        let compared = Compared::all(&[hour, end], now)[0];
        assert_eq!(compared.then(&zone, Shift::LastWeek), (week_ago - HOUR / 2, week_ago));
        // A day in progress on which the clock was set back is compared by the clock on the wall.
        let now = at("2026-10-25T15:30:00+01:00");
        let day = zone.day_of(now);
        let compared = Compared::all(&[day.start, day.end], now)[0];
        assert_eq!(compared.then(&zone, Shift::Yesterday).1, at("2026-10-24T15:30:00+02:00"));
        // Both 28 and 29 February are compared with the 28th of the year before.
        let [february, march] = ["2028-02-28T00:00:00+01:00", "2028-03-02T00:00:00+01:00"].map(at);
        let starts: Vec<_> = (february..=march).step_by(DAY as usize).collect();
        let then = Compared::all(&starts, march + DAY);
        let then: Vec<_> = then.iter().map(|it| it.then(&zone, Shift::LastYear)).collect();
        let day = at("2027-02-28T00:00:00+01:00");
        let next = (day + DAY, day + 2 * DAY);
        assert_eq!(then, [(day, day + DAY), (day, day + DAY), next]);
        // A minute can't be compared in part.
        let minute = bucket(now, MINUTE);
        let compared = Compared::all(&[minute, minute + MINUTE], now)[0];
        assert_eq!(compared.to, minute + MINUTE);
    }
}
