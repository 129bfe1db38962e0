//! Moments as exports write them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::domain::{
    event::{EventTime, Field},
    time::Millis,
};

/// Notations with an offset.
const WITH_OFFSET: [&str; 3] =
    ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%:z"];
/// Notations without one. The dates with slashes are those of WooCommerce: month, day, year.
const WITHOUT_OFFSET: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%Y-%m-%d",
];

/// Reads a moment, Unix ms. Where it says no offset it is of `zone`, unless it ends in `UTC` or `Z`.
pub fn read(text: &str, zone: &TimeZone) -> Option<Millis> {
    let text = text.trim();
    if let Ok(EventTime::At(at)) = EventTime::read(&Field::Text(text.into())) {
        return Some(at);
    }
    let utc = text.strip_suffix("UTC").or_else(|| text.strip_suffix('Z')).map(str::trim_end);
    let zone = if utc.is_some() { &TimeZone::UTC } else { zone };
    let text = utc.unwrap_or(text);
    let with = WITH_OFFSET.iter().find_map(|format| Timestamp::strptime(format, text).ok());
    let at = with.or_else(|| WITHOUT_OFFSET.iter().find_map(|format| local(format, text, zone)))?;
    plausible(at)
}

/// Reads a moment of this notation (that of `strptime`). A notation with an offset needs no zone.
pub fn read_as(format: &str, text: &str, zone: &TimeZone) -> Option<Millis> {
    let with = Timestamp::strptime(format, text.trim()).ok();
    plausible(with.or_else(|| local(format, text.trim(), zone))?)
}

/// A local time. An hour that comes twice, at the end of summer time, is taken for the first one.
fn local(format: &str, text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
    let local = match parsed.to_datetime() {
        Ok(local) => local,
        Err(_) => DateTime::from(parsed.to_date().ok()?),
    };
    Some(local.to_zoned_datetime(zone.clone()).ok()?.timestamp())
}

/// A moment that may be that of an event.
fn plausible(at: Timestamp) -> Option<Millis> {
    let at = at.as_millisecond();
    match EventTime::read(&Field::Text(crate::domain::time::rfc3339(at).into())) {
        Ok(EventTime::At(at)) => Some(at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notations_of_exports() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, at) in [
            ("2025-11-28T14:00:00Z", 1_764_338_400_000),
            ("1764338400", 1_764_338_400_000),
            ("2025-11-28 09:00:00 -0500", 1_764_338_400_000),
            ("2025-11-28 14:00:00.250000+00:00", 1_764_338_400_250),
            ("2025-11-28 14:00:00 UTC", 1_764_338_400_000),
            ("2025-11-28 15:00:00", 1_764_338_400_000),
            ("2025-11-28 15:00", 1_764_338_400_000),
            ("11/28/2025 15:00:00", 1_764_338_400_000),
            ("2025-11-28", 1_764_284_400_000),
        ] {
            assert_eq!(read(text, &berlin), Some(at), "{text}");
        }
        for none in ["", "noon", "28.11.2025", "1999-11-28 00:00:00", "0"] {
            assert_eq!(read(none, &berlin), None, "{none}");
        }
        let german = "%d.%m.%Y %H:%M";
        assert_eq!(read_as(german, "28.11.2025 15:00", &berlin), Some(1_764_338_400_000));
        assert_eq!(read_as(german, "28/11/2025", &berlin), None);
    }
}
