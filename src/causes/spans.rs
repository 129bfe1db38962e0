//! The span that is asked about, and the one that it is compared with.

use crate::domain::{
    alert::Against,
    occasion::{Alignment, Occasions},
    time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND},
};

/// From a moment to another, `[from, to)`, Unix ms.
pub type Moments = (Millis, Millis);

/// The length of the span that is looked at where nobody says another.
pub const USUAL_LENGTH: Millis = 10 * MINUTE;
/// The longest span, and the longest one that it is compared with.
const MAX_LENGTH: Millis = 31 * DAY;

/// The span that another one is compared with: the hour before it, or its moments of another day by the
/// clock on the wall.
pub fn before((from, to): Moments, against: Against, zone: &BusinessZone) -> Moments {
    let days = match against {
        Against::LastHour => return (from - HOUR, from),
        Against::Yesterday => 1,
        Against::LastWeek => 7,
    };
    days_before((from, to), days, zone)
}

/// The span so many days before another one, by the clock on the wall.
fn days_before((from, to): Moments, days: u16, zone: &BusinessZone) -> Moments {
    let then = zone.same_moment(from, days);
    // Whole days are compared with whole days, of 23, 24 or 25 hours. A shorter span is compared with one of
    // its length, also where the clock is set in it.
    match to - from >= DAY / 2 {
        true => (then, zone.same_moment(to, days)),
        false => (then, then + (to - from)),
    }
}

/// The span that another one is compared with, by a word of [`Against`] or the name of an occasion.
///
/// # Errors
/// It is neither, or the occasion does not lie before the span.
pub fn named(
    span: Moments,
    word: &str,
    zone: &BusinessZone,
    occasions: &Occasions,
) -> Result<Moments, String> {
    let (from, to) = span;
    let Some(occasion) = occasions.named(word) else {
        let against = word.parse().map_err(|words| format!("{words}, or an occasion"))?;
        return Ok(before(span, against, zone));
    };
    match occasions.align(occasion, span, zone) {
        Some(Alignment::Elapsed(back)) => Ok((from - back, to - back)),
        Some(Alignment::Days(days)) => Ok(days_before(span, days, zone)),
        None => Err(format!("{word} does not lie before the span")),
    }
}

/// Looks whether two spans can be compared.
///
/// # Errors
/// What is wrong with them, in words.
pub fn check(now: Moments, was: Moments) -> Result<(), &'static str> {
    let is_span = |(from, to): Moments| from >= 0 && (SECOND..=MAX_LENGTH).contains(&(to - from));
    if !is_span(now) {
        return Err("from and to: a span is a second to 31 days long, and not ahead");
    }
    if !is_span(was) {
        return Err("the baseline: a span is a second to 31 days long");
    }
    if was.0 < now.1 && now.0 < was.1 {
        return Err("the baseline overlaps the span from from to to");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    #[test]
    fn another_day_is_that_of_the_clock_on_the_wall() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let at = |text: &str| parse_rfc3339(text).unwrap();
        // The clock was set back on 2026-10-25.
        let noon = at("2026-10-25T12:00:00+01:00");
        let (from, to) = before((noon, noon + HOUR), Against::Yesterday, &zone);
        assert_eq!((from, to), (at("2026-10-24T12:00:00+02:00"), at("2026-10-24T13:00:00+02:00")));
        let (from, _) = before((noon, noon + HOUR), Against::LastWeek, &zone);
        assert_eq!(from, at("2026-10-18T12:00:00+02:00"));
        let day = (at("2026-10-25T00:00:00+02:00"), at("2026-10-26T00:00:00+01:00"));
        let then = (at("2026-10-24T00:00:00+02:00"), at("2026-10-25T00:00:00+02:00"));
        assert_eq!(before(day, Against::Yesterday, &zone), then);
        assert_eq!(before(day, Against::LastHour, &zone), (day.0 - HOUR, day.0));
    }

    #[test]
    fn a_span_is_compared_with_no_part_of_itself() {
        let now = (10 * HOUR, 11 * HOUR);
        assert_eq!(check(now, (9 * HOUR, 10 * HOUR)), Ok(()));
        for wrong in [(9 * HOUR, 10 * HOUR + 1), (HOUR, HOUR), (5, 4), (-HOUR, HOUR)] {
            assert!(check(now, wrong).is_err(), "{wrong:?}");
            assert!(check(wrong, now).is_err(), "{wrong:?}");
        }
        assert!(check((40 * DAY, 72 * DAY), (0, DAY)).is_err());
    }
}
