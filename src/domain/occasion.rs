//! Occasions: days that others are compared with for years, such as last Black Friday (`[[occasion]]`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    rule::{Fault, List, MAX_RULES, check_name},
    time::{BusinessZone, DAY, MINUTE, Millis, parse_rfc3339},
};

/// The longest occasion.
const MAX_LENGTH: Millis = 31 * DAY;
/// What a baseline is called that is no occasion.
const BASELINE_WORDS: [&str; 4] = ["last_hour", "yesterday", "last_week", "last_year"];

/// `[[occasion]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OccasionSpec {
    /// What it is asked for by: 1 to 64 characters of `a-z 0-9 _`, and nothing that reads as a time.
    pub name: String,
    /// What people read; the name without it.
    #[serde(default)]
    pub title: Option<String>,
    /// Its opening minute: RFC 3339, or a date or `2025-11-28T06:00` by the clock of its zone.
    pub start: String,
    /// Its end, likewise; of a date its beginning.
    pub end: String,
    /// IANA name of its time zone; that of the business without it.
    #[serde(default)]
    pub zone: Option<String>,
    /// `true` takes the entry of the same name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// A day, or some, that others are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Occasion {
    /// What it is asked for by.
    pub name: String,
    /// What people read.
    pub title: String,
    /// Its opening minute, Unix ms.
    pub start: Millis,
    /// Its end, Unix ms.
    pub end: Millis,
}

/// How a span is laid over an occasion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// So many ms back: opening minute over opening minute.
    Elapsed(Millis),
    /// So many days back by the clock on the wall.
    Days(u16),
}

/// All occasions. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasions(Arc<[Occasion]>);

impl Occasions {
    /// Compiles the list, whose moments without an offset are of `zone` unless they name another.
    ///
    /// # Errors
    /// What is wrong with each that can't be used.
    pub fn compile(specs: &[OccasionSpec], zone: &BusinessZone) -> Result<Occasions, Vec<Fault>> {
        let (mut occasions, mut faults) = (Vec::<Occasion>::new(), Vec::new());
        let mut wrong =
            |index, message| faults.push(Fault { list: List::Occasions, index, message });
        if specs.len() > MAX_RULES {
            wrong(MAX_RULES, format!("there are more than {MAX_RULES}"));
        }
        for (index, spec) in specs.iter().enumerate() {
            match compile(spec, zone) {
                Ok(it) if occasions.iter().any(|known| known.name == it.name) => {
                    wrong(index, format!("{}: another occasion has this name", it.name));
                }
                Ok(it) => occasions.push(it),
                Err(message) => wrong(index, message),
            }
        }
        match faults.is_empty() {
            true => Ok(Occasions(occasions.into())),
            false => Err(faults),
        }
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Occasion] {
        &self.0
    }

    /// The days of all of them in the business zone, `[from, to)` in Unix ms.
    pub fn days(&self, zone: &BusinessZone) -> Vec<(Millis, Millis)> {
        let days = |it: &Occasion| (zone.day_of(it.start).start, zone.day_of(it.end - 1).end);
        self.0.iter().map(days).collect()
    }

    /// The occasion of this name.
    pub fn named(&self, name: &str) -> Option<&Occasion> {
        self.0.iter().find(|it| it.name == name)
    }

    /// How a span that begins at `from` and ends before `to` (Unix ms) is laid over an occasion before it. Where the
    /// span lies in another occasion, or has it in it, the opening minutes lie over each other; else the days do, by
    /// the clock on the wall of the business zone. `None` where the occasion does not lie before it.
    pub fn align(
        &self,
        occasion: &Occasion,
        (from, to): (Millis, Millis),
        zone: &BusinessZone,
    ) -> Option<Alignment> {
        let meets = |it: &&Occasion| it.start < to && it.end > from && it.start > occasion.start;
        if let Some(now) = self.0.iter().filter(meets).max_by_key(|it| it.start) {
            return Some(Alignment::Elapsed(now.start - occasion.start));
        }
        let (day, then) = (zone.day_of(from).date, zone.day_of(occasion.start).date);
        let days = then.until(day).ok()?.get_days();
        u16::try_from(days).ok().filter(|days| *days > 0).map(Alignment::Days)
    }
}

