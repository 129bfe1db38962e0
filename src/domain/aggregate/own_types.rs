//! Which event types have counters of their own. A client that makes types up can't make counters without
//! end, so only so many types that no rule names may have one; events of further types are counted
//! together, as the overflow.
//!
//! A counter says the truth only where it has counted all events of its type. So the same types have
//! counters on each node, before a restart and after it, and from a day's beginning to its end:
//!
//! - What is known here is written to the data dir, and what was counted anywhere today or yesterday is
//!   looked up before a new type is let in ([`LookAround`]).
//! - Once there was an overflow today, no new type is let in until tomorrow: some of its events may be in
//!   the overflow already.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::domain::{
    delta::{Delta, Series},
    metric::MetricSet,
    time::{DAY, HOUR, Millis},
};

/// The series under which events are counted whose type has no counter of its own. It is no type's name,
/// since a type has no brackets.
pub const OVERFLOW: &str = "(other)";

/// Says which types were counted, on any node.
pub type LookAround = Arc<dyn Fn() -> CountedTypes + Send + Sync>;

/// The types that were counted, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedTypes {
    /// Where the business day of today starts, Unix ms.
    pub day: Millis,
    /// Those of today, with [`OVERFLOW`] where there was any.
    pub today: Vec<String>,
    /// Those of yesterday.
    pub yesterday: Vec<String>,
}

/// The event types that have counters of their own, beside those that rules name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnTypes {
    /// When each was last seen, Unix ms.
    seen: BTreeMap<String, Millis>,
    /// Where the business day starts that `overflows` is about, Unix ms.
    day: Millis,
    /// Whether some events of this day are in the overflow.
    overflows: bool,
    /// Whether it should be written: a type has come or gone, or it was written long ago.
    #[serde(skip)]
    is_news: bool,
    /// When it was last written, Unix ms.
    #[serde(skip)]
    written: Millis,
}

impl OwnTypes {
    /// Whether a type has a counter already.
    fn knows(&mut self, kind: &str, now: Millis) -> bool {
        let Some(last) = self.seen.get_mut(kind) else { return false };
        *last = now.max(*last);
        true
    }

    /// Lets a new type in, if there is room for one more among `most`. A type that nobody has sent for a
    /// day makes room.
    fn admit(&mut self, kind: &str, most: usize, now: Millis) -> bool {
        if self.seen.len() >= most {
            self.seen.retain(|_, last| *last > now - DAY);
        }
        self.is_news = true;
        if self.seen.len() >= most {
            self.overflows = true;
            return false;
        }
        self.seen.insert(kind.to_owned(), now);
        true
    }

    /// Takes up what was counted elsewhere or before. `is_named` says of a type whether a rule names it, so
    /// that it needs no place here.
    fn learn(&mut self, counted: CountedTypes, now: Millis, is_named: impl Fn(&str) -> bool) {
        // A clock that was set back does not begin a day that is over.
        if counted.day > self.day {
            self.is_news |= self.overflows;
            (self.day, self.overflows) = (counted.day, false);
        }
        let is_current = counted.day == self.day;
        let days = [(counted.today, now, is_current), (counted.yesterday, counted.day, false)];
        for (kinds, seen, is_today) in days {
            for kind in kinds {
                if kind == OVERFLOW {
                    self.is_news |= is_today && !self.overflows;
                    self.overflows |= is_today;
                } else if let Some(last) = self.seen.get_mut(&kind) {
                    *last = seen.max(*last);
                } else if !is_named(&kind) {
                    self.seen.insert(kind, seen);
                    self.is_news = true;
                }
            }
        }
    }

    /// What is to be written at `now`, if there is news.
    pub fn to_write(&mut self, now: Millis) -> Option<Vec<u8>> {
        if !self.is_news && now - self.written < HOUR {
            return None;
        }
        (self.is_news, self.written) = (false, now);
        Some(serde_json::to_vec(self).expect("names and numbers always serialise"))
    }

    /// Reads what [`OwnTypes::to_write`] gave; `None` where it is damaged.
    pub fn read(written: &[u8]) -> Option<OwnTypes> {
        serde_json::from_slice(written).ok()
    }
}

