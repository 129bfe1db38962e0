//! The mark that an alert names: the last one before it.

use serde::{Deserialize, Serialize};

use super::Mark;
use crate::domain::{
    alert::Span,
    time::{HOUR, MINUTE, Millis, SECOND, bucket},
};

/// A mark that lies longer before an alert (ms) has nothing to do with it, as far as anybody can say.
const CITED_WITHIN: Millis = HOUR;

/// The last mark before something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CitedMark {
    /// Its id.
    pub id: String,
    /// When it was, or began, Unix ms.
    pub time: Millis,
    /// What people read.
    pub title: String,
}

impl CitedMark {
    /// The last of these marks in the hour up to `at` (Unix ms).
    pub fn before(at: Millis, marks: &[Mark]) -> Option<CitedMark> {
        let near = marks.iter().filter(|mark| (at - CITED_WITHIN..=at).contains(&mark.time));
        let last = near.max_by_key(|mark| mark.time)?;
        Some(CitedMark { id: last.id.clone(), time: last.time, title: last.title.clone() })
    }

    /// "12 min after deploy 4f2c", of something at `at` (Unix ms).
    pub fn in_words(&self, at: Millis) -> String {
        let since = at - self.time;
        let unit = if since >= 2 * MINUTE { MINUTE } else { SECOND };
        format!("{} after {}", Span(bucket(since, unit)), self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 1_795_521_600_000;

    #[test]
    fn the_last_mark_of_the_hour_before_is_named() {
        let mark = |title: &str, time| Mark { title: title.into(), time, ..Mark::default() };
        let marks = [
            mark("after", NOON + 1),
            mark("deploy 4f2c", NOON - 12 * MINUTE - 5 * SECOND),
            mark("deploy 1a2b", NOON - 20 * MINUTE),
        ];
        let cited = CitedMark::before(NOON, &marks).unwrap();
        assert_eq!(cited.in_words(NOON), "12 min after deploy 4f2c");
        assert_eq!(cited.in_words(cited.time + 70 * SECOND), "70 s after deploy 4f2c");
        assert_eq!(CitedMark::before(NOON + 2 * HOUR, &marks), None);
        assert_eq!(CitedMark::before(NOON, &[]), None);
    }
}