fn compile(spec: &OccasionSpec, business: &BusinessZone) -> Result<Occasion, String> {
    let name = &spec.name;
    check_name(name)?;
    // A query takes a time, a word or a name, and a name must not be taken for one of the others.
    let is_time = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if is_time || BASELINE_WORDS.contains(&name.as_str()) {
        return Err(format!("name {name:?}: it reads as a time or as a word for a baseline"));
    }
    let named = spec.zone.as_deref().map(BusinessZone::named).transpose();
    let named = named.map_err(|message| format!("{name}: zone: {message}"))?;
    let zone = named.as_ref().unwrap_or(business);
    let moment = |key: &str, text: &str| {
        let date = || zone.day_named(text).map(|day| day.start);
        let read = parse_rfc3339(text).or_else(date).or_else(|| zone.moment_on_wall(text));
        read.filter(|at| at % MINUTE == 0).ok_or_else(|| {
            format!("{name}: {key}: {text:?} is no date, no full minute such as 2025-11-28T06:00, and no RFC 3339")
        })
    };
    let (start, end) = (moment("start", &spec.start)?, moment("end", &spec.end)?);
    if !(MINUTE..=MAX_LENGTH).contains(&(end - start)) {
        return Err(format!("{name}: end: an occasion ends after its start, and within 31 days"));
    }
    let title = spec.title.clone().unwrap_or_else(|| name.clone());
    Ok(Occasion { name: name.clone(), title, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::HOUR;

    fn spec(name: &str, start: &str, end: &str) -> OccasionSpec {
        let text = |text: &str| text.to_owned();
        OccasionSpec { name: text(name), start: text(start), end: text(end), ..Default::default() }
    }

    fn at(text: &str) -> Millis {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn moments_are_of_the_zone_and_what_makes_no_sense_is_refused() {
        let berlin = BusinessZone::named("Europe/Berlin").unwrap();
        let compiled = |spec: OccasionSpec| Occasions::compile(&[spec], &berlin);
        let whole = compiled(spec("bf_2025", "2025-11-28", "2025-11-29")).unwrap();
        assert_eq!(whole.all()[0].start, at("2025-11-28T00:00:00+01:00"));
        assert_eq!(whole.all()[0].title, "bf_2025");
        let elsewhere = OccasionSpec {
            zone: Some("America/New_York".into()),
            ..spec("bf_2025", "2025-11-28T06:00", "2025-11-29T00:00:00Z")
        };
        let elsewhere = compiled(elsewhere).unwrap();
        assert_eq!(elsewhere.all()[0].start, at("2025-11-28T11:00:00Z"));
        for wrong in [
            spec("20251128", "2025-11-28", "2025-11-29"),
            spec("2025_11_28", "2025-11-28", "2025-11-29"),
            spec("last_year", "2025-11-28", "2025-11-29"),
            spec("last_hour", "2025-11-28", "2025-11-29"),
            spec("Black Friday", "2025-11-28", "2025-11-29"),
            spec("bf", "2025-11-28", "2025-11-28"),
            spec("bf", "2025-11-28", "2026-01-28"),
            spec("bf", "28.11.2025", "2025-11-29"),
            spec("bf", "2025-11-28T06:00:30", "2025-11-29"),
            OccasionSpec { zone: Some("Mars".into()), ..spec("bf", "2025-11-28", "2025-11-29") },
        ] {
            assert!(compiled(wrong.clone()).is_err(), "{wrong:?}");
        }
        let twice =
            [spec("bf", "2025-11-28", "2025-11-29"), spec("bf", "2024-11-29", "2024-11-30")];
        assert_eq!(Occasions::compile(&twice, &berlin).unwrap_err()[0].index, 1);
    }

    #[test]
    fn opening_minutes_lie_over_each_other_and_else_the_clocks_on_the_wall() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let occasions = [
            spec("bf_2025", "2025-11-28T06:00", "2025-11-29T00:00"),
            spec("bf_2026", "2026-11-27T08:00", "2026-11-28T00:00"),
        ];
        let occasions = Occasions::compile(&occasions, &zone).unwrap();
        let [before, now] = occasions.all() else { panic!("there are two") };
        let day = (at("2026-11-27T00:00:00+01:00"), at("2026-11-28T00:00:00+01:00"));
        let year = 364 * DAY + 2 * HOUR;
        assert_eq!(occasions.align(before, day, &zone), Some(Alignment::Elapsed(year)));
        assert_eq!(day.0 + 8 * HOUR - year, before.start);
        // An ordinary day, half a year on, where summer time is.
        let ordinary = (at("2026-06-10T00:00:00+02:00"), at("2026-06-11T00:00:00+02:00"));
        assert_eq!(occasions.align(before, ordinary, &zone), Some(Alignment::Days(194)));
        assert_eq!(zone.same_moment(ordinary.0, 194), at("2025-11-28T00:00:00+01:00"));
        assert_eq!(occasions.align(now, ordinary, &zone), None, "it lies ahead");
        assert_eq!(occasions.align(before, (before.start, before.end), &zone), None);
    }
}