/// Decides which types have counters of their own.
#[derive(Default)]
pub(super) struct TypeAdmission {
    known: OwnTypes,
    /// How many may be known.
    most: usize,
    /// Where types are looked up that are not known.
    elsewhere: Option<LookAround>,
}

impl TypeAdmission {
    /// None is known yet, and at most so many will be.
    pub(super) fn within(most: usize) -> TypeAdmission {
        TypeAdmission { most, ..TypeAdmission::default() }
    }

    /// The types that have counters in a delta, and no others.
    pub(super) fn of_sealed(delta: &Delta) -> TypeAdmission {
        let kind = |(_, series, _): (Millis, &Series, i64)| match series {
            Series::Count(kind) => Some((kind.clone(), Millis::MAX)),
            _ => None,
        };
        let seen = delta.cells().filter_map(kind).filter(|(kind, _)| kind != OVERFLOW).collect();
        let known = OwnTypes { seen, overflows: true, ..OwnTypes::default() };
        TypeAdmission { known, ..TypeAdmission::default() }
    }

    /// Goes on with known types, and asks `elsewhere` before it lets a new one in.
    pub(super) fn going_on(self, known: OwnTypes, elsewhere: LookAround) -> TypeAdmission {
        TypeAdmission { known, elsewhere: Some(elsewhere), ..self }
    }

    /// The types that have counters, to be written.
    pub(super) fn known(&mut self) -> &mut OwnTypes {
        &mut self.known
    }

    /// Looks which types are counted elsewhere, at `now` (Unix ms). Those that rules name need no place here.
    pub(super) fn look_around(&mut self, metric_set: &MetricSet, now: Millis) {
        if let Some(elsewhere) = &self.elsewhere {
            self.known.learn(elsewhere(), now, |kind| metric_set.own_plan(kind).is_some());
        }
    }

    /// Whether events of a type that no rule names are counted under its name.
    pub(super) fn has_counter(&mut self, kind: &str, metric_set: &MetricSet, now: Millis) -> bool {
        if self.known.knows(kind, now) {
            return true;
        }
        // Once there is an overflow, nothing has to be looked up, so a client that makes up types without
        // end costs no more than any other.
        if self.known.overflows {
            return false;
        }
        self.look_around(metric_set, now);
        self.known.knows(kind, now)
            || (!self.known.overflows && self.known.admit(kind, self.most, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 12 * HOUR;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn counted(day: Millis, today: &[&str], yesterday: &[&str]) -> CountedTypes {
        CountedTypes { day, today: names(today), yesterday: names(yesterday) }
    }

    #[test]
    fn what_has_a_counter_keeps_it_over_a_restart() {
        let mut types = OwnTypes::default();
        types.learn(counted(0, &[], &[]), NOON, |_| false);
        assert!(types.admit("a", 2, NOON) && types.admit("b", 2, NOON));
        assert!(!types.admit("c", 2, NOON) && !types.knows("c", NOON));
        let written = types.to_write(NOON).unwrap();
        assert_eq!(types.to_write(NOON), None);
        let mut again = OwnTypes::read(&written).unwrap();
        assert!(again.knows("a", NOON) && again.knows("b", NOON) && !again.knows("c", NOON));
        assert!(again.overflows);
        assert_eq!(OwnTypes::read(&written[..9]), None);
        assert!(
            types.to_write(NOON + HOUR).is_some(),
            "when each was seen is written now and then"
        );
    }

    #[test]
    fn what_has_overflowed_waits_for_the_next_day() {
        let mut types = OwnTypes::default();
        types.learn(counted(0, &["a", "named"], &["b"]), NOON, |kind| kind == "named");
        assert!(types.knows("a", NOON) && types.knows("b", NOON) && !types.knows("named", NOON));
        // Another node has an overflow.
        types.learn(counted(0, &["a", OVERFLOW], &[]), NOON, |_| false);
        assert!(types.overflows);
        types.learn(counted(DAY, &[], &["a", OVERFLOW]), NOON + DAY, |_| false);
        assert!(!types.overflows);
        // The type b was not seen for a day, and a was seen yesterday.
        assert!(types.admit("c", 2, NOON + DAY));
        assert!(types.knows("a", NOON + DAY) && !types.knows("b", NOON + DAY));
    }
}
