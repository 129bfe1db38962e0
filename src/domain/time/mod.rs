//! Moments and days. A moment is Unix milliseconds (`i64`), a bucket is named by the
//! moment it starts at, and a business day is a calendar day of the business time zone.

mod calendar;

use std::{
    borrow::Cow,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

/// Unix milliseconds.
pub type Millis = i64;

/// Microseconds of a millisecond, and nanoseconds of a microsecond.
pub const MICROS_PER_MILLI: i64 = 1_000;
/// One second, in milliseconds.
pub const SECOND: Millis = 1_000;
/// One minute, in milliseconds.
pub const MINUTE: Millis = 60 * SECOND;
/// One hour, in milliseconds.
pub const HOUR: Millis = 60 * MINUTE;
/// One day of 24 hours, in milliseconds.
pub const DAY: Millis = 24 * HOUR;

/// How far in the future a corrected event time may lie before it is clamped to the
/// received time.
pub const MAX_FUTURE: Millis = 5 * MINUTE;

/// The earliest moment an event may carry: 1970-01-01.
pub const EARLIEST: Millis = 0;
/// The latest moment an event may carry: 9999-12-31T00:00:00Z.
pub const LATEST: Millis = 253_402_214_400_000;

/// The one clock: the moment now, in Unix milliseconds.
pub fn now_ms() -> Millis {
    #[cfg(test)]
    if let Some(at) = simulated::wall() {
        return at;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(LATEST)
}

/// The moment now by the clock that measures how long something takes. It never goes back.
pub fn instant() -> Instant {
    #[cfg(test)]
    if let Some(at) = simulated::instant() {
        return at;
    }
    Instant::now()
}

/// The clocks as the simulation sets them, for this thread.
#[cfg(test)]
pub mod simulated {
    use std::{
        cell::Cell,
        sync::LazyLock,
        time::{Duration, Instant},
    };

    use super::Millis;

    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

    thread_local! {
        static CLOCKS: Cell<Option<(Millis, Duration)>> = const { Cell::new(None) };
    }

    /// From now on the wall shows `wall` (Unix ms), and `passed` has passed since the beginning.
    pub fn set(wall: Millis, passed: Duration) {
        CLOCKS.set(Some((wall, passed)));
    }

    /// The system's clocks are in force again.
    pub fn end() {
        CLOCKS.set(None);
    }

    pub(super) fn wall() -> Option<Millis> {
        CLOCKS.get().map(|(wall, _)| wall)
    }

    pub(super) fn instant() -> Option<Instant> {
        CLOCKS.get().map(|(_, passed)| *BEGAN + passed)
    }
}

/// A clock for windows of time, such as the one in which an id counts once. It begins at the
/// system clock's time and then passes evenly, whatever jumps the system clock makes.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    began: Instant,
    at: Millis,
}

impl Steady {
    /// Begins at `now`, Unix ms.
    pub fn begin(now: Millis) -> Steady {
        Steady { began: instant(), at: now }
    }

    /// The moment now.
    pub fn now(&self) -> Millis {
        self.at + i64::try_from((instant() - self.began).as_millis()).unwrap_or(LATEST - self.at)
    }
}

/// The start of the bucket of `width` ms that `at` falls into.
pub fn bucket(at: Millis, width: Millis) -> Millis {
    at - at.rem_euclid(width)
}

/// A moment (Unix ms) as RFC 3339, in UTC.
pub fn rfc3339(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// Reads RFC 3339 (`2026-11-27T14:00:00.5Z`, `…+01:00`) into Unix milliseconds.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let at = nine_digits(text).parse::<Timestamp>().ok()?.as_millisecond();
    (EARLIEST..=LATEST).contains(&at).then_some(at)
}

/// The text without the digits of its fraction after the ninth. RFC 3339 allows any number, the
/// parser takes nine, and all of them but the first three are cut anyway.
fn nine_digits(text: &str) -> Cow<'_, str> {
    let Some((before, after)) = text.split_once('.') else { return Cow::Borrowed(text) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        ..=9 => Cow::Borrowed(text),
        _ => Cow::Owned(format!("{before}.{}{}", &after[..9], &after[digits..])),
    }
}

/// The event time that is kept: corrected by the sender's clock skew where the sender
/// said when it sent, and clamped to the received time where it lies too far ahead.
pub fn corrected(event: Millis, sent: Option<Millis>, received: Millis) -> Millis {
    let skew = sent.map_or(0, |sent| received - sent);
    let at = event.saturating_add(skew);
    if at > received + MAX_FUTURE { received } else { at.clamp(EARLIEST, LATEST) }
}

