//! Hours, weeks and months of a business time zone.

use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime},
};

use super::{BusinessDay, BusinessZone, EARLIEST, HOUR, LATEST, Millis, SECOND, bucket};

impl BusinessZone {
    /// The hour that the clock on the wall shows at a moment: start and end. It is cut where the clock is
    /// set by a part of an hour, so that the next one begins at a full hour again: on Lord Howe Island, where
    /// summer time is half an hour, an hour has 30 minutes then, or comes once more with 30.
    pub fn hour_of(&self, at: Millis) -> (Millis, Millis) {
        let at = at.clamp(EARLIEST, LATEST);
        let moment = |at| Timestamp::from_millisecond(at).expect("clamped into jiff's range");
        let offset = |at: Timestamp| Millis::from(self.zone.to_offset(at).seconds()) * SECOND;
        let ours = offset(moment(at));
        let start = bucket(at + ours, HOUR) - ours;
        // What changes no offset, such as the name of a zone, cuts no hour.
        let set = |turn: &Timestamp| {
            let before = turn.as_millisecond() - 1;
            before >= EARLIEST && offset(moment(before)) != offset(*turn)
        };
        let last = self.zone.preceding(moment(at + 1)).map(|turn| turn.timestamp()).find(set);
        let next = self.zone.following(moment(at)).map(|turn| turn.timestamp());
        let next = next.take_while(|turn| turn.as_millisecond() < start + HOUR).find(set);
        let started = last.map_or(start, |turn| start.max(turn.as_millisecond()));
        (started, next.map_or(start + HOUR, |turn| turn.as_millisecond()))
    }

    /// The week of a moment, from Monday to Monday: start and end.
    pub fn week_of(&self, at: Millis) -> (Millis, Millis) {
        let day = self.day_of(at);
        let days = i64::from(day.date.weekday().to_monday_zero_offset());
        self.dates(day, day.date.checked_sub(Span::new().days(days)), Span::new().days(7))
    }

    /// The month of a moment: start and end.
    pub fn month_of(&self, at: Millis) -> (Millis, Millis) {
        let day = self.day_of(at);
        self.dates(day, Ok(day.date.first_of_month()), Span::new().months(1))
    }

    /// The moment at which the clock on the wall shows this date and time, `2025-11-28T06:00`; `None` where it is
    /// none. If it shows it twice, it is the first of the two; if it skips it, the moment an hour on.
    pub fn moment_on_wall(&self, text: &str) -> Option<Millis> {
        let time: DateTime = text.parse().ok().filter(|_| text.contains('T'))?;
        let moment = time.to_zoned_datetime(self.zone.clone()).ok()?.timestamp().as_millisecond();
        (EARLIEST..=LATEST).contains(&moment).then_some(moment)
    }

    /// Where the days from `first` on begin and end; at the ends of time, the day itself.
    fn dates(
        &self,
        day: BusinessDay,
        first: Result<Date, jiff::Error>,
        long: Span,
    ) -> (Millis, Millis) {
        let start = first.as_ref().ok().and_then(|first| self.start_of(*first));
        let end = first.and_then(|first| first.checked_add(long)).ok();
        let end = end.and_then(|end| self.start_of(end));
        (start.unwrap_or(day.start), end.unwrap_or(day.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::parse_rfc3339;

    #[test]
    fn hours_are_those_of_the_wall_also_after_half_an_hour() {
        let zone = BusinessZone::named("Australia/Lord_Howe").unwrap();
        let at = |text| parse_rfc3339(text).unwrap();
        // On 4 October 2026 two o'clock was half past two: ten and a half hours ahead became eleven.
        for (moment, start, end) in [
            ("2026-10-04T01:10:00+10:30", "2026-10-04T01:00:00+10:30", "2026-10-04T02:00:00+10:30"),
            ("2026-10-04T02:40:00+11:00", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"),
            ("2026-10-04T15:45:00+11:00", "2026-10-04T15:00:00+11:00", "2026-10-04T16:00:00+11:00"),
            // On 5 April two o'clock was half past one again.
            ("2026-04-05T01:40:00+11:00", "2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+11:00"),
            ("2026-04-05T01:40:00+10:30", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30"),
            ("2026-04-05T15:45:00+10:30", "2026-04-05T15:00:00+10:30", "2026-04-05T16:00:00+10:30"),
        ] {
            assert_eq!(zone.hour_of(at(moment)), (at(start), at(end)), "{moment}");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let at = |text| parse_rfc3339(text).unwrap();
        let sunday = at("2026-10-25T22:30:00Z");
        let week = (at("2026-10-18T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        assert_eq!(zone.week_of(sunday), week);
        assert_eq!(zone.week_of(week.0), week);
        assert_eq!(zone.month_of(sunday), (at("2026-09-30T22:00:00Z"), at("2026-10-31T23:00:00Z")));
        assert_eq!(zone.day_named("2026-10-25").map(|day| day.end - day.start), Some(25 * HOUR));
        for wrong in ["2026-02-30", "yesterday", "2026-10-25T10:00", "20261025", "1969-01-01", ""] {
            assert_eq!(zone.day_named(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// Hours, weeks and months of any zone lie side by side, and an hour shows one hour of the wall.
        #[test]
        fn buckets_of_a_zone_lie_side_by_side(
            zone in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
                "Africa/Casablanca", "Pacific/Apia", "America/Santiago",
            ]),
            at in 1_000_000_000_000..2_000_000_000_000i64,
        ) {
            let zone = BusinessZone::named(zone).unwrap();
            let of = [BusinessZone::hour_of, BusinessZone::week_of, BusinessZone::month_of];
            for of in of {
                let (start, end) = of(&zone, at);
                prop_assert!(start <= at && at < end);
                prop_assert_eq!(of(&zone, start), (start, end));
                prop_assert_eq!(of(&zone, end - 1), (start, end));
                prop_assert_eq!(of(&zone, end).0, end);
            }
            let (start, end) = zone.hour_of(at);
            let hour = |at| zone.time_of_day(at) / HOUR;
            prop_assert!(end - start <= HOUR && hour(start) == hour(at) && hour(end - 1) == hour(at));
        }
    }
}
