//! The moment that a client gives for its event.
//!
//! Clients count in seconds, milliseconds, microseconds or nanoseconds, and seldom say in which.
//! From 2000 on the four can't be confused, since each is a thousand times the one before:
//!
//! ```text
//!  2000-01-01 in     seconds        ms               µs                 ns
//!               946684800   946684800000   946684800000000   946684800000000000
//!  ─ no time ──┼─ seconds ─┬ no time ─┼─ ms ─┬ no time ─┼─ µs ─┬ no time ─┼─ ns ─>
//!                        1e11                1e14              1e17
//! ```

use super::{Field, Rejection};
use crate::domain::time::{self, LATEST, MICROS_PER_MILLI, Millis, SECOND};

/// The earliest moment that an event may have: 2000-01-01. A clock that says an earlier one was
/// never set.
pub const EARLIEST_EVENT: Millis = 946_684_800_000;

/// The number from which on a count of seconds is none any more: the year 5138.
const SECONDS_END: i64 = 100_000_000_000;

/// What a client's field says of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTime {
    /// Nothing.
    Absent,
    /// This moment, Unix ms.
    At(Millis),
    /// A number or a date that can't be the time of an event: 0, before 2000, after 9999.
    Impossible,
}

impl EventTime {
    /// Reads a field: a number, a string of digits, or RFC 3339.
    ///
    /// # Errors
    /// It is neither of these.
    pub fn read(field: &Field<'_>) -> Result<EventTime, Rejection> {
        match field {
            Field::Absent => Ok(EventTime::Absent),
            Field::Integer(number) => Ok(EventTime::of_number(*number)),
            Field::Float(number) => Ok(EventTime::of_float(*number)),
            Field::Text(text) => EventTime::of_text(text.trim()),
            Field::Other => Err(Rejection::InvalidTimestamp),
        }
    }

    fn of_text(text: &str) -> Result<EventTime, Rejection> {
        if let Ok(number) = text.parse::<i64>() {
            return Ok(EventTime::of_number(number));
        }
        let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if let Some(number) = is_decimal.then(|| text.parse::<f64>().ok()).flatten() {
            return Ok(EventTime::of_float(number));
        }
        match time::parse_rfc3339(text) {
            Some(at) => Ok(EventTime::within(at)),
            None => Err(Rejection::InvalidTimestamp),
        }
    }

    /// A count since 1970; its size says of what.
    fn of_number(number: i64) -> EventTime {
        let (ms, us) = (SECONDS_END * SECOND, SECONDS_END * SECOND * MICROS_PER_MILLI);
        match number {
            ..SECONDS_END => EventTime::within(number.saturating_mul(SECOND)),
            _ if number < ms => EventTime::within(number),
            _ if number < us => EventTime::within(number / MICROS_PER_MILLI),
            _ => EventTime::within(number / (MICROS_PER_MILLI * MICROS_PER_MILLI)),
        }
    }

    /// As [`EventTime::of_number`]; only of seconds is there a fraction that counts.
    fn of_float(number: f64) -> EventTime {
        if number.abs() < SECONDS_END as f64 {
            return EventTime::within((number * SECOND as f64).round() as Millis);
        }
        // The conversion would stay at the end of the range, and that is a time in the year 2262.
        if number.abs() >= i64::MAX as f64 {
            return EventTime::Impossible;
        }
        EventTime::of_number(number as i64)
    }

    fn within(at: Millis) -> EventTime {
        match (EARLIEST_EVENT..=LATEST).contains(&at) {
            true => EventTime::At(at),
            false => EventTime::Impossible,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = 1_795_420_800_123;

    fn read(field: Field<'_>) -> EventTime {
        EventTime::read(&field).unwrap()
    }

    #[test]
    fn the_unit_is_told_by_the_size() {
        let whole = AT / SECOND * SECOND;
        assert_eq!(read(Field::Integer(AT / SECOND)), EventTime::At(whole));
        assert_eq!(read(Field::Float(AT as f64 / 1000.0)), EventTime::At(AT));
        for (number, factor) in [(AT, 1), (AT * 1000 + 999, 1000), (AT * 1_000_000 + 5, 1_000_000)]
        {
            assert_eq!(read(Field::Integer(number)), EventTime::At(AT), "{factor}");
            assert_eq!(read(Field::Float(number as f64)), EventTime::At(AT), "{factor}");
            assert_eq!(
                read(Field::Text(format!(" {number} ").into())),
                EventTime::At(AT),
                "{factor}"
            );
        }
        assert_eq!(read(Field::Text("1795420800.123".into())), EventTime::At(AT));
    }

    #[test]
    fn rfc_3339_may_have_any_number_of_digits() {
        for fraction in ["123", "123456789", "1239999999999", "123000000000000000001"] {
            let text = format!("2026-11-23T08:00:00.{fraction}Z");
            assert_eq!(read(Field::Text(text.into())), EventTime::At(AT), "{fraction}");
        }
        let text = "2026-11-23T10:30:00.123000000009+02:30".into();
        assert_eq!(read(Field::Text(text)), EventTime::At(AT));
    }

    #[test]
    fn what_can_not_be_the_time_of_an_event_is_told() {
        for number in [0, -1, 1, 946_684_799, 200_000_000_000, 200_000_000_000_000, i64::MIN] {
            assert_eq!(read(Field::Integer(number)), EventTime::Impossible, "{number}");
        }
        for number in [0.0, -1.5, 1e30, f64::MAX, f64::MIN] {
            assert_eq!(read(Field::Float(number)), EventTime::Impossible, "{number}");
        }
        for text in ["0", "1999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"] {
            assert_eq!(read(Field::Text(text.into())), EventTime::Impossible, "{text}");
        }
        for text in ["noon", "", "2026-11-23", "1.2.3"] {
            let read = EventTime::read(&Field::Text(text.into()));
            assert_eq!(read, Err(Rejection::InvalidTimestamp), "{text}");
        }
        assert_eq!(read(Field::Absent), EventTime::Absent);
    }
}