/// The business time zone: says which day a moment belongs to.
#[derive(Clone, Debug)]
pub struct BusinessZone {
    zone: TimeZone,
}

/// One business day: its date and the moments it starts and ends at. 23 or 25 hours
/// long where daylight saving turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusinessDay {
    /// The calendar date; prints as `2026-11-27`.
    pub date: Date,
    /// First millisecond of the day.
    pub start: Millis,
    /// First millisecond of the next day.
    pub end: Millis,
}

impl BusinessDay {
    /// Whether the moment falls on this day.
    pub fn contains(&self, at: Millis) -> bool {
        (self.start..self.end).contains(&at)
    }
}

impl BusinessZone {
    /// Looks up an IANA name such as `Europe/Berlin`, in the database built into the
    /// binary.
    pub fn named(name: &str) -> Result<BusinessZone, String> {
        TimeZone::get(name)
            .map(|zone| BusinessZone { zone })
            .map_err(|e| format!("unknown time zone {name:?}: {e}"))
    }

    /// Universal time.
    pub fn utc() -> BusinessZone {
        BusinessZone { zone: TimeZone::UTC }
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The moment, `days_back` days earlier, at which the clock on the wall showed the same time.
    /// If the clock was set forward that day and skipped this time, it is the moment an hour on.
    /// If it was set back and showed this time twice, it is the first of the two. So two
    /// different moments may have the same one.
    pub fn same_moment(&self, at: Millis, days_back: u16) -> Millis {
        self.before(at, Span::new().days(days_back))
    }

    /// The moment a year earlier at which the date and the clock on the wall were the same. Of 29 February it
    /// is the 28th. Where the clock was set, it is as with [`BusinessZone::same_moment`].
    pub fn same_moment_last_year(&self, at: Millis) -> Millis {
        self.before(at, Span::new().years(1))
    }

    fn before(&self, at: Millis, span: Span) -> Millis {
        let at = at.clamp(EARLIEST, LATEST);
        Timestamp::from_millisecond(at)
            .expect("clamped into jiff's range")
            .to_zoned_datetime(self.zone.clone())
            .checked_sub(span)
            .map_or(EARLIEST, |then| then.timestamp().as_millisecond().max(EARLIEST))
    }

    /// The time of day that the clock on the wall shows, in ms since its midnight.
    pub fn time_of_day(&self, at: Millis) -> Millis {
        let time = Timestamp::from_millisecond(at.clamp(EARLIEST, LATEST))
            .expect("clamped into jiff's range")
            .to_zoned_datetime(self.zone.clone())
            .time();
        let minutes = Millis::from(time.hour()) * 60 + Millis::from(time.minute());
        minutes * MINUTE + Millis::from(time.second()) * SECOND + Millis::from(time.millisecond())
    }

    /// The business day that a moment falls on.
    pub fn day_of(&self, at: Millis) -> BusinessDay {
        let at = at.clamp(EARLIEST, LATEST);
        let date = Timestamp::from_millisecond(at)
            .expect("clamped into jiff's range")
            .to_zoned_datetime(self.zone.clone())
            .date();
        let start_of = |date| self.start_of(date).unwrap_or(at);
        BusinessDay { date, start: start_of(date), end: date.tomorrow().map_or(LATEST, start_of) }
    }

    /// The business day of a date such as `2026-11-27`; `None` where it is no date.
    pub fn day_named(&self, date: &str) -> Option<BusinessDay> {
        // The parser also takes a date with a time, which is no day.
        let date: Date = date.parse().ok().filter(|read: &Date| read.to_string() == date)?;
        let (start, end) = (self.start_of(date)?, self.start_of(date.tomorrow().ok()?)?);
        (EARLIEST..=LATEST).contains(&start).then_some(BusinessDay { date, start, end })
    }

    /// Where a date begins.
    fn start_of(&self, date: Date) -> Option<Millis> {
        let day = date.to_zoned_datetime(self.zone.clone()).and_then(|day| day.start_of_day());
        Some(day.ok()?.timestamp().as_millisecond())
    }
}

/// How far the clocks of two machines may differ: well above what NTP leaves and what an answer takes.
const CLOCK_SLACK: Millis = 5 * SECOND;

/// How another machine's clock, which is `ahead` ms ahead of this one's, differs from it, in words:
/// `7 s ahead of` or `7 s behind`; `None` where it hardly does.
pub fn clock_apart(ahead: Millis) -> Option<String> {
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    (ahead.abs() > CLOCK_SLACK).then(|| format!("{} s {side}", ahead.abs() / SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_corrected_and_the_future_clamped() {
        // The sender's clock runs 10 minutes ahead; the event is 2 s older than the send.
        assert_eq!(corrected(600_000 + 98_000, Some(600_000 + 100_000), 100_000), 98_000);
        assert_eq!(corrected(100_000 + MAX_FUTURE, None, 100_000), 100_000 + MAX_FUTURE);
        assert_eq!(corrected(100_001 + MAX_FUTURE, None, 100_000), 100_000);
        assert_eq!(corrected(-5, None, 100_000), EARLIEST);
        assert_eq!(corrected(i64::MAX, None, 100_000), 100_000);
    }

    #[test]
    fn a_day_is_23_or_25_hours_where_the_clock_turns() {
        let berlin = BusinessZone::named("Europe/Berlin").unwrap();
        let noon = |text: &str| berlin.day_of(parse_rfc3339(text).unwrap());
        let spring = noon("2026-03-29T10:00:00Z");
        assert_eq!(spring.end - spring.start, 23 * HOUR);
        let autumn = noon("2026-10-25T10:00:00Z");
        assert_eq!(autumn.end - autumn.start, 25 * HOUR);
        assert_eq!(autumn.date.to_string(), "2026-10-25");
        assert_eq!(autumn.start, parse_rfc3339("2026-10-24T22:00:00Z").unwrap());
    }

    #[test]
    fn the_same_moment_is_by_the_clock_on_the_wall() {
        let same = |zone: &str, at: &str, days| {
            let zone = BusinessZone::named(zone).unwrap();
            let then = zone.same_moment(parse_rfc3339(at).unwrap(), days);
            Timestamp::from_millisecond(then).unwrap().to_string()
        };
        assert_eq!(same("UTC", "2026-11-27T14:00:30.25Z", 1), "2026-11-26T14:00:30.25Z");
        let berlin = |at, days| same("Europe/Berlin", at, days);
        assert_eq!(berlin("2026-11-27T14:00:00+01:00", 7), "2026-11-20T13:00:00Z");
        // Spring: 29 March has no 02:30, and is an hour shorter.
        assert_eq!(berlin("2026-03-29T14:00:00+02:00", 1), "2026-03-28T13:00:00Z");
        assert_eq!(berlin("2026-03-30T01:59:00+02:00", 1), "2026-03-29T00:59:00Z");
        assert_eq!(berlin("2026-03-30T02:30:00+02:00", 1), "2026-03-29T01:30:00Z");
        assert_eq!(berlin("2026-03-30T03:30:00+02:00", 1), "2026-03-29T01:30:00Z");
        assert_eq!(berlin("2026-04-04T12:00:00+02:00", 7), "2026-03-28T11:00:00Z");
        // Autumn: 25 October has 02:30 twice, and is an hour longer.
        assert_eq!(berlin("2026-10-25T14:00:00+01:00", 1), "2026-10-24T12:00:00Z");
        assert_eq!(berlin("2026-10-25T02:30:00+02:00", 1), "2026-10-24T00:30:00Z");
        assert_eq!(berlin("2026-10-25T02:30:00+01:00", 1), "2026-10-24T00:30:00Z");
        assert_eq!(berlin("2026-10-26T02:30:00+01:00", 1), "2026-10-25T00:30:00Z");
        assert_eq!(berlin("2026-11-01T02:30:00+01:00", 7), "2026-10-25T00:30:00Z");
        // Nothing is before the first moment there is.
        assert_eq!(same("UTC", "1970-01-01T00:00:00Z", 7), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_steady_clock_begins_where_it_is_told_and_goes_on() {
        let clock = Steady::begin(1_000);
        let first = clock.now();
        assert!((1_000..2_000).contains(&first));
        while clock.now() == first {
            std::thread::yield_now();
        }
        assert!(clock.now() > first);
    }

    #[test]
    fn reads_rfc_3339_only() {
        assert_eq!(parse_rfc3339("2026-11-23T08:00:00Z"), Some(1_795_420_800_000));
        assert_eq!(parse_rfc3339("2026-11-23T09:00:00.250+01:00"), Some(1_795_420_800_250));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(parse_rfc3339("0001-01-01T00:00:00Z"), None);
    }
}
